"""Numbers in words as digits: twenty-five as 25, two hundred and six as 206."""

TO_NINETEEN = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
)
FROM_TWENTY = "twenty thirty forty fifty sixty seventy eighty ninety"
UNITS = {word: n for n, word in enumerate(TO_NINETEEN.split())}
TENS = {word: 10 * n for n, word in enumerate(FROM_TWENTY.split(), 2)}
POWERS = {"thousand": 1000, "million": 10**6}
NUMBER_WORDS = frozenset([*UNITS, *TENS, *POWERS, "hundred"])


def as_digits(words: list[str]) -> list[str]:
    """Words with numbers in words as digits."""
    if NUMBER_WORDS.isdisjoint(words):
        return words
    kept, place = [], 0
    while place < len(words):
        value, after = _below_hundred(words, place)
        if words[after : after + 1] == ["hundred"]:
            value, after = 100 * (value or 1), after + 1
            rest, end = _below_hundred(words, after + (words[after : after + 1] == ["and"]))
            if rest and words[end : end + 1] not in (["hundred"], ["thousand"], ["million"]):
                value, after = value + rest, end
        if value is not None and after < len(words) and words[after] in POWERS:
            value, after = value * POWERS[words[after]], after + 1
        if value is None:
            kept.append(words[place])
            after = place + 1
        else:
            kept.append(str(value))
        place = after
    return kept


def _below_hundred(words: list[str], place: int) -> tuple[int | None, int]:
    """(the number in words at a place, where it ends), or (None, the place)."""
    word = words[place] if place < len(words) else ""
    if word in UNITS:
        return UNITS[word], place + 1
    if word not in TENS:
        return None, place
    unit = place + 1 + (words[place + 1 : place + 2] == ["-"])
    if unit < len(words) and 0 < UNITS.get(words[unit], 0) < 10:
        return TENS[word] + UNITS[words[unit]], unit + 1
    return TENS[word], place + 1
