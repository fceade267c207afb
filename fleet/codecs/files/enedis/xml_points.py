"""Points of load curves in XML, to the series that they belong to."""

from collections.abc import Iterator

import msgspec

from fleet.codecs.files.enedis.curve import End
from fleet.codecs.files.enedis.long_csv import Meant, SeriesOfRows
from fleet.codecs.files.enedis.series import Series
from fleet.codecs.files.enedis.xml_walk import Walker
from fleet.codecs.files.reading import Context, Found


class PointWalker(Walker):
    """stamp: which end of its interval a time names, by the flow's guide; no setting changes that."""

    def __init__(self, context: Context, stamp: End) -> None:
        super().__init__()
        settings = msgspec.structs.replace(context.settings, stamp=stamp)
        self._series = SeriesOfRows(msgspec.structs.replace(context, settings=settings), None)

    def add(self, meant: Meant, stamp: str, value: str) -> None:
        series = self._series.of(0, meant)
        if not isinstance(series, Series):
            if series is not None:
                self.told.append(series)
            return
        refusal = series.add(0, stamp, value, meant.step_ms)
        if refusal is not None:
            self.told.append(refusal._replace(line=self.line_of()))
        elif self._series.all.is_full():
            self.told.extend(self._series.all.older())

    def rest(self) -> Iterator[Found]:
        return self._series.all.rest()
