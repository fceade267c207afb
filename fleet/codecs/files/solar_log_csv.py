"""Solar-Log's CSV export: `#Date;Time;INV;Pac;DaySum;Status;Error;Pdc1;Udc1;Uac;Idc1;Iac;INV;Pac;…`, a group per inverter.

Source: third parties' viewers and parsers, recorded files; the JavaScript files of the same logger (solar_log) for what
they share. Each `INV` begins an inverter's columns and holds its number, from 1; whose it is, base_vars.js says if the
logger has sent it. Dates are dd.mm.yy or dd/mm/yy, some firmware has a 12-hour clock with AM and PM; local time without a
zone, the end of the 5 minutes by analogy with the JS files. Pac in W, DaySum in Wh since midnight, voltages in V. Units of
currents and DC powers differ between devices and are told nowhere, so those are not read. Lines end in CR LF; ISO-8859-1.
"""

import re
from collections.abc import Iterator
from typing import Final

from fleet.codecs.files import wide_reading
from fleet.codecs.files.lines import head_lines
from fleet.codecs.files.reading import Content, Context, FileFormat, Found, refusal
from fleet.codecs.files.solar_log import PLANT
from fleet.codecs.files.solar_log_plant import inverters, unnamed
from fleet.codecs.files.wide_csv import Column, TimeCells, WideCsv

_BEGINS: Final = "#date;time;inv;"
_DECLARATION: Final = WideCsv(
    time=TimeCells(at=("Date", "Time"), order="dmy", stamp="end"),
    header_like="#Date;Time;INV",
    group_at="INV",
    columns=(
        Column("Pac", "pv_power_w", "W"),
        Column("DaySum", "pv_day_energy_wh", "Wh", optional=True),
        Column("Udc{n}", "dc_voltage_v_{n}", "V", optional=True),
        Column("Uac", "ac_voltage_v", "V", optional=True),
        Column("Temp", "inverter_temp_c", "°C", optional=True),
        Column("Status", "state", optional=True),
    ),
)


def recognises(head: bytes) -> bool:
    return any(text.lower().startswith(_BEGINS) for text in head_lines(head, 5))


def read(content: Content, context: Context) -> Iterator[Found]:
    """Raises Unreadable."""
    known = inverters(context.definitions.get(PLANT, ""))
    others: set[str] = set()

    def naming(text: str) -> str | None:
        if not text.isdecimal() or not 1 <= int(text[:4]) <= 999:
            return ""
        inverter = known.get(int(text) - 1, unnamed(int(text) - 1))
        if not inverter.is_inverter:
            others.add(inverter.name)
        return inverter.serial if inverter.is_inverter else None

    yield from wide_reading.read(_DECLARATION, content, context, naming=naming)
    for name in sorted(others):
        yield refusal("not_an_inverter", 1, text=name, name=name[:80])


FORMAT: Final = FileFormat(
    "solar-log-csv",
    "Solar-Log (CSV)",
    "Solar-Log (CSV)",
    "imported-inverter",
    recognises,
    read,
    re.compile(r"inverter-[0-9]+"),
)
