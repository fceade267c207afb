"""Rows as PostgreSQL's binary COPY wants them, made from columns without a loop per row.

Format: the manual's page on COPY, "Binary Format"; an array is its dimensions, whether it holds NULLs, its element type, and
then the elements, each after its length (array_send).
"""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER: Final = b"\xff\xff"
_EPOCH_2000_US: Final = 946_684_800_000_000
_FLOAT8_OID: Final = 701

Int64s = NDArray[np.int64]
Matrix = NDArray[np.float64]


def sample_rows(device: str, t: Int64s, readings: Matrix, ranks: Int64s, shift_ms: Int64s) -> Iterator[bytes]:
    """Fields: device_id text, time timestamptz, readings float8[], rank bigint, shift_ms bigint (NULL where it is 0).

    readings: rows x channels, NaN = NULL. Rows that lack the same channels have the same width, so they are made in one go;
    they come out group by group.
    """
    known = ~np.isnan(readings)
    pattern = np.packbits(np.column_stack([known, shift_ms != 0]), axis=1)
    kinds, kind_of = np.unique(pattern, axis=0, return_inverse=True)
    for kind in range(len(kinds)):
        rows = np.flatnonzero(kind_of == kind)
        first = rows[0]
        yield _alike(device, t[rows], readings[rows], ranks[rows], shift_ms[rows], known[first], bool(shift_ms[first]))


def _alike(
    device: str, t: Int64s, readings: Matrix, ranks: Int64s, shift_ms: Int64s, known: NDArray[np.bool_], shifted: bool
) -> bytes:
    name = device.encode()
    channels = len(known)
    array_bytes = 20 + 4 * channels + 8 * int(known.sum())
    fields: list[tuple[str, str]] = [("count", ">i2"), ("name_len", ">i4"), ("name", f"S{len(name)}")]
    fields += [("time_len", ">i4"), ("time", ">i8"), ("array_len", ">i4"), ("dims", ">i4"), ("nulls", ">i4"), ("oid", ">i4")]
    fields += [("size", ">i4"), ("bound", ">i4")]
    for channel in range(channels):
        fields.append((f"l{channel}", ">i4"))
        if known[channel]:
            fields.append((f"v{channel}", ">f8"))
    fields += [("rank_len", ">i4"), ("rank", ">i8"), ("shift_len", ">i4"), *([("shift", ">i8")] if shifted else [])]
    rows: Any = np.zeros(len(t), dtype=np.dtype(fields))
    rows["count"], rows["name_len"], rows["name"] = 5, len(name), name
    rows["time_len"], rows["time"] = 8, t * 1000 - _EPOCH_2000_US
    rows["array_len"], rows["dims"], rows["nulls"], rows["oid"] = array_bytes, 1, int(not known.all()), _FLOAT8_OID
    rows["size"], rows["bound"] = channels, 1
    for channel in range(channels):
        rows[f"l{channel}"] = 8 if known[channel] else -1
        if known[channel]:
            rows[f"v{channel}"] = readings[:, channel]
    rows["rank_len"], rows["rank"] = 8, ranks
    rows["shift_len"] = 8 if shifted else -1
    if shifted:
        rows["shift"] = shift_ms
    made: bytes = rows.tobytes()
    return made
