"""TIC, the customer's output of French meters: what each label means, a line and its checksum, a clock, a reading.

Source: Enedis-NOI-CPT_54E (Linky, historic and standard output); frames and checksums tried on recorded lines.

A frame is STX … ETX, a line in it LF … CR. Historic (1200 baud): `label SP value SP checksum`. Standard (9600 baud):
`label TAB [horodate TAB] value TAB checksum`. A checksum can be a SPACE: lines are never stripped before they come here.
PRM is a delivery point, so a home: it is no reading and belongs into no text.
"""

import re
from collections.abc import Mapping
from datetime import date
from functools import lru_cache
from typing import Final, Literal, NamedTuple

from fleet.telemetry import UnixMs

Kind = Literal["counter", "now", "past", "setting", "clock", "serial", "text", "personal"]


class Label(NamedTuple):
    """measure: ours, if it is one of ours. unit: '' for text.

    counter   only grows
    now       at the time of the frame
    past      a mean or a maximum of a period that is over, with a time of its own; its length is not told: no measure
    setting   of the contract
    """

    measure: str | None
    unit: str
    kind: Kind


class TicLine(NamedTuple):
    """horodate: as it stands in the line; utc() reads it."""

    label: str
    horodate: str | None
    value: str


class BadLine(ValueError):
    """Not a line of a frame (bad_tic_line), or one that was damaged on its way (bad_checksum)."""

    def __init__(self, code: Literal["bad_tic_line", "bad_checksum"]) -> None:
        super().__init__(code)
        self.code = code


_TIERS: Final = ("BASE", "HCHC", "HCHP", "EJPHN", "EJPHPM", "BBRHCJB", "BBRHPJB", "BBRHCJW", "BBRHPJW", "BBRHCJR", "BBRHPJR")
_SUPPLIER_INDEXES: Final = tuple(f"EASF{number:02}" for number in range(1, 11))
# What adds up to all that was ever drawn. A tariff's indexes count only together: without one of them the sum would fall.
_TOTALS: Final[tuple[tuple[str, ...], ...]] = (
    ("EAST",),
    _SUPPLIER_INDEXES,
    ("BASE",),
    ("HCHC", "HCHP"),
    ("EJPHN", "EJPHPM"),
    _TIERS[5:],
)
_SERIALS: Final = ("ADSC", "ADCO")

LABELS: Final[Mapping[str, Label]] = {
    # historic
    "ADCO": Label(None, "", "serial"),
    **{label: Label(None, "Wh", "counter") for label in _TIERS},
    "IINST": Label("ac_current_a", "A", "now"),
    **{f"IINST{phase}": Label(f"ac_current_a_l{phase}", "A", "now") for phase in (1, 2, 3)},
    "PAPP": Label("apparent_power_va", "VA", "now"),  # 0 while injecting
    **{label: Label(None, "A", "past") for label in ("IMAX", "IMAX1", "IMAX2", "IMAX3")},
    "PMAX": Label(None, "W", "past"),
    **{label: Label(None, "A", "now") for label in ("ADPS", "ADIR1", "ADIR2", "ADIR3")},
    "ISOUSC": Label(None, "A", "setting"),
    **{label: Label(None, "", "text") for label in ("OPTARIF", "PTEC", "PEJP", "DEMAIN", "HHPHC", "MOTDETAT", "PPOT")},
    # standard
    "ADSC": Label(None, "", "serial"),
    "DATE": Label(None, "", "clock"),
    "EAST": Label("import_energy_wh", "Wh", "counter"),
    "EAIT": Label("export_energy_wh", "Wh", "counter"),  # with a producer's contract only
    **{label: Label(None, "Wh", "counter") for label in _SUPPLIER_INDEXES},
    **{f"EASD{number:02}": Label(None, "Wh", "counter") for number in range(1, 5)},
    **{f"ERQ{quadrant}": Label(None, "VArh", "counter") for quadrant in range(1, 5)},
    "SINSTS": Label("apparent_power_va", "VA", "now"),
    **{f"SINSTS{phase}": Label(None, "VA", "now") for phase in (1, 2, 3)},
    "SINSTI": Label("export_apparent_power_va", "VA", "now"),
    **{f"IRMS{phase}": Label(f"ac_current_a_l{phase}", "A", "now") for phase in (1, 2, 3)},
    **{f"URMS{phase}": Label(f"ac_voltage_v_l{phase}", "V", "now") for phase in (1, 2, 3)},
    **{f"UMOY{phase}": Label(None, "V", "past") for phase in (1, 2, 3)},
    **{label: Label(None, "W", "past") for label in ("CCASN", "CCASN-1", "CCAIN", "CCAIN-1")},
    **{f"SMAXSN{phase}{day}": Label(None, "VA", "past") for phase in ("", "1", "2", "3") for day in ("", "-1")},
    **{label: Label(None, "VA", "past") for label in ("SMAXIN", "SMAXIN-1")},
    **{label: Label(None, "kVA", "setting") for label in ("PREF", "PCOUP")},
    **{label: Label(None, "", "text") for label in ("VTIC", "NGTF", "LTARF", "NTARF", "STGE", "RELAIS", "MSG1", "MSG2")},
    **{f"{kind}PM{number}": Label(None, "", "text") for kind in "DF" for number in (1, 2, 3)},
    **{label: Label(None, "", "text") for label in ("NJOURF", "NJOURF+1", "PJOURF+1", "PPOINTE")},
    "PRM": Label(None, "", "personal"),
}
MEASURES: Final[Mapping[str, str]] = {label: each.measure for label, each in LABELS.items() if each.measure is not None}
# A reading is made of these and of nothing else.
COUNTED: Final = frozenset(MEASURES) | {label for total in _TOTALS for label in total}

