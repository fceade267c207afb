"""A report's content as the template lays it out: every word in the owner's language, every figure in its form. Pure."""

import re
import unicodedata
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import msgspec
from babel.dates import format_date, format_datetime
from babel.numbers import format_decimal

from fleet.commissioning import PvArray
from fleet.corrections import Correction
from fleet.telemetry import UnixMs
from web.i18n import say
from web.language import Language
from web.pages import measures
from web.pages.site_form import direction_of
from web.report_content import ReportContent, ReportDevice
from web.report_findings import PrintedCheck, finding, is_shown, tally
from web.report_texts import words

_RUN = re.compile(r"\S{24,}")
_LABELS = (
    "arrays", "array", "peak_power", "azimuth", "tilt", "site", "people", "devices", "device", "profile", "serial", "checks",
    "details", "corrections", "notes", "signature", "draft_mark",
)  # fmt: skip
_CLOCK_UNITS = (("h", 3_600), ("min", 60), ("s", 1))
_SHORT = (6, 400)  # corrections, characters of its names: so much of a device stands on one page
_RUNNING_CHARS = 70  # of the site's name above the further pages: one line

Pairs = list[tuple[str, str]]


class PrintedDevice(msgspec.Struct, frozen=True):
    """long: may be split over pages; the others are kept together."""

    title: str
    long: bool
    id: str
    kind: str
    facts: Pairs
    measured: Pairs
    checks: list[PrintedCheck]
    corrections: list[str]


class Overview(msgspec.Struct, frozen=True):
    """A device's line in the list of all. state: the worst of its checks."""

    name: str
    kind: str
    serial: str
    state: str
    verdict: str


class Sheet(msgspec.Struct, frozen=True):
    """web/print/report.typ's data. labels: what the template itself says, of web.report_texts."""

    language: Language
    draft: bool
    title: str
    name: str
    running_name: str
    made: str
    author: str
    footer: str
    labels: dict[str, str]
    checks_at: str
    site: Pairs
    people: Pairs
    arrays: list[list[str]]
    overview: list[Overview]
    devices: list[PrintedDevice]
    notes: list[str]
    declaration: str
    signature: Pairs


def sheet(content: ReportContent, *, masked: bool = False) -> Sheet:
    """masked: a copy for a reader whom the number of the grid connection is not shown to."""
    return _Printer(content, masked=masked).sheet()


