"""The series of a file: from the text of a point to rows, whatever the file around it looks like."""

from collections.abc import Hashable, Iterator
from typing import Final, Literal

from fleet.codecs.files.enedis.curve import Curve, End
from fleet.codecs.files.enedis.quantities import Quantity
from fleet.codecs.files.enedis.stamps import PARIS, Stamps, Texts, day_of, midnight
from fleet.codecs.files.enedis.words import number, refused
from fleet.codecs.files.local_time import DAY_MS
from fleet.codecs.files.reading import Found, Refusal, StampEnd, Unreadable
from fleet.file_limits import FILE_POINTS_HELD_MAX, FILE_SERIALS_MAX

# curve: intervals; days: the total of a local day, named by its date; instants: a level at the very time
Shape = Literal["curve", "days", "instants"]

_SERIES_OF_ONE: Final = 16  # two directions, raw and best, active, reactive, voltage


class Series:
    """Values of one quantity of one delivery point, in the order of the file."""

    def __init__(
        self,
        serial: str | None,
        quantity: Quantity,
        texts: Texts,
        *,
        shape: Shape = "curve",
        stamp: StampEnd | None = None,
        usual: End | None = None,
        declared_ms: int = 0,
        corrected: bool = False,
    ) -> None:
        self._stamps: Final = Stamps(texts)
        self._shape: Final = shape
        self._quantity: Final = quantity
        # The end of a day is told as the end of its interval, and an instant needs no step
        self._curve: Final = Curve(
            serial,
            quantity,
            stamp=stamp if shape == "curve" else "end",
            usual=usual,
            declared_ms=declared_ms,
            corrected=corrected,
        )

    def __len__(self) -> int:
        return len(self._curve)

    def add(self, line: int, stamp: str, told: str, step_ms: int = 0) -> Refusal | None:
        """step_ms: 0 if the file does not say. Refusals: bad_time, time_does_not_exist, bad_number, negative_energy."""
        try:
            t = self._stamps.utc(stamp) if self._shape != "days" else midnight(day_of(stamp[:10]))
        except ValueError:
            return refused("bad_time", line, stamp)
        if t is None:
            return refused("time_does_not_exist", line, stamp, zone=PARIS)
        try:
            value = number(told)
        except ValueError:
            return refused("bad_number", line, told)
        if value is not None and value < 0 and self._quantity.kind != "level":
            return refused("negative_energy", line, told)
        if self._shape == "days":
            end = midnight(day_of(stamp[:10]) + DAY_MS)
            self._curve.add(end, value, end - t)
        else:
            self._curve.add(t, value, step_ms)
        return None

    def found(self, *, last: bool = True) -> Iterator[Found]:
        return self._curve.found(last=last)


class AllSeries:
    """Those of a file, by whatever tells them apart. Holds FILE_POINTS_HELD_MAX points at most.

    for … : series.add(…)
            if all_series.is_full(): yield from all_series.older()
    yield from all_series.rest()
    """

    def __init__(self) -> None:
        self._series: Final[dict[Hashable, Series]] = {}
        self._serials: Final[set[str | None]] = set()
        self._held = 0

    def get(self, key: Hashable) -> Series | None:
        return self._series.get(key)

    def put(self, key: Hashable, serial: str | None, series: Series) -> Series:
        """Raises Unreadable (too_many_serials)."""
        self._serials.add(serial)
        if len(self._serials) > FILE_SERIALS_MAX or len(self._series) >= FILE_SERIALS_MAX * _SERIES_OF_ONE:
            raise Unreadable("too_many_serials", serials_max=str(FILE_SERIALS_MAX))
        self._series[key] = series
        return series

    def is_full(self) -> bool:
        """To be asked after each point."""
        self._held += 1
        return self._held >= FILE_POINTS_HELD_MAX

    def older(self) -> Iterator[Found]:
        """All but the last points of each, which those to come have to see."""
        for each in self._series.values():
            yield from each.found(last=False)
        self._held = sum(map(len, self._series.values()))

    def rest(self) -> Iterator[Found]:
        for each in self._series.values():
            yield from each.found()
        self._series.clear()
        self._held = 0