_PARTS: Final = (3, 4)  # label, [horodate,] value, and nothing behind the last TAB
_MARKS: Final = "".join(map(chr, range(0x20, 0x60)))
_LABEL: Final = re.compile(r"[A-Z][A-Z0-9]{1,8}(?:[+-]1)?")
_HORODATE: Final = re.compile(r"([HE])([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})")
_OFFSET_S: Final = {"H": 3_600, "E": 7_200}
_NUMBER: Final = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,6})?")
_EPOCH_DAY: Final = 719_163  # 1970-01-01 as the calendar counts


def decode_line(line: str) -> TicLine:
    """A line without its LF and CR, otherwise as the meter sent it. Raises BadLine."""
    if "\t" in line:
        checked, mark = line[:-1], line[-1]
        parts = checked.split("\t")
        label = parts[0]
        if len(parts) not in _PARTS or parts[-1] or (label not in LABELS and _LABEL.fullmatch(label) is None):
            raise BadLine("bad_tic_line")
        decoded = TicLine(label, parts[1] if len(parts) == 4 else None, parts[-2])
    else:
        checked, mark = line[:-2], line[-1:]
        label, separator, value = checked.partition(" ")  # a value can hold spaces: OPTARIF is "BBR( "
        if not separator or line[-2:-1] != " " or (label not in LABELS and _LABEL.fullmatch(label) is None):
            raise BadLine("bad_tic_line")
        decoded = TicLine(label, None, value)
    if checksum(checked) != mark:
        raise BadLine("bad_checksum")
    return decoded


def checksum(checked: str) -> str:
    """checked: historic `label SP value`; standard all of the line up to and including its last TAB."""
    return _MARKS[sum(checked.encode("latin-1", "replace")) & 0x3F]


def utc(horodate: str) -> UnixMs | None:
    """Of SAAMMJJhhmmss, S being H (+01:00) or E (+02:00). None where the meter doubts its clock: lower case, or blank."""
    found = _HORODATE.fullmatch(horodate)
    if found is None:
        return None
    season, year, month, day, hour, minute, second = found.groups()
    midnight = _midnight_s(2000 + int(year), int(month), int(day))
    if midnight is None or hour > "23" or minute > "59" or second > "59":
        return None
    return (midnight + int(hour) * 3_600 + int(minute) * 60 + int(second) - _OFFSET_S[season]) * 1_000


def number(value: str | float) -> float | None:
    """None for what is no number."""
    if isinstance(value, str):
        if value.isdecimal() and value.isascii() and len(value) <= 12:
            return float(value)
        return float(value) if _NUMBER.fullmatch(value) is not None else None
    return float(value) if 0 <= value < 1e15 else None


def reading(labels: Mapping[str, str | float]) -> dict[str, float]:
    """measure → value, from what one frame told: its values as text, or already as numbers. What is no number is left out.

    All energy ever drawn: EAST, else the ten supplier's indexes, else the historic tariff's, if none of them is missing.
    """
    found: dict[str, float] = {}
    for label, value in labels.items():
        measure = MEASURES.get(label)
        if measure is not None and (known := number(value)) is not None:
            found[measure] = known
    if "import_energy_wh" not in found:
        for total in _TOTALS[1:]:
            if total[0] in labels:
                indexes = [number(labels[label]) if label in labels else None for label in total]
                counted = [index for index in indexes if index is not None]
                if len(counted) == len(total):
                    found["import_energy_wh"] = sum(counted)
                    break
    return found


def serial(labels: Mapping[str, str | float]) -> str | None:
    """The meter's own number (12 digits; older ones can begin with a letter)."""
    return next((str(labels[label]) for label in _SERIALS if labels.get(label)), None)


@lru_cache(maxsize=64)
def _midnight_s(year: int, month: int, day: int) -> int | None:
    try:
        return (date(year, month, day).toordinal() - _EPOCH_DAY) * 86_400
    except ValueError:
        return None
