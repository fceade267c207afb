"""The form of a new site: what was typed, and what is wrong with it. Pure."""

import re
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

import msgspec

from fleet.commissioning import PvArray
from fleet.places import ZONES, department_of
from web.i18n import N_
from web.pages.forms import Errors, Fields, number_in, text_in

ARRAYS_MAX: Final = 20
_ARRAY = re.compile(r"array-(\d{1,3})-(peak_kw|azimuth|tilt)")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_DIRECTIONS: Final[Mapping[int, str]] = {
    315: N_("north-west"),
    0: N_("north"),
    45: N_("north-east"),
    270: N_("west"),
    90: N_("east"),
    225: N_("south-west"),
    180: N_("south"),
    135: N_("south-east"),
}  # in the order of a compass card, row by row; the middle stays free
SLOPES: Final = (
    (5, N_("Flat roof")),
    (15, N_("Low slope")),
    (30, N_("Tiled roof")),
    (45, N_("Steep roof")),
    (90, N_("Wall")),
)
"""Tilts in degrees that many roofs have."""


class Direction(NamedTuple):
    azimuth_deg: int
    name: str


class ArrayFields(msgspec.Struct, frozen=True):
    """As typed. azimuth: degrees."""

    peak_kw: str = ""
    azimuth: str = "180"
    tilt: str = "30"


class SiteForm(msgspec.Struct, frozen=True):
    """As typed, so that a form comes back as it was sent."""

    request_id: str
    name: str = ""
    owner_email: str = ""
    owner_name: str = ""
    owner_locale: str = "fr"
    street: str = ""
    postcode: str = ""
    town: str = ""
    latitude: str = ""
    longitude: str = ""
    timezone: str = "Europe/Paris"
    pdl: str = ""
    arrays: tuple[ArrayFields, ...] = (ArrayFields(),)


class Typed(msgspec.Struct, frozen=True):
    """What the form says once nothing is wrong with it. peak power in W, angles in degrees."""

    name: str
    owner_email: str
    owner_name: str
    owner_locale: Literal["fr", "en"]
    address: str
    department: str | None
    latitude: float
    longitude: float
    timezone: str
    pdl: str | None
    arrays: list[PvArray]


def compass() -> list[Direction]:
    return [Direction(azimuth, name) for azimuth, name in _DIRECTIONS.items()]


def direction_of(azimuth_deg: float) -> str:
    """The name of the nearest of eight; English, marked for the catalogue."""
    return _DIRECTIONS[round(azimuth_deg / 45) % 8 * 45]


def form_of(fields: Fields, request_id: str) -> SiteForm:
    """A removed roof leaves a gap in the numbers, which closes here."""
    known = {name: fields[name] for name in SiteForm.__struct_fields__ if name in fields and name != "arrays"}
    numbers = sorted({int(found[1]) for name in fields if (found := _ARRAY.fullmatch(name))})[:ARRAYS_MAX]
    arrays = tuple(
        ArrayFields(
            fields.get(f"array-{number}-peak_kw", ""),
            fields.get(f"array-{number}-azimuth", "180"),
            fields.get(f"array-{number}-tilt", "30"),
        )
        for number in numbers
    )
    return SiteForm(**{**known, "request_id": request_id}, arrays=arrays or (ArrayFields(),))


def checked(form: SiteForm) -> tuple[Typed | None, Errors]:
    """None and the errors by field, or the site and no errors."""
    errors: Errors = {}
    fields = _flat(form)
    name = text_in(fields, "name", 120, errors)
    email = text_in(fields, "owner_email", 200, errors)
    if email and not _EMAIL.fullmatch(email):
        errors["owner_email"] = N_("This does not look like an e-mail address.")
    owner_name = text_in(fields, "owner_name", 120, errors)
    text_in(fields, "street", 200, errors)
    text_in(fields, "town", 100, errors)
    postcode = text_in(fields, "postcode", 10, errors)
    if postcode and not re.fullmatch(r"\d{5}", postcode):
        errors["postcode"] = N_("A French postcode has five digits.")
    latitude = number_in(fields, "latitude", -85, 85, N_("A latitude is between −85 and 85."), errors)
    longitude = number_in(fields, "longitude", -180, 180, N_("A longitude is between −180 and 180."), errors)
    pdl = re.sub(r"\D", "", form.pdl)
    if form.pdl and len(pdl) != 14:
        errors["pdl"] = N_("The meter's number has 14 digits.")
    if form.timezone not in ZONES:
        errors["timezone"] = N_("Please choose one of the list.")
    arrays = [_array(fields, index, errors) for index in range(len(form.arrays))]
    if errors:
        return None, errors
    address = f"{form.street}, {postcode} {form.town}"
    locale: Literal["fr", "en"] = "en" if form.owner_locale == "en" else "fr"
    return (
        Typed(
            name, email, owner_name, locale, address, department_of(address), latitude, longitude, form.timezone,
            pdl or None, arrays,
        ),
        {},
    )  # fmt: skip


def _flat(form: SiteForm) -> dict[str, str]:
    flat = {name: value for name, value in msgspec.structs.asdict(form).items() if isinstance(value, str)}
    for index, array in enumerate(form.arrays):
        flat |= {f"array-{index}-{name}": value for name, value in msgspec.structs.asdict(array).items()}
    return flat


def _array(fields: Fields, index: int, errors: Errors) -> PvArray:
    peak_kw = number_in(
        fields,
        f"array-{index}-peak_kw",
        0.05,
        100_000,
        N_("A peak power in kilowatts: 6 for a house, up to 100,000."),
        errors,
    )
    azimuth_deg = number_in(fields, f"array-{index}-azimuth", 0, 360, N_("Degrees from 0 (north) to 360."), errors)
    tilt_deg = number_in(fields, f"array-{index}-tilt", 0, 90, N_("Degrees from 0 (flat) to 90 (upright)."), errors)
    return PvArray(round(peak_kw * 1000, 1), azimuth_deg % 360, tilt_deg)
