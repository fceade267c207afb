"""Files of known formats as a spreadsheet writes them again: they read as they did before."""

import csv
import io
from collections.abc import Callable

import pytest

from fleet.codecs.files import registry
from tests.file_reading import read
from tests.samples.enedis_files import AUTUMN, CALENDAR, curve, index, intervals
from tests.samples.wide_samples import SAMPLES

FILES = {
    **{name: text for name, text in SAMPLES.items() if name != "solarperform-csv"},  # whose times are of two kinds
    "enedis-curve": curve(intervals(AUTUMN)),
    "enedis-index": index([("2024-07-01T00:00:00+02:00", 300), ("2024-07-02T00:00:00+02:00", 400)]) + CALENDAR,
}


def _cells(text: str, told: str) -> list[list[str]]:
    rows = list(csv.reader(io.StringIO(text.removeprefix("\ufeff")), delimiter=told))
    return [row for row in rows if row[:1] != [f"sep={told}"] and row[:1] != ["sep="]]  # nobody writes this again


def _written(rows: list[list[str]], delimiter: str, *, quoted: bool = False) -> str:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL).writerows(rows)
    return out.getvalue()


def _padded(rows: list[list[str]]) -> list[list[str]]:
    width = max(map(len, rows))
    return [row + [""] * (width - len(row)) for row in rows]


FORMS: dict[str, Callable[[list[list[str]], str], str]] = {
    "all in quotes": lambda rows, told: _written(rows, told, quoted=True),
    "padded": lambda rows, told: _written(_padded(rows), told),
    "semicolons": lambda rows, _: _written(_padded(rows), ";"),
    "commas": lambda rows, _: _written(_padded(rows), ","),
    "tabs": lambda rows, _: _written(_padded(rows), "\t"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", FILES)
def test_what_a_spreadsheet_wrote_reads_as_before(name: str, form: str) -> None:
    text = FILES[name]
    told = max(";,", key=text.count)
    again = FORMS[form](_cells(text, told), told)
    raw = again.encode("utf-16" if form == "tabs" else "cp1252", "replace")
    known = registry.recognised(raw)
    assert known is not None
    before = registry.by_id(name)
    assert before is not None
    assert known.id == name
    expected = read(before, text.encode())
    found = read(known, raw)
    assert found.rows == expected.rows
    assert found.unreadable is None
    assert sorted(set(found.codes)) == sorted(set(expected.codes))


def test_decimal_commas_become_points_where_commas_separate() -> None:
    shelly = (
        "Date/time UTC;Active energy Wh (1);Returned energy Wh (1)\r\n2024-07-01 10:00;100,5;0\r\n2024-07-01 10:10;90;1\r\n"
    )
    known = registry.recognised(shelly.encode())
    assert known is not None
    assert [row["import_interval_wh"] for row in read(known, shelly.encode()).rows[None].values()] == [100.5, 90.0]


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", '{"a": 1, "b": [1, 2]}', "<a><b>1</b></a>", "\x02ADCO,1\x03"])
def test_others_stay_unknown(text: str) -> None:
    assert registry.recognised(text.encode()) is None
