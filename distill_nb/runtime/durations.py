"""Durations in words: `4.2 seconds`, `12 minutes`, `83 seconds to 4.7 minutes`."""

UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
LEAST = 1.5  # of a unit, or the next smaller one is used: 83 seconds, not 1.4 minutes
SHORT = 0.1  # seconds


def in_words(seconds: float) -> str:
    """A duration with its unit: one digit after the point below ten, none above."""
    return _joined(*_parts(seconds, _unit(seconds)))


def range_in_words(least: float, most: float) -> str:
    """Two durations, in seconds, as a range: in the unit of the longer one (`1.4 to 12 minutes`),
    unless the shorter one would have no digits left in it (`2 seconds to 3 hours`)."""
    unit = _unit(most)
    if least < 0.95 * unit[0]:
        unit = _unit(least)
    (low, low_unit), (high, high_unit) = _parts(least, unit), _parts(most, _unit(most))
    if (low, low_unit) == (high, high_unit):
        return _joined(high, high_unit)
    if unit == _unit(most):
        return f"{low} to {_joined(high, high_unit)}"
    return f"{_joined(low, low_unit)} to {_joined(high, high_unit)}"


def _unit(seconds: float) -> tuple[int, str]:
    """The largest unit of which there are enough: its length in seconds, and its name."""
    for size, name in UNITS:
        # as it would be printed: 89.6 seconds are 90, and so 1.5 minutes
        if round(seconds) >= LEAST * size:
            return size, name
    return UNITS[-1]


def _parts(seconds: float, unit: tuple[int, str]) -> tuple[str, str]:
    """(number, name of its unit)."""
    size, name = unit
    value = seconds / size
    if 0 < seconds < SHORT:
        return f"less than {SHORT:g}", name
    text = f"{value:.1f}".removesuffix(".0") if value < 9.95 else f"{value:,.0f}"
    return text, name


def _joined(number: str, name: str) -> str:
    return f"{number} {name}" if number == "1" else f"{number} {name}s"
