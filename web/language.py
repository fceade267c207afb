"""Which of the two languages a reader gets."""

from typing import Any, Literal, cast

from litestar.connection import ASGIConnection

Language = Literal["fr", "en"]
LANGUAGE_COOKIE = "sp_language"


def language_of(connection: ASGIConnection[Any, Any, Any, Any]) -> Language:
    """The person's own choice, else the choice made in this browser, else what the browser asks for, else French.

    A person's choice is known once their visit has entered (web.visits): ask after that.
    """
    for chosen in (connection.scope["state"].get("locale"), connection.cookies.get(LANGUAGE_COOKIE)):
        if chosen in ("fr", "en"):
            return cast("Language", chosen)
    return from_header(connection.headers.get("accept-language", ""))


def from_header(accept_language: str) -> Language:
    """RFC 9110 section 12.5.4, for two languages; the first of equally wished ones wins."""
    best: Language = "fr"
    best_quality = 0.0
    for entry in accept_language[:200].lower().split(","):
        tag, _, parameters = entry.strip().partition(";")
        name = tag.split("-")[0].strip()
        quality = _quality(parameters)
        if name in ("fr", "en") and quality > best_quality:
            best, best_quality = cast("Language", name), quality
    return best


def _quality(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    if name != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0
