"""Samples by column: how many of them travel together, from a file's reader to the twin that stores them."""

from typing import Final

import msgspec

from fleet.ids import DeviceId

_NUMBER_BITS: Final = 48
_MINUTE_BITS: Final = 11
_CORRECTED: Final = 1 << (_NUMBER_BITS + _MINUTE_BITS)
DAY_MS: Final = 86_400_000


class ColumnBlock(msgspec.Struct, frozen=True):
    """Rows of one device, in any order.

    t       little-endian int64 for each row: Unix ms UTC
    values  little-endian float64, measure after measure, each as many as t; NaN where it says nothing
    ranks   little-endian int64 for each row (see rank_of)
    """

    device: DeviceId
    measures: tuple[str, ...]
    t: bytes
    values: bytes
    ranks: bytes


class BulkReport(msgspec.Struct, frozen=True):
    """What became of a block's rows; each is counted once.

    new: also those that filled in what a row had lacked. corrected: another value stood there before; it is kept as history.
    late: older than history is kept, or of a day whose totals are final. future: ahead of the platform's clock.
    useless: nothing in it that the device's profile wants.
    """

    new: int = 0
    same: int = 0
    corrected: int = 0
    late: int = 0
    future: int = 0
    useless: int = 0

    def __add__(self, other: "BulkReport") -> "BulkReport":
        return BulkReport(
            *(a + b for a, b in zip(msgspec.structs.astuple(self), msgspec.structs.astuple(other), strict=True))
        )


def rank_of(file_number: int, newest_of_day_ms: int, *, corrected: bool) -> int:
    """Which of two files is believed about the same instant: the one of the higher rank.

    First whether it is a corrected curve; then how much of that day (UTC) the file has for that device, since the file of
    the day grows and what it said last is provisional; then which file came later. So the order in which files are read
    does not matter. The lowest bits are the file's number.
    """
    minute = newest_of_day_ms % DAY_MS // 60_000
    return (_CORRECTED if corrected else 0) | minute << _NUMBER_BITS | file_number
