"""An array of flat maps in CBOR, one map at a time: all of CBOR (RFC 8949) that SenML needs.

A reader of our own, because a general one cannot give a file's records one by one, so that 32 MiB of hostile nesting would
be hundreds of megabytes of objects, and because it would act on tags (dates, patterns, references) that a device has no
reason to send. Here are numbers, texts, byte strings, true, false and null; of the tags decimal fractions (4), which RFC
8428 allows; others are read over. Arrays and maps within a record are refused.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from fleet.limits import CBOR_FIELDS_MAX

Value = int | float | str | bytes | None
Record = dict[str, Value]


class NotCbor(ValueError):
    """Not an array of flat maps, or cut off. Its text says what is wrong with which record."""


_ARRAY, _MAP, _TAG, _SIMPLE = 4, 5, 6, 7
_INDEFINITE: Final = 31
_BREAK: Final = 0xFF
_DECIMAL_FRACTION: Final = 4
_EXPONENT_MAX: Final = 300  # beyond it is no number of ours
_SIZES: Final = {24: 1, 25: 2, 26: 4, 27: 8}
_SMALL: Final = {head: head if head < 0x20 else 0x1F - head for head in (*range(0x18), *range(0x20, 0x38))}  # −24 … 23
_DOUBLE: Final[Callable[[bytes, int], tuple[float]]] = struct.Struct(">d").unpack_from
_FLOATS: Final[dict[int, Callable[[bytes, int], tuple[float]]]] = {
    25: struct.Struct(">e").unpack_from,
    26: struct.Struct(">f").unpack_from,
    27: _DOUBLE,
}
_CONSTANTS: Final = {20: False, 21: True, 22: None, 23: None}


def is_array(raw: bytes) -> bool:
    return raw[:1] != b"" and raw[0] >> 5 == _ARRAY


def records(raw: bytes, labels: Mapping[int, str]) -> Iterator[Record]:
    """labels: what keys that are numbers mean; others may be ignored, and are. Raises NotCbor, also after some records."""
    number = 0
    try:
        if not is_array(raw):
            raise NotCbor("not an array")
        left, position = _size(raw, 0)
        while left != 0:
            if left is None and raw[position] == _BREAK:
                position += 1
                break
            number += 1
            record, position = _record(raw, position, labels)
            yield record
            left = None if left is None else left - 1
    except (IndexError, struct.error):
        raise NotCbor(f"it ends within record {number}") from None
    except (NotCbor, UnicodeDecodeError) as error:
        raise NotCbor(f"record {number}: {error}") from None
    if position != len(raw):
        raise NotCbor(f"{len(raw) - position} bytes follow its end")


def _record(raw: bytes, position: int, labels: Mapping[int, str]) -> tuple[Record, int]:
    """What most records are made of (small keys, short texts, doubles, whole numbers of 32 bits) is read on the spot."""
    if raw[position] >> 5 != _MAP:
        raise NotCbor("not a map")
    left, position = _size(raw, position)
    record: Record = {}
    value: Value
    while left != 0:
        head = raw[position]
        if left is None and head == _BREAK:
            position += 1
            break
        small = _SMALL.get(head)
        key, position = _key(raw, position, labels) if small is None else (labels.get(small, ""), position + 1)
        head = raw[position]
        if head == 0xFB:
            value, position = _DOUBLE(raw, position + 1)[0], position + 9
        elif 0x60 <= head < 0x78 and position + head < len(raw) + 0x5F:
            end = position + head - 0x5F
            value, position = raw[position + 1 : end].decode(), end
        elif head == 0x1A and position + 4 < len(raw):
            value, position = int.from_bytes(raw[position + 1 : position + 5], "big"), position + 5
        else:
            value, position = _value(raw, position)
        if key:
            record[key] = value
        if len(record) > CBOR_FIELDS_MAX:
            raise NotCbor(f"more than {CBOR_FIELDS_MAX} fields")
        left = None if left is None else left - 1
    if not record:
        raise NotCbor("nothing in it that has a meaning")
    return record, position


def _key(raw: bytes, position: int, labels: Mapping[int, str]) -> tuple[str, int]:
    key, position = _value(raw, position)
    if isinstance(key, float | bytes | bool) or key is None:
        raise NotCbor("a key is neither a number nor a text")
    return (labels.get(key, "") if isinstance(key, int) else key), position


def _size(raw: bytes, position: int) -> tuple[int | None, int]:
    """The argument of a head, and where what follows begins. None: it ends with a break."""
    info = raw[position] & 31
    if info < 24:
        return info, position + 1
    if info == _INDEFINITE:
        return None, position + 1
    end = position + 1 + _SIZES.get(info, 99)
    if end > len(raw) or info not in _SIZES:
        raise IndexError
    return int.from_bytes(raw[position + 1 : end], "big"), end


def _value(raw: bytes, position: int) -> tuple[Value, int]:
    major, info = raw[position] >> 5, raw[position] & 31
    if major == _SIMPLE:
        if info in _FLOATS:
            return _FLOATS[info](raw, position + 1)[0], position + 1 + _SIZES[info]
        if info in _CONSTANTS:
            return _CONSTANTS[info], position + 1
        raise NotCbor("an unknown simple value")
    size, after = _size(raw, position)
    if size is None or major in {_ARRAY, _MAP}:
        raise NotCbor("a list, a map or pieces within a record")
    if major == _TAG:
        return _decimal_fraction(raw, after) if size == _DECIMAL_FRACTION else _untagged(raw, after)
    if major <= 1:
        return (size if major == 0 else -1 - size), after
    end = after + size
    if end > len(raw):
        raise IndexError
    return (raw[after:end] if major == 2 else raw[after:end].decode()), end


def _untagged(raw: bytes, position: int) -> tuple[Value, int]:
    if raw[position] >> 5 == _TAG:
        raise NotCbor("a tag within a tag")
    return _value(raw, position)


def _decimal_fraction(raw: bytes, position: int) -> tuple[float, int]:
    """[exponent, mantissa], both whole."""
    if raw[position] != 0x82:
        raise NotCbor("a decimal fraction without its two parts")
    exponent, position = _value(raw, position + 1)
    mantissa, position = _value(raw, position)
    if not isinstance(exponent, int) or not isinstance(mantissa, int) or abs(exponent) > _EXPONENT_MAX:
        raise NotCbor("a decimal fraction that is no number of ours")
    return float(f"{mantissa}e{exponent}"), position
