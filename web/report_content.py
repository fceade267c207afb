"""What a commissioning report states: gathered for the draft, kept with the signature, printed."""

from typing import Literal

import msgspec

from fleet.commissioning import CheckCode, CheckState, Evidence, PvArray
from fleet.corrections import Correction
from fleet.ids import DeviceId, SiteId
from fleet.profiles import DeviceKind
from fleet.telemetry import UnixMs


class ReportSite(msgspec.Struct, frozen=True):
    """pdl: in full, where the one who drafts may see it; a copy for others masks it."""

    id: SiteId
    name: str
    address: str
    latitude: float
    longitude: float
    timezone: str
    peak_power_w: float
    arrays: list[PvArray]
    pdl: str | None
    owner: str
    installer: str | None


class ReportCertificate(msgspec.Struct, frozen=True):
    serial: str
    not_before: UnixMs
    not_after: UnixMs


class ReportCheck(msgspec.Struct, frozen=True):
    code: CheckCode
    state: CheckState
    evidence: Evidence = {}


class ReportDevice(msgspec.Struct, frozen=True):
    """certificate: the one in force. first_at, first: its first sample; readings_at, readings: the newest, corrected."""

    id: DeviceId
    name: str
    kind: DeviceKind
    profile: str
    label_fr: str
    label_en: str
    serial: str | None
    gateway: str | None
    certificate: ReportCertificate | None
    first_at: UnixMs | None
    first: dict[str, float]
    readings_at: UnixMs | None
    readings: dict[str, float]
    checks: list[ReportCheck]
    corrections: list[Correction]


class ReportContent(msgspec.Struct, frozen=True):
    """language: the owner's. signed_name, signed_at: '' and None in a draft."""

    number: int
    language: Literal["fr", "en"]
    made_at: UnixMs
    site: ReportSite
    technician: str
    technician_email: str
    devices: list[ReportDevice]
    notes: str = ""
    signed_name: str = ""
    signed_at: UnixMs | None = None
