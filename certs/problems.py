"""Refusals of the enrolment server: problem details (RFC 9457) in the caller's language, English unless asked otherwise."""

from typing import Any, Final

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, MethodNotAllowedException, NotFoundException
from litestar.types import Send

from certs import figures
from certs.texts import Language, text_of
from fleet.errors import FleetError, Unavailable
from fleet.storage.database import AWAY

PROBLEM_JSON: Final = "application/problem+json"
RETRY_AFTER_S: Final = {429: 60, 503: 2}

_STATUS: Final = {
    "claim_missing": 401,
    "claim_unknown": 401,
    "claim_wrong_code": 401,
    "claim_locked": 403,
    "claim_expired": 403,
    "claim_used": 403,
    "claim_cancelled": 403,
    "serial_taken": 409,
    "device_elsewhere": 409,
    "csr_malformed": 400,
    "csr_too_large": 413,
    "csr_bad_signature": 400,
    "csr_weak_key": 400,
    "csr_weak_hash": 400,
    "csr_is_ca": 400,
    "csr_for_another_device": 403,
    "no_client_certificate": 403,
    "certificate_unknown": 403,
    "certificate_revoked": 403,
    "certificate_superseded": 403,
    "certificate_expired": 403,
    "certificate_not_yet_valid": 403,
    "too_many_requests": 429,
    "busy": 503,
    "database_away": 503,
    "authority_expired": 503,
}

log = structlog.get_logger("certs.problems")


def codes() -> frozenset[str]:
    """Of the refusals that this server knows."""
    return frozenset(_STATUS)


class Problem(msgspec.Struct, frozen=True):
    type: str
    title: str
    status: int
    detail: str
    code: str


def problem_of(error: Exception, language: Language) -> Problem:
    """Of an unexpected error nothing is told but that it happened."""
    status, code, english = _facts(error)
    text = text_of(code, language)
    detail = english if english and language == "en" else text.detail
    return Problem(f"urn:solarperform:problem:{code}", text.title, status, detail, code)


def headers_of(problem: Problem, language: Language) -> dict[str, str]:
    headers = {"Cache-Control": "no-store", "Content-Language": language}
    if problem.status in RETRY_AFTER_S:
        headers["Retry-After"] = str(RETRY_AFTER_S[problem.status])
    if problem.status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="solarperform enrolment", charset="UTF-8"'
    return headers


def handle(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    language = language_of(request.headers.get("accept-language", ""))
    problem = problem_of(error, language)
    figures.answers.labels(problem.code).inc()
    if problem.status == 500:
        log.error("request_failed", path=request.scope["path"], exc_info=error)
    headers = headers_of(problem, language)
    if isinstance(error, MethodNotAllowedException) and error.headers:
        headers.update(error.headers)
    return Response(problem, status_code=problem.status, media_type=PROBLEM_JSON, headers=headers)


async def refuse(scope: Any, send: Send, error: FleetError) -> None:
    """Before there is an application that could; the connection ends with it."""
    language = language_of(dict(scope["headers"]).get(b"accept-language", b"").decode("latin-1"))
    problem = problem_of(error, language)
    headers = headers_of(problem, language) | {"Content-Type": PROBLEM_JSON, "Connection": "close"}
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": raw})
    await send({"type": "http.response.body", "body": msgspec.json.encode(problem), "more_body": False})


def language_of(accept_language: str) -> Language:
    """The first of the two that is named and not refused; devices and curl ask for none."""
    for entry in accept_language[:200].lower().split(","):
        tag, _, quality = entry.strip().partition(";")
        if quality.replace(" ", "") in ("q=0", "q=0.0"):
            continue
        if tag.split("-")[0] == "fr":
            return "fr"
        if tag.split("-")[0] == "en":
            return "en"
    return "en"


def _facts(error: Exception) -> tuple[int, str, str]:
    """Status, code, English detail ('' = the code's own text)."""
    if isinstance(error, FleetError):
        unnamed = 503 if isinstance(error, Unavailable) else 500
        return _STATUS.get(error.code, unnamed), error.code, error.detail
    if isinstance(error, NotFoundException):
        return 404, "unknown_route", ""
    if isinstance(error, MethodNotAllowedException):
        return 405, "method_not_allowed", ""
    if isinstance(error, HTTPException) and error.status_code < 500:
        return error.status_code, "refused", error.detail
    if isinstance(error, AWAY):
        return 503, "database_away", ""
    return 500, "internal_error", ""
