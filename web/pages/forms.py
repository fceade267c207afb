"""Forms as browsers send them: names and texts, and what was wrong with them, field by field."""

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from litestar import Request

from fleet.errors import BadInput
from web.i18n import N_

_FIELDS_MAX = 300
_CHARS_MAX = 20_000
REQUEST_ID_CHARS = (8, 64)

Fields = Mapping[str, str]
Errors = dict[str, str]  # name of the field → English text, marked for the catalogue

MISSING = N_("Please fill this in.")
NOT_A_NUMBER = N_("Please enter a number.")


async def fields_of(request: Request[Any, Any, Any]) -> dict[str, str]:
    """The last value of each name, without spaces around it. Raises BadInput (invalid_request)."""
    return {name: value.strip() for name, value in await items_of(request)}


async def items_of(request: Request[Any, Any, Any], items_max: int = _FIELDS_MAX) -> list[tuple[str, str]]:
    """Every name with its text as sent, for forms in which one stands several times. Raises BadInput (invalid_request)."""
    form = await request.form()
    found = [(name, value) for name, value in form.multi_items() if isinstance(value, str)]
    if len(found) > items_max or any(len(value) > _CHARS_MAX or "\0" in value for _, value in found):
        raise BadInput("invalid_request", "the form is larger than any of ours")
    return found


def new_request_id() -> str:
    """Names one form: however often it is sent, it makes one thing."""
    return uuid4().hex


def request_id_of(fields: Fields) -> str:
    given = fields.get("request_id", "")
    shortest, longest = REQUEST_ID_CHARS
    return given if shortest <= len(given) <= longest else new_request_id()


def number(text: str) -> float | None:
    """As people type it, with a comma or a point; None when it is none."""
    try:
        found = float(text.replace("\u202f", "").replace("\u00a0", "").replace(" ", "").replace(",", "."))
    except ValueError:
        return None
    return found if abs(found) < 1e12 else None  # also false for what is not a number


def number_in(fields: Fields, name: str, low: float, high: float, wrong: str, errors: Errors) -> float:
    """low when it is missing or wrong; errors then says so."""
    text = fields.get(name, "")
    value = number(text)
    if value is None:
        errors[name] = NOT_A_NUMBER if text else MISSING
    elif not low <= value <= high:
        errors[name] = wrong
    else:
        return value
    return low


def text_in(fields: Fields, name: str, chars_max: int, errors: Errors) -> str:
    text = fields.get(name, "")
    if not text:
        errors[name] = MISSING
    elif len(text) > chars_max:
        errors[name] = N_("This is too long.")
    return text
