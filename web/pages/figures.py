"""Figures as people read them; the rules of web/assets/src/format.ts, and test/figures.json there holds both to them."""

from math import isfinite
from typing import NamedTuple

from babel.numbers import format_decimal

from web.language import Language

NO_VALUE = "—"
_LOCALE = {"fr": "fr_FR", "en": "en_GB"}
_PATTERN = ("#,##0", "#,##0.0", "#,##0.00")


class Figure(NamedTuple):
    text: str
    unit: str

    def __str__(self) -> str:
        return f"{self.text}\u00a0{self.unit}" if self.unit else self.text


_NOTHING = Figure(NO_VALUE, "")


def decimal(value: float, digits: int, language: Language) -> str:
    rounded = round(value, digits) + 0.0  # + 0.0 turns −0.0 into 0.0
    return format_decimal(rounded, format=_PATTERN[digits], locale=_LOCALE[language])


def power(power_w: float | None, language: Language) -> Figure:
    """W, kW or MW: three digits that matter, never more than two after the comma."""
    if power_w is None or not isfinite(power_w):
        return _NOTHING
    size = abs(round(power_w))
    if size < 1_000:
        return Figure(decimal(round(power_w), 0, language), "W")
    if size < 1_000_000:
        return Figure(decimal(power_w / 1_000, 2 if size < 10_000 else 1, language), "kW")
    return Figure(decimal(power_w / 1_000_000, 2 if size < 10_000_000 else 1, language), "MW")


def energy(energy_wh: float | None, language: Language) -> Figure:
    """kWh, from 100 MWh on in MWh."""
    if energy_wh is None or not isfinite(energy_wh):
        return _NOTHING
    size = abs(energy_wh)
    if size < 9_995:
        return Figure(decimal(energy_wh / 1_000, 2, language), "kWh")
    if size < 100_000_000:
        return Figure(decimal(energy_wh / 1_000, 1, language), "kWh")
    return Figure(decimal(energy_wh / 1_000_000, 1, language), "MWh")


def peak(peak_power_w: float, language: Language) -> Figure:
    """Peak power: kWc in French, kWp in English."""
    return Figure(decimal(peak_power_w / 1_000, 1, language), "kWc" if language == "fr" else "kWp")


def percent(share: float | None, language: Language) -> str:
    if share is None or not isfinite(share):
        return NO_VALUE
    return decimal(round(share * 100), 0, language) + ("\u202f%" if language == "fr" else "%")


def file_size(size_bytes: float, language: Language) -> Figure:
    """Bytes, kB or MB: as file managers tell it."""
    units = ("o", "Ko", "Mo", "Go") if language == "fr" else ("B", "kB", "MB", "GB")
    place = 0
    while size_bytes >= 1_000 and place < len(units) - 1:
        size_bytes /= 1_000
        place += 1
    return Figure(decimal(size_bytes, 1 if place and size_bytes < 10 else 0, language), units[place])


def size(size_bytes: float, language: Language) -> Figure:
    return Figure(decimal(size_bytes / 1_048_576, 0, language), "Mo" if language == "fr" else "MB")
