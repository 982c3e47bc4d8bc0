"""Values as bytes, by a closed list of types: how a candidate's value gets to the comparison.

No pickle and no marshal: bytes made by hostile code can decode to nothing but the types below, no
deeper than DEPTH and no larger than what was sent. A subclass keeps its name and its content but
not its methods, so an overridden __eq__ has no effect. What has no encoding (a generator, an open
file) becomes Opaque and equals nothing.

    N T F   none, true, false           l t S Z d   list, tuple, set, frozenset, dict: count, items
    i f c   int, float, complex         q D r       Fraction, Decimal, range
    s b     str, bytes                  n a         numpy scalar, array: type, shape, bytes
    x       subclass: name, content     o           opaque: name

Encoding knows arrays only where other code loaded numpy: in the sandbox, standard library only."""

import contextlib
import math
import re
import struct
import sys
from decimal import Decimal
from fractions import Fraction
from itertools import islice
from typing import Any

DEPTH = 100  # of nesting; the deepest value of HumanEval+ and MBPP+ has under 10
ITERATED = 1_000_000  # elements taken from an iterator
NAME = 60  # characters kept of a type's name
ARRAYS = frozenset("biufc")  # numpy kinds: bool, int, unsigned, float, complex
# one of these and its size in bytes; numpy would also read lists of fields
ARRAY = re.compile(rb"[<|>][biufc]\d{1,2}")
LONGEST_PART = 100_000  # bits of a Fraction's parts: the time to reduce it grows by their square
BASES: tuple[type[Any], ...] = (
    int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset,
)  # fmt: skip

_length, _double, _pair = struct.Struct("<I"), struct.Struct("<d"), struct.Struct("<dd")
# most values are lists of small numbers: what an integer of so many bytes and a float begin with
_int_heads = [b"i" + _length.pack(size) for size in range(9)]
_tagged_double = struct.Struct("<cd")


class Opaque:
    """A value that is none of the codec's types. It is not None, and it equals nothing."""

    def __init__(self, name: str):
        self.name = name


class TooLong(ValueError):
    """A value's bytes are more than they may be."""


class _Bytes(bytearray):
    longest = math.inf  # bytes after which a list, tuple, set or dict is not taken further


def encode(value: object, iterate: bool = False, longest: float = math.inf) -> bytes:
    """The bytes of a value. iterate: a value without an encoding is sent as its elements (at most
    ITERATED) if it has any. Raises ValueError if it is nested deeper than DEPTH, as a cycle is, and
    TooLong for more than `longest` bytes."""
    out = _Bytes()
    out.longest = longest
    _encode(value, out, DEPTH, iterate)
    if len(out) > longest:
        raise TooLong(f"a value of more than {longest:.0f} bytes")
    return bytes(out)


def _sized(out: _Bytes, tag: bytes, content: bytes) -> None:
    out += tag
    out += _length.pack(len(content))
    out += content


