"""A report's content as the template lays it out: every word in the owner's language, every figure in its form. Pure."""

import re
import unicodedata
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import msgspec
from babel.dates import format_date, format_datetime
from babel.numbers import format_decimal

from fleet.corrections import Correction
from fleet.telemetry import UnixMs
from web.language import Language
from web.report_content import ReportCheck, ReportContent, ReportDevice
from web.report_texts import words

_RUN = re.compile(r"\S{24,}")
_UNITS = {"w": "W", "wh": "Wh", "pct": "%", "v": "V", "a": "A", "hz": "Hz", "c": "°C", "m2": "W/m²", "s": "s", "deg": "°"}

Pairs = list[tuple[str, str]]


class PrintedCheck(msgspec.Struct, frozen=True):
    state: str
    verdict: str
    question: str


class PrintedDevice(msgspec.Struct, frozen=True):
    title: str
    facts: Pairs
    checks: list[PrintedCheck]
    corrections: list[str]


class Labels(msgspec.Struct, frozen=True):
    arrays: str
    array_head: list[str]
    devices: str
    corrections: str
    notes: str
    signature: str


class Sheet(msgspec.Struct, frozen=True):
    """web/print/report.typ's data."""

    language: Language
    title: str
    subtitle: str
    author: str
    footer: str
    labels: Labels
    site: Pairs
    arrays: list[list[str]]
    devices: list[PrintedDevice]
    notes: str
    declaration: str
    signature: Pairs


def sheet(content: ReportContent) -> Sheet:
    return _Printer(content).sheet()


class _Printer:
    def __init__(self, content: ReportContent) -> None:
        self._content = content
        self._words = words(content.language)
        self._zone = ZoneInfo(content.site.timezone)
        self._locale = "en_GB" if content.language == "en" else "fr_FR"

    def sheet(self) -> Sheet:
        content, said = self._content, self._words
        signed = content.signed_at is not None
        return Sheet(
            language=content.language,
            title=said["title"].format(number=content.number) if signed else said["draft"],
            subtitle=printable(content.site.name),
            author=printable(content.signed_name or content.technician),
            footer=printable(said["footer"].format(site=content.site.id, number=content.number)),
            labels=Labels(
                arrays=said["arrays"],
                array_head=[said["array"], said["peak_power"], said["azimuth"], said["tilt"]],
                devices=said["devices"],
                corrections=said["corrections"],
                notes=said["notes"],
                signature=said["signature"],
            ),
            site=self._site(),
            arrays=[
                [str(number), self._kw(array.peak_power_w), f"{array.azimuth_deg:g}°", f"{array.tilt_deg:g}°"]
                for number, array in enumerate(content.site.arrays, 1)
            ],
            devices=[self._device(device) for device in content.devices],
            notes=printable(content.notes),
            declaration=said["declaration"],
            signature=self._signature(),
        )

    def _site(self) -> Pairs:
        site, said = self._content.site, self._words
        rows = [
            (said["site_id"], site.id),
            (said["owner"], site.owner),
            (said["installer"], site.installer or ""),
            (said["technician"], self._content.technician),
            (said["address"], site.address),
            (said["place"], f"{self._number(site.latitude, 5)} · {self._number(site.longitude, 5)}"),
            (said["pdl"], site.pdl or ""),
            (said["peak_power"], self._kw(site.peak_power_w)),
            (said["timezone"], f"{site.timezone}. {said['local_times']}"),
        ]
        return [(label, printable(value)) for label, value in rows if value]

    def _device(self, device: ReportDevice) -> PrintedDevice:
        said = self._words
        certificate = device.certificate
        rows = [
            (said["profile"], device.label_en if self._content.language == "en" else device.label_fr),
            (said["serial"], device.serial or ""),
            (said["gateway"], device.gateway or ""),
            (said["certificate"], certificate.serial if certificate else said["no_certificate"] if device.gateway else ""),
            (said["validity"], self._range(certificate.not_before, certificate.not_after) if certificate else ""),
            (
                said["first_reading"],
                said["none"] if device.first_at is None else self._reading(device.first_at, device.first),
            ),
            (said["readings"], "" if device.readings_at is None else self._reading(device.readings_at, device.readings)),
        ]
        return PrintedDevice(
            title=printable(f"{device.name} · {device.id}"),
            facts=[(label, printable(value)) for label, value in rows if value],
            checks=[self._check(check) for check in device.checks],
            corrections=[self._correction(correction) for correction in device.corrections],
        )

    def _check(self, check: ReportCheck) -> PrintedCheck:
        said = self._words
        return PrintedCheck(check.state, said.get(check.state, check.state), said.get(f"check_{check.code}", check.code))

    def _correction(self, correction: Correction) -> str:
        said = self._words["correction"].format(
            kind=self._words.get(correction.kind, correction.kind),
            measure=self._name(correction.measure),
            value="" if correction.kind == "sign" else self._number(correction.value, 6),
            start=self._time(correction.from_at),
        )
        return printable(re.sub(r" +(?=,)", "", re.sub(r" {2,}", " ", said)))

    def _signature(self) -> Pairs:
        content, said = self._content, self._words
        if content.signed_at is None:
            return [(said["signed_by"], said["unsigned"])]
        return [
            (said["signed_by"], printable(content.signed_name)),
            (said["account"], printable(f"{content.technician} ({content.technician_email})")),
            (said["signed_at"], self._time(content.signed_at)),
        ]

    def _reading(self, at: UnixMs, values: dict[str, float]) -> str:
        """Those that have a name in people's words; all of them where none has."""
        named = {name: value for name, value in values.items() if name in self._words} or values
        told = ", ".join(
            f"{self._name(name)} {self._number(value)} {unit_of(name)}".strip() for name, value in named.items()
        )
        return f"{self._time(at)} – {told}" if told else self._time(at)

    def _name(self, measure: str) -> str:
        return self._words.get(measure, measure.replace("_", " "))

    def _range(self, start: UnixMs, end: UnixMs) -> str:
        days = (
            format_date(datetime.fromtimestamp(at / 1000, self._zone), "long", locale=self._locale) for at in (start, end)
        )
        first, last = days
        return self._words["validity_range"].format(start=first, end=last)

    def _time(self, at: UnixMs) -> str:
        moment = datetime.fromtimestamp(at / 1000, UTC)
        return str(format_datetime(moment, "d MMMM y, HH:mm:ss", tzinfo=self._zone, locale=self._locale))

    def _number(self, value: float, decimals: int = 2) -> str:
        return str(format_decimal(round(value, decimals), "#,##0." + "#" * decimals, locale=self._locale))

    def _kw(self, power_w: float) -> str:
        return (
            f"{self._number(power_w / 1000, 3)} kWc"
            if self._content.language == "fr"
            else f"{self._number(power_w / 1000, 3)} kWp"
        )


def unit_of(measure: str) -> str:
    """'W' of 'pv_power_w', 'V' of 'ac_voltage_v_l1'; '' where it has none."""
    for part in reversed(measure.split("_")):
        if part in _UNITS:
            return _UNITS[part]
    return ""


def printable(text: str) -> str:
    """Without control characters, and with places to break where a word is longer than a line."""
    shown = "".join(" " if unicodedata.category(each).startswith("C") else each for each in text)
    return _RUN.sub(lambda run: "\u200b".join(run[0][start : start + 12] for start in range(0, len(run[0]), 12)), shown)
