"""Rows as PostgreSQL's binary COPY wants them, made from columns without a loop per row.

Format: the manual's page on COPY, "Binary Format"; an array is its dimensions, whether it holds NULLs, its element type, and
then the elements, each after its length (array_send).
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER: Final = b"\xff\xff"
COLUMNS: Final = ("site_id", "device_id", "received_at", "time", "rank", "shift_ms", "readings")
_EPOCH_US: Final = 946_684_800_000_000  # PostgreSQL counts from 2000 on
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_FLOAT8_OID: Final = 701

Int64s = NDArray[np.int64]
Matrix = NDArray[np.float64]


class SampleRows:
    """Rows of one device in the order of COLUMNS. readings: rows x channels, NaN = NULL. shift_ms: 0 = NULL."""

    def __init__(
        self, site: str, device: str, received_at: datetime, t: Int64s, readings: Matrix, ranks: Int64s, shift_ms: Int64s
    ) -> None:
        received_us = (received_at - _EPOCH) // timedelta(microseconds=1)
        self._opening = len(COLUMNS).to_bytes(2, "big") + b"".join(
            len(value).to_bytes(4, "big") + value
            for value in (site.encode(), device.encode(), received_us.to_bytes(8, "big", signed=True))
        )
        self.t, self._readings, self._ranks, self._shift_ms = t, readings, ranks, shift_ms
        self._known = ~np.isnan(readings)

    def encoded(self, first: int, end: int) -> Iterator[bytes]:
        """The rows [first, end). Those that lack the same channels have the same width, so they are made in one go; they
        come out group by group.
        """
        known, shifted = self._known[first:end], self._shift_ms[first:end] != 0
        pattern = np.packbits(np.column_stack([known, shifted]), axis=1)
        if (pattern == pattern[0]).all():
            yield self._alike(slice(first, end), known[0], bool(shifted[0]))
            return
        kinds, kind_of = np.unique(pattern, axis=0, return_inverse=True)
        for kind in range(len(kinds)):
            rows = np.flatnonzero(kind_of == kind)
            yield self._alike(rows + first, known[rows[0]], bool(shifted[rows[0]]))

    def _alike(self, which: slice | Int64s, known: NDArray[np.bool_], shifted: bool) -> bytes:
        t = self.t[which]
        rows: Any = np.empty(len(t), dtype=_row_type(len(self._opening), known, shifted))
        rows["opening"] = np.void(self._opening)
        rows["time_len"], rows["time"] = 8, t * 1000 - _EPOCH_US
        rows["rank_len"], rows["rank"] = 8, self._ranks[which]
        rows["shift_len"] = 8 if shifted else -1
        if shifted:
            rows["shift"] = self._shift_ms[which]
        rows["array_len"], rows["dims"], rows["nulls"] = 20 + 4 * len(known) + 8 * int(known.sum()), 1, int(not known.all())
        rows["oid"], rows["size"], rows["bound"] = _FLOAT8_OID, len(known), 1
        readings = self._readings[which]
        for channel, is_known in enumerate(known):
            rows[f"len{channel}"] = 8 if is_known else -1
            if is_known:
                rows[f"value{channel}"] = readings[:, channel]
        made: bytes = rows.tobytes()
        return made


def _row_type(opening_bytes: int, known: NDArray[np.bool_], shifted: bool) -> np.dtype[Any]:
    fields = [("opening", f"V{opening_bytes}"), ("time_len", ">i4"), ("time", ">i8"), ("rank_len", ">i4"), ("rank", ">i8")]
    fields += [("shift_len", ">i4"), *([("shift", ">i8")] if shifted else [])]
    fields += [(name, ">i4") for name in ("array_len", "dims", "nulls", "oid", "size", "bound")]
    for channel, is_known in enumerate(known):
        fields += [(f"len{channel}", ">i4"), *([(f"value{channel}", ">f8")] if is_known else [])]
    return np.dtype(fields)
