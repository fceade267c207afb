"""What the camera read off a box: a serial number, or something else that should be called by its name."""

import re
from typing import Final
from urllib.parse import parse_qsl, urlsplit

import msgspec

from fleet import claim_code
from fleet.errors import BadInput
from fleet.limits import SERIAL_CHARS_MAX, SERIAL_CHARS_MIN
from fleet.serials import is_serial

_LABELLED: Final = re.compile(
    r"(?:S\s*/\s*N|SN|SERIAL(?:\s*(?:NO|NUMBER|N°))?|N°\s*DE\s*S[ÉE]RIE)\s*[:#=.]\s*(?P<serial>\S+)", re.I
)
# GS1: the product under 01, the serial number under 21; in brackets where people read it, with separators for machines.
_GS1_SERIAL: Final = re.compile(
    r"(?:\(01\)\d{14}.*?\(21\)|(?:\][dQ][23])?\x1d?01\d{14}(?:21|.*?\x1d21))(?P<serial>[^\x1d(]{1,20})"
)
_ONE_WORD: Final = re.compile(r"\S+")
_SERIAL_KEYS: Final = frozenset(("sn", "serial", "serialnumber", "serial_number", "s"))

# How other kinds of code begin; the first one that fits names it.
_OTHERS: Final = (
    ("scanned_wifi", ("WIFI:",), "a Wi-Fi code"),
    ("scanned_contact", ("BEGIN:VCARD", "MECARD:", "BIZCARD:"), "a contact"),
    ("scanned_contact", ("MAILTO:", "TEL:", "SMSTO:", "SMS:", "MATMSG:"), "an address to write to or to call"),
    ("scanned_place", ("GEO:",), "a place on the map"),
    ("scanned_event", ("BEGIN:VEVENT", "BEGIN:VCALENDAR"), "an event"),
    ("scanned_payment", ("BCD\n", "BCD\r", "BITCOIN:", "SPD*"), "a payment"),
    ("scanned_pairing_code", ("MT:", "Z:", "ZWS:", "X-HM:", "OTPAUTH:"), "a code that pairs it with another system"),
)  # fmt: skip


class Scanned(msgspec.Struct, frozen=True):
    """profile: what kind of device such a serial belongs to, where that is certain."""

    serial: str
    profile: str | None = None


def understand(text: str) -> Scanned:
    """The serial in what was scanned or typed: bare, labelled (`S/N: …`), GS1, or as JSON or in a web address under `sn`.

    Raises BadInput, with a code of its own for each kind of thing that it can be instead: scanned_enrolment_code,
    scanned_web_address, scanned_wifi, scanned_contact, scanned_place, scanned_event, scanned_payment,
    scanned_pairing_code, scanned_product_code; else not_a_device_code.
    """
    text = text.strip().strip("\x1d\ufeff")
    if not text:
        raise BadInput("not_a_device_code", "there is nothing in it")
    if _is_enrolment_code(text):
        raise BadInput(
            "scanned_enrolment_code", "this is an enrolment code of ours: it belongs into the new device, not here"
        )
    for code, beginnings, name in _OTHERS:
        if text.upper().startswith(beginnings):
            raise BadInput(code, f"this is {name}, not the code on a device; its serial number is on the type plate")
    serial = _serial_in(text)
    if serial is None:
        raise BadInput("not_a_device_code", "no serial number is to be found in it; type the one on the type plate")
    if _is_ean(serial):
        raise BadInput("scanned_product_code", "this is the product's bar code, the same on every box; look for S/N")
    return Scanned(checked_serial(serial))


def checked_serial(text: str) -> str:
    """As it is stored. Raises BadInput (bad_serial)."""
    serial = text.strip()
    if not is_serial(serial):
        raise BadInput(
            "bad_serial",
            f"a serial number has {SERIAL_CHARS_MIN} to {SERIAL_CHARS_MAX} letters, digits and . _ / - between them",
        )
    return serial


def _serial_in(text: str) -> str | None:
    gs1 = _GS1_SERIAL.match(text)
    if gs1:
        return gs1["serial"]
    if text.startswith("{"):
        return _in_json(text)
    if re.match(r"[a-z][a-z0-9+.-]*://|www\.", text, re.I):
        return _in_address(text)
    labelled = _LABELLED.search(text)
    if labelled:
        return labelled["serial"].rstrip(";,")
    return text if _ONE_WORD.fullmatch(text) else None


def _in_json(text: str) -> str | None:
    try:
        found = msgspec.json.decode(text, type=dict[str, object])
    except msgspec.DecodeError:
        return None
    values = (value for name, value in found.items() if name.lower() in _SERIAL_KEYS)
    return next((str(value) for value in values if isinstance(value, str | int)), None)


def _in_address(text: str) -> str:
    try:
        query = parse_qsl(urlsplit(text).query)
    except ValueError:
        query = []
    for name, value in query:
        if name.lower() in _SERIAL_KEYS and is_serial(value):
            return value
    raise BadInput("scanned_web_address", "this is a web address, not the code on a device; its serial is on the type plate")


def _is_enrolment_code(text: str) -> bool:
    """The code itself, or the link that our own QR holds it in."""
    candidate = text.partition("#")[2].partition(".")[0] if "://" in text else text
    try:
        claim_code.parse(candidate)
    except BadInput:
        return False
    return True


def _is_ean(text: str) -> bool:
    """Thirteen digits with a right check digit (GS1 General Specifications 7.9)."""
    if len(text) != 13 or not text.isascii() or not text.isdigit():
        return False
    total = sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(text[:12]))
    return (10 - total % 10) % 10 == int(text[12])
