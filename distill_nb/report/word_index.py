"""An index of the words of many texts, small enough to be searched in a browser (answers.js).

Bytes of an index, integers little-endian:
  u32 v, v bytes   the words, sorted by code point, lower case, UTF-8, one a line
  0 to 3 bytes     up to a multiple of 4
  u32 n, u32 × (n + 1)   the number of words; where each word's numbers begin among the bytes below
  the rest         the texts that have each word: ascending numbers as differences, the first from
                   -1, in LEB128"""

import re
from array import array

import numpy as np

WORD = re.compile(r"\w+")
LONGEST = 40  # characters of a word that count


def words(text: str) -> set[str]:
    """The words of a text as the index has them."""
    return {word[:LONGEST] for word in WORD.findall(text.lower())}


class WordIndex:
    """Collects texts by number, then encodes which words are in which."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}  # of words, in the order of their first sight
        self._word, self._text = array("I"), array("I")  # one pair a word and text

    def add(self, number: int, text: str) -> None:
        """Add a text under a number from 0 on; several texts may share one."""
        for word in words(text):
            self._word.append(self._numbers.setdefault(word, len(self._numbers)))
            self._text.append(number)

    def encoded(self) -> bytes:
        """The bytes of the index."""
        vocabulary = sorted(self._numbers)
        rank = np.empty(len(vocabulary), np.int64)
        rank[[self._numbers[word] for word in vocabulary]] = np.arange(len(vocabulary))
        pairs = rank[np.frombuffer(self._word, np.uint32)] << 32
        pairs = np.unique(pairs | np.frombuffer(self._text, np.uint32))
        word, text = pairs >> 32, pairs & 0xFFFFFFFF
        first = np.ones(len(word), bool)
        first[1:] = word[1:] != word[:-1]
        before = np.concatenate([[-1], text[:-1]]) if len(text) else text
        numbers, sizes = _leb128(text - np.where(first, -1, before))
        starts = np.concatenate([[0], np.cumsum(sizes)])
        at = starts[np.concatenate([np.flatnonzero(first), [len(word)]])]
        lines = "\n".join(vocabulary).encode()
        head = np.array([len(lines)], "<u4").tobytes() + lines + b"\0" * (-len(lines) % 4)
        table = np.concatenate([[len(vocabulary)], at]).astype("<u4").tobytes()
        return head + table + numbers


def _leb128(values: np.ndarray) -> tuple[bytes, np.ndarray]:
    """Numbers from 1 to 2^32 in LEB128, seven bits a byte, and how many bytes each takes."""
    sizes = np.ones(len(values), np.int64)
    for i in range(1, 5):
        sizes += values >> 7 * i > 0
    starts = np.cumsum(sizes) - sizes
    out = np.zeros(int(sizes.sum()), np.uint8)
    for i in range(5):
        longer = sizes > i
        more = (sizes[longer] > i + 1) * 0x80
        out[starts[longer] + i] = (values[longer] >> 7 * i & 0x7F) | more
    return out.tobytes(), sizes
