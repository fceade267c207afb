"""Enedis's words: headings whose accents come and go, numbers, meters' numbers, and what must not be shown of them."""

import re
from math import isfinite
from typing import Final

from fleet.codecs.files.numbers import MISSING
from fleet.codecs.files.reading import Refusal, Unreadable, refusal
from fleet.limits import READING_ABS_MAX
from fleet.serials import is_serial, serial_from

PRM_DIGITS: Final = 14

_MISSING: Final = frozenset(("", *MISSING))
_NUMBER: Final = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]*)?(?:[eE][+-]?[0-9]{1,2})?")
_CUT_BY_SPREADSHEET: Final = re.compile(r"[0-9](?:[.,][0-9]+)?[eE]\+?[0-9]+")
_METER: Final = re.compile(r"[0-9]{6,}([0-9]{4})(?![0-9])")  # also cut, or run together with something else
_BLANKS: Final = re.compile(r"\s+")


def skeleton(text: str) -> str:
    """A heading without what varies: 'Unité', 'Unite', 'Unit?' and 'UnitÃ©' all are 'unit'."""
    plain = "".join(each for each in text.lower() if " " <= each < "\x7f" and each not in "e?\"'")
    return _BLANKS.sub(" ", plain).strip()


def number(text: str) -> float | None:
    """None: missing. Raises ValueError."""
    if not text.isdecimal():
        text = text.strip()
        if text in _MISSING:
            return None
        if _NUMBER.fullmatch(text) is None:
            raise ValueError(text)
        text = text.replace(",", ".")
    found = float(text)
    if not isfinite(found) or abs(found) > READING_ABS_MAX:
        raise ValueError(text)
    return found


def serial_of(meter: str) -> str | None:
    """The serial of a delivery point; None where the file hides it. Raises Unreadable (cut_meter_number)."""
    meter = meter.strip().strip("\"'= ")
    if _CUT_BY_SPREADSHEET.fullmatch(meter):
        raise Unreadable("cut_meter_number", text=masked(meter))
    if meter.isdecimal() and PRM_DIGITS - 2 <= len(meter) < PRM_DIGITS:
        meter = meter.zfill(PRM_DIGITS)  # a spreadsheet took it for a number
    if is_serial(meter):
        return meter
    return serial_from(meter) if is_serial(serial_from(meter)) else None


def masked(text: str) -> str:
    """Meters' numbers but for the last four digits."""
    return _METER.sub(r"…\1", text)


def refused(code: str, line: int, text: str = "", column: int | None = None, **gaps: str) -> Refusal:
    """With nobody's meter number in it."""
    return refusal(code, line, column, masked(text), **{name: masked(gap) for name, gap in gaps.items()})