class _Printer:
    def __init__(self, content: ReportContent, *, masked: bool) -> None:
        self._content = content
        self._masked = masked
        self._language: Language = content.language
        self._words = words(content.language)
        self._zone = ZoneInfo(content.site.timezone)
        self._locale = "en_GB" if content.language == "en" else "fr_FR"

    def sheet(self) -> Sheet:
        content, said = self._content, self._words
        signed = content.signed_at is not None
        return Sheet(
            language=content.language,
            draft=not signed,
            title=said["title"].format(number=content.number) if signed else said["draft"],
            name=printable(content.site.name),
            running_name=shortened(printable(content.site.name)),
            made=self._time(content.signed_at or content.made_at),
            author=printable(content.signed_name or content.technician),
            footer=printable(said["footer"].format(site=content.site.id, number=content.number)),
            labels={name: said[name] for name in _LABELS},
            checks_at=said["checks_at"].format(moment=self._time(content.made_at)),
            site=self._site(),
            people=self._people(),
            arrays=[self._array(number, array) for number, array in enumerate(content.site.arrays, 1)],
            overview=[self._overview(device) for device in content.devices],
            devices=[self._device(device) for device in content.devices],
            notes=[printable(line) for line in content.notes.splitlines()],
            declaration=said["declaration"],
            signature=self._signature(),
        )

    def _site(self) -> Pairs:
        site, said = self._content.site, self._words
        rows = [
            (said["address"], site.address),
            (said["place"], f"{self._number(site.latitude, 5)} · {self._number(site.longitude, 5)}"),
            (said["pdl"], masked_pdl(site.pdl) if site.pdl and self._masked else site.pdl or said["not_entered"]),
            (said["peak_power"], self._kw(site.peak_power_w)),
            (said["timezone"], f"{site.timezone}. {said['local_times']}"),
        ]
        return _filled(rows)

    def _people(self) -> Pairs:
        site, said = self._content.site, self._words
        rows = [
            (said["owner"], site.owner),
            (said["installer"], site.installer or ""),
            (said["technician"], self._content.technician),
            (said["site_id"], site.id),
        ]
        return _filled(rows)

    def _array(self, number: int, array: PvArray) -> list[str]:
        return [
            str(number),
            self._kw(array.peak_power_w),
            f"{array.azimuth_deg:g}° ({say(self._language, direction_of(array.azimuth_deg))})",
            f"{array.tilt_deg:g}°",
        ]

    def _overview(self, device: ReportDevice) -> Overview:
        state, verdict = tally(device.checks, self._language)
        return Overview(
            name=printable(device.name),
            kind=printable(self._kind(device)),
            serial=printable(device.serial or self._words["no_serial"]),
            state=state,
            verdict=verdict,
        )

    def _device(self, device: ReportDevice) -> PrintedDevice:
        content, said = self._content, self._words
        certificate = device.certificate
        facts = [
            (said["serial"], device.serial or said["no_serial"]),
            (said["gateway"], device.gateway or ""),
            (said["certificate"], certificate.serial if certificate else said["no_certificate"] if device.gateway else ""),
            (said["validity"], self._range(certificate.not_before, certificate.not_after) if certificate else ""),
        ]
        measured = [
            (
                said["first_reading"],
                said["none"] if device.first_at is None else self._reading(device.first_at, device.first),
            ),
            (said["readings"], "" if device.readings_at is None else self._reading(device.readings_at, device.readings)),
        ]
        shown = [check for check in device.checks if is_shown(check)]
        return PrintedDevice(
            title=printable(device.name),
            long=len(device.corrections) > _SHORT[0] or len(device.name) + len(device.gateway or "") > _SHORT[1],
            id=printable(device.id),
            kind=printable(self._kind(device)),
            facts=_filled(facts),
            measured=_filled(measured),
            checks=[finding(check, content.site.timezone, content.made_at, self._language) for check in shown],
            corrections=[self._correction(correction) for correction in device.corrections],
        )

    def _kind(self, device: ReportDevice) -> str:
        return device.label_en if self._language == "en" else device.label_fr

    def _correction(self, correction: Correction) -> str:
        said = self._words[correction.kind].format(
            measure=measures.label(correction.measure, self._language),
            value=self._moved(correction.value) if correction.kind == "clock" else self._number(correction.value, 6),
            start=self._time(correction.from_at),
        )
        return printable(said)

    def _moved(self, seconds: float) -> str:
        """Exactly, in the largest unit that does."""
        unit, length_s = next((unit, length) for unit, length in _CLOCK_UNITS if seconds % length == 0 or length == 1)
        return f"{self._number(seconds / length_s, 3)} {unit}"

    def _signature(self) -> Pairs:
        content, said = self._content, self._words
        if content.signed_at is None:
            return [(said["signed_by"], said["unsigned"])]
        rows = [
            (said["signed_by"], content.signed_name),
            (said["account"], f"{content.technician} ({content.technician_email})"),
            (said["signed_at"], self._time(content.signed_at)),
            (said["copy"], said["copy_says"] if self._masked and content.site.pdl else ""),
        ]
        return _filled(rows)

    def _reading(self, at: UnixMs, values: dict[str, float]) -> str:
        """What has a name in people's words; everything where nothing has."""
        known = {name: value for name, value in values.items() if measures.label(name, self._language) != name} or values
        told = " · ".join(f"{each.label} {each.figure}" for each in measures.readings(known, self._language))
        return f"{self._time(at)} – {told}" if told else self._time(at)

    def _range(self, start: UnixMs, end: UnixMs) -> str:
        days = (
            format_date(datetime.fromtimestamp(at / 1000, self._zone), "long", locale=self._locale) for at in (start, end)
        )
        first, last = days
        return self._words["validity_range"].format(start=first, end=last)

    def _time(self, at: UnixMs) -> str:
        moment = datetime.fromtimestamp(at / 1000, UTC)
        return str(format_datetime(moment, "d MMMM y, HH:mm:ss", tzinfo=self._zone, locale=self._locale))

    def _number(self, value: float, decimals: int) -> str:
        return str(format_decimal(round(value, decimals), "#,##0." + "#" * decimals, locale=self._locale))

    def _kw(self, power_w: float) -> str:
        return f"{self._number(power_w / 1000, 3)} {'kWc' if self._language == 'fr' else 'kWp'}"


def _filled(rows: Pairs) -> Pairs:
    return [(label, printable(value)) for label, value in rows if value]


def masked_pdl(pdl: str) -> str:
    return "·" * 10 + pdl[-4:]


def shortened(text: str) -> str:
    return text if len(text) <= _RUNNING_CHARS else text[: _RUNNING_CHARS - 1].rstrip() + "…"


def printable(text: str) -> str:
    """Without control characters, and with places to break where a word is longer than a line."""
    shown = "".join(" " if unicodedata.category(each).startswith("C") else each for each in text)
    return _RUN.sub(lambda run: "\u200b".join(run[0][start : start + 12] for start in range(0, len(run[0]), 12)), shown)
