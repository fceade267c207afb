"""A Sparkplug B edge node's payloads, written field by field: nothing of the codec's own, so that it is checked as well."""

import struct
from typing import NamedTuple

INT32, INT64, UINT64, FLOAT, DOUBLE, BOOLEAN, STRING = 3, 4, 8, 9, 10, 11, 12


class Metric(NamedTuple):
    """value: an int goes into its field as it is: whoever wants a negative one gives its two's complement."""

    value: int | float | None = None
    name: str | None = None
    alias: int | None = None
    datatype: int | None = None
    t: int | None = None
    unit: str | None = None
    historical: bool = False


def payload(*metrics: Metric, t: int | None = None, seq: int | None = None) -> bytes:
    said = b"" if t is None else number(1, t)
    said += b"".join(nested(2, metric(each)) for each in metrics)
    return said + (b"" if seq is None else number(3, seq))


def metric(given: Metric) -> bytes:
    said = b"" if given.name is None else nested(1, given.name.encode())
    for field, value in ((2, given.alias), (3, given.t), (4, given.datatype)):
        said += b"" if value is None else number(field, value)
    said += number(5, 1) if given.historical else b""
    if given.unit is not None:
        said += nested(9, nested(1, b"engUnit") + nested(2, number(1, STRING) + nested(8, given.unit.encode())))
    if given.value is None:
        return said + number(7, 1)
    if given.datatype == FLOAT:
        return said + tag(12, 5) + struct.pack("<f", given.value)
    if isinstance(given.value, int):
        return said + number(11 if given.datatype in {INT64, UINT64} else 10, given.value)
    return said + tag(13, 1) + struct.pack("<d", given.value)


def number(field: int, value: int) -> bytes:
    return tag(field, 0) + varint(value)


def nested(field: int, inner: bytes) -> bytes:
    return tag(field, 2) + varint(len(inner)) + inner


def tag(field: int, wire_type: int) -> bytes:
    return varint(field << 3 | wire_type)


def varint(value: int) -> bytes:
    said = bytearray()
    while value > 0x7F:
        said.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(said) + bytes([value])