def _encode(value: Any, out: _Bytes, depth: int, iterate: bool = False) -> None:
    if depth < 0:
        raise ValueError(f"a value nested deeper than {DEPTH}")
    if len(out) > out.longest:
        raise TooLong(f"a value of more than {out.longest:.0f} bytes")
    kind = type(value)
    if value is None:
        out += b"N"
    elif kind is bool:
        out += b"T" if value else b"F"
    elif kind is int:
        _sized(out, b"i", value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True))
    elif kind is float:
        out += b"f" + _double.pack(value)
    elif kind is str:
        _sized(out, b"s", value.encode("utf-8", "surrogatepass"))
    elif kind is list or kind is tuple or kind is set or kind is frozenset:
        out += b"l" if kind is list else b"t" if kind is tuple else b"S" if kind is set else b"Z"
        out += _length.pack(len(value))
        if value and not depth:
            raise ValueError(f"a value nested deeper than {DEPTH}")
        for item in value:
            if type(item) is int and (size := item.bit_length() // 8 + 1) < 9:
                out += _int_heads[size] + item.to_bytes(size, "little", signed=True)
            elif type(item) is float:
                out += _tagged_double.pack(b"f", item)
            else:
                _encode(item, out, depth - 1)
    elif kind is dict:
        out += b"d" + _length.pack(len(value))
        for key, item in value.items():
            _encode(key, out, depth - 1)
            _encode(item, out, depth - 1)
    else:
        _encode_rare(value, kind, out, depth, iterate)


def _encode_rare(value: Any, kind: type, out: _Bytes, depth: int, iterate: bool) -> None:
    if kind is complex:
        out += b"c" + _pair.pack(value.real, value.imag)
    elif kind is bytes:
        _sized(out, b"b", value)
    elif kind is Fraction:
        out += b"q"
        _encode(value.numerator, out, depth)
        _encode(value.denominator, out, depth)
    elif kind is Decimal:
        _sized(out, b"D", str(value).encode())
    elif kind is range:
        out += b"r"
        for part in (value.start, value.stop, value.step):
            _encode(part, out, depth)
    elif kind.__module__ == "numpy" and _is_numpy(value, kind):
        array = sys.modules["numpy"].asarray(value)
        _sized(out, b"n" if kind.__name__ != "ndarray" else b"a", array.dtype.str.encode())
        out += _length.pack(array.ndim) + b"".join(_length.pack(n) for n in array.shape)
        out += array.tobytes()
    else:
        name = str(getattr(kind, "__name__", "object"))[:NAME].encode("utf-8", "replace")
        content = _content(value, kind)
        if content is None and iterate and kind.__name__ != "Opaque":
            with contextlib.suppress(TypeError):
                content = list(islice(iter(value), ITERATED))
        _sized(out, b"o" if content is None else b"x", name)
        if content is not None:
            _encode(content, out, depth - 1)


def _is_numpy(value: Any, kind: type) -> bool:
    numpy = sys.modules.get("numpy")
    return (
        numpy is not None
        and (kind is numpy.ndarray or issubclass(kind, numpy.generic))
        and value.dtype.kind in ARRAYS
        and value.dtype.itemsize <= 16
    )


def _content(value: Any, kind: type) -> object:
    """What a subclass of a basic type holds, read by the basic type's own methods; else None."""
    if kind.__name__ in ("dict_keys", "dict_items"):
        return set(value)
    for base in BASES:
        if issubclass(kind, base):
            if base is str:
                return str.__str__(value)
            if base is dict:
                return {key: dict.__getitem__(value, key) for key in dict.__iter__(value)}
            if base is int:
                return int.__add__(value, 0)
            if base is float:
                return float.__float__(value)
            if base is complex:
                return complex(complex.real.__get__(value), complex.imag.__get__(value))
            if base in (bytes, bytearray):
                return bytes(base.__getitem__(value, slice(None)))
            return base(base.__iter__(value))
    return None


def decode(data: bytes, classes: dict | None = None) -> object:
    """The value of these bytes. Raises ValueError where they are not exactly one value's encoding.
    Subclasses of one name are one type for values decoded with the same `classes`."""
    try:
        value, end = _decode(data, 0, DEPTH, {} if classes is None else classes)
    except (IndexError, struct.error, UnicodeError, TypeError, ArithmeticError) as error:
        raise ValueError(f"not a value: {type(error).__name__}") from error
    if end != len(data):
        raise ValueError("not a value: bytes are left over")
    return value


def _take(data: bytes, at: int) -> tuple[bytes, int]:
    """A length and that many bytes."""
    size = _length.unpack_from(data, at)[0]
    end = at + 4 + size
    if end > len(data):
        raise ValueError("not a value: cut off")
    return data[at + 4 : end], end


def _decode(data: bytes, at: int, depth: int, classes: dict) -> tuple[object, int]:
    if depth < 0:
        raise ValueError("not a value: nested too deep")
    tag, at = data[at], at + 1
    if tag == 0x4E:  # N
        return None, at
    if tag == 0x54 or tag == 0x46:  # T, F
        return tag == 0x54, at
    if tag == 0x69:  # i
        content, at = _take(data, at)
        return int.from_bytes(content, "little", signed=True), at
    if tag == 0x66:  # f
        return _double.unpack_from(data, at)[0], at + 8
    if tag == 0x73:  # s
        content, at = _take(data, at)
        return content.decode("utf-8", "surrogatepass"), at
    if tag in b"ltSZd":
        count, at = _length.unpack_from(data, at)[0], at + 4
        if count * (2 if tag == 0x64 else 1) > len(data) - at:  # an item takes a byte at least
            raise ValueError("not a value: cut off")
        items = []
        for _ in range(count * 2 if tag == 0x64 else count):
            item, at = _decode(data, at, depth - 1, classes)
            items.append(item)
        if tag == 0x64:
            return dict(zip(items[::2], items[1::2], strict=True)), at
        if tag == 0x6C:
            return items, at
        return {0x74: tuple, 0x53: set, 0x5A: frozenset}[tag](items), at
    return _decode_rare(tag, data, at, depth, classes)


def _decode_rare(tag: int, data: bytes, at: int, depth: int, classes: dict) -> tuple[object, int]:
    if tag in b"na":
        return _decode_numpy(tag, data, at)
    if tag == 0x63:  # c
        return complex(*_pair.unpack_from(data, at)), at + 16
    if tag in b"bDo":
        content, at = _take(data, at)
        if tag == 0x62:
            return content, at
        if tag == 0x44:
            return Decimal(content.decode()), at
        return Opaque(content.decode("utf-8", "replace")), at
    if tag in b"qr":
        parts = []
        for _ in range(2 if tag == 0x71 else 3):
            part, at = _decode(data, at, depth - 1, classes)
            if type(part) is not int:
                raise ValueError("not a value: a part that is no integer")
            if tag == 0x71 and part.bit_length() > LONGEST_PART:
                raise ValueError("not a value: a fraction of absurd length")
            parts.append(part)
        return (Fraction(*parts) if tag == 0x71 else range(*parts)), at
    if tag == 0x78:  # x
        name, at = _take(data, at)
        content, at = _decode(data, at, depth - 1, classes)
        base = type(content)
        if base not in BASES:
            raise ValueError("not a value: a subclass of what has none")
        key = (name[:NAME], base)
        if key not in classes:
            shown = name[:NAME].decode("utf-8", "replace").replace("\0", "")
            classes[key] = type(shown, (base,), {})
        return classes[key](content), at
    raise ValueError("not a value: unknown tag")


def _decode_numpy(tag: int, data: bytes, at: int) -> tuple[object, int]:
    import numpy

    name, at = _take(data, at)
    if not ARRAY.fullmatch(name):
        raise ValueError("not a value: unknown array type")
    dtype = numpy.dtype(name.decode())
    ndim, at = _length.unpack_from(data, at)[0], at + 4
    if ndim > 32 or (tag == 0x6E and ndim):
        raise ValueError("not a value: too many axes")
    shape = struct.unpack_from(f"<{ndim}I", data, at)
    at += 4 * ndim
    end = at + math.prod(shape) * dtype.itemsize
    if end > len(data):
        raise ValueError("not a value: cut off")
    array = numpy.frombuffer(data[at:end], dtype).reshape(shape)
    return (array[()] if tag == 0x6E else array), end
