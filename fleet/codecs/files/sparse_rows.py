"""Collects rows into blocks where the measures differ from row to row: damaged frames, channels with times of their own."""

from collections.abc import Iterator, Mapping
from typing import Final

from fleet.codecs.files.reading import Rows, Unreadable
from fleet.file_limits import FILE_ROWS_PER_BLOCK, FILE_SERIALS_MAX
from fleet.telemetry import UnixMs


class SparseRows:
    """for … : yield from rows.add(serial, t, reading)        yield from rows.rest()"""

    def __init__(self) -> None:
        self.serials: Final[dict[str, None]] = {}  # that rows or name() told of so far, in their order
        self._open: Final[dict[str | None, dict[UnixMs, dict[str, float]]]] = {}
        self._held = 0

    def add(self, serial: str | None, t: UnixMs, reading: Mapping[str, float]) -> Iterator[Rows]:
        """What is told twice of one instant becomes one row. Raises Unreadable (too_many_serials)."""
        rows = self._open.get(serial)
        if rows is None:
            if serial is not None:
                self.name(serial)
            rows = self._open.setdefault(serial, {})
        known = rows.get(t)
        if known is None:
            rows[t] = dict(reading)
            self._held += 1
        else:
            known.update(reading)
        if self._held >= FILE_ROWS_PER_BLOCK:
            yield from self.rest()

    def name(self, serial: str) -> None:
        """The first serial is also that of rows which had none so far. Raises Unreadable (too_many_serials)."""
        if serial in self.serials:
            return
        if len(self.serials) >= FILE_SERIALS_MAX:
            raise Unreadable("too_many_serials", serials_max=str(FILE_SERIALS_MAX))
        if not self.serials and None in self._open:
            self._open[serial] = self._open.pop(None)
        self.serials[serial] = None

    def rest(self) -> Iterator[Rows]:
        for serial, rows in self._open.items():
            measures = tuple(dict.fromkeys(measure for reading in rows.values() for measure in reading))
            if measures:
                yield Rows(
                    serial, measures, list(rows), [[each.get(measure) for each in rows.values()] for measure in measures]
                )
        self._open.clear()
        self._held = 0
