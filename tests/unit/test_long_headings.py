"""Headings of nothing but blanks, brackets and the like: each is gone through once, or reading one would take hours."""

import msgspec
import pytest

from fleet.codecs.files import huawei, sma_channels
from fleet.codecs.files.guess import guess
from fleet.codecs.files.guess_shape import shape_of
from fleet.codecs.files.reading import Content, Context
from fleet.codecs.files.wide_csv import WideCsv
from fleet.file_limits import FILE_HEAD_BYTES, FILE_LINE_CHARS_MAX, WIDE_HOLES_MAX
from tests.file_reading import RECEIVED

LONG = FILE_LINE_CHARS_MAX - 100


@pytest.mark.parametrize("blank", [" ", "\t", "# ", "A ", "ESN", "ESN:"])
def test_huawei(blank: str) -> None:
    text = f"#{blank * (LONG // len(blank))}é"
    assert not huawei.recognises(text.encode()[:FILE_HEAD_BYTES])
    content = f"#INV1 ESN:2102000001\n#Time;Pac\n{text}\n".encode()
    list(huawei.read(Content(lambda: [content]), Context("min.csv", "Europe/Paris", RECEIVED)))


@pytest.mark.parametrize("blank", [" ", "_", "(", "( ", "[x]", "x_", "\N{NO-BREAK SPACE}", "(kWh)"])
def test_a_guess(blank: str) -> None:
    title = f"E{blank * (LONG // len(blank))}!!!!!!!!"
    text = f"Time;{title};Power (kW)\n2024-07-01T10:00;1;2\n2024-07-01T10:05;1;2\n2024-07-01T10:10;1;2\n"
    found = guess(text.encode(), Context("a.csv", "Europe/Paris", RECEIVED))
    assert found.columns[-1].measure == "pv_power_w"


def test_sma() -> None:
    assert sma_channels.channel("GridMs.TotW" + " " * LONG + "é") is None
    assert sma_channels.channel("GridMs.TotW (Avg) ") == sma_channels.channel("GridMs.TotW")


@pytest.mark.parametrize(
    ("title", "name", "unit"),
    [
        ("Energy_(kWh) ", "Energy", "kWh"),
        ("Energy [kWh]", "Energy", "kWh"),
        ("Energy (AC) [ kWh ]", "Energy (AC)", "kWh"),
        ("Energy kWh", "Energy", "kWh"),
        ("E_DAY_kWh", "E_DAY", "kWh"),
        ("(kWh)", "(kWh)", "kWh"),
        ("Energy (total)", "Energy (total)", ""),
    ],
)
def test_names_and_units_come_out_as_before(title: str, name: str, unit: str) -> None:
    text = f"Time;{title};x\n2024-07-01T10:00;1;2\n2024-07-01T10:05;1;2\n"
    assert shape_of(text.encode()).name(1) == (name, unit)


def test_few_columns_of_a_declaration_stand_for_several() -> None:
    columns = [{"at": f"Upv{{n}} {number}", "measure": "dc_voltage_v_{n}"} for number in range(WIDE_HOLES_MAX + 1)]
    time = {"at": ["Time"]}
    assert len(msgspec.convert({"time": time, "columns": columns[1:]}, WideCsv).columns) == WIDE_HOLES_MAX
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"time": time, "columns": columns}, WideCsv)
