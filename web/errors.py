"""Every refusal leaves as problem details (RFC 9457) with a stable `code`, in the reader's language."""

from collections.abc import Callable
from typing import Any, Self

import asyncpg
import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import (
    HTTPException,
    MethodNotAllowedException,
    NotFoundException,
    ValidationException,
)
from litestar.exceptions.http_exceptions import RequestEntityTooLarge

from fleet.device_setting import RefusedValues
from fleet.errors import BadInput, Conflict, FleetError, NotFound, StaleOwner, Unavailable
from web.if_match import etag
from web.language import Language, language_of
from web.rollout_texts import plan_problem
from web.setting_texts import setting_message
from web.texts import text_of

PROBLEM_JSON = "application/problem+json"
RETRY_AFTER_S = 5  # of 503: the parts that we wait for come back within seconds, or not soon

log = structlog.get_logger("web.errors")


class Unauthorised(FleetError):
    """Nobody is signed in, or not any more."""


class Forbidden(FleetError):
    """The asker is known and may see the thing, but must not do this."""


class TooMany(FleetError):
    """Too often; later works again."""


class Gone(FleetError):
    """Was possible once."""


class Taken(Conflict):
    """What stands in the way has a name, which every reader is told. about: that name, in no language."""

    def __init__(self, code: str, detail: str, about: str) -> None:
        super().__init__(code, detail)
        self.about = about

    def __reduce__(self) -> tuple[type[Self], tuple[str, str, str]]:
        return type(self), (self.code, self.detail, self.about)


class Elsewhere(BadInput):
    """For something else to do, whose name every reader is told. about: that name, in no language."""

    def __init__(self, code: str, detail: str, about: str) -> None:
        super().__init__(code, detail)
        self.about = about

    def __reduce__(self) -> tuple[type[Self], tuple[str, str, str]]:
        return type(self), (self.code, self.detail, self.about)


class Stale(Conflict):
    """What If-Match names is not in force any more. version: what is; current: that version, as the answer shows it."""

    def __init__(self, code: str, detail: str, version: int, current: object = None) -> None:
        super().__init__(code, detail)
        self.version = version
        self.current = current

    def __reduce__(self) -> tuple[type[Self], tuple[str, str, int, object]]:
        return type(self), (self.code, self.detail, self.version, self.current)


class ConfirmNeeded(Conflict):
    """So many devices are meant that it has to be said how many. count: what has to be said."""

    def __init__(self, count: int) -> None:
        super().__init__("confirm_needed", f"{count} devices are meant: say so with confirm_count {count}")
        self.count = count

    def __reduce__(self) -> tuple[type[Self], tuple[int]]:
        return type(self), (self.count,)


class Misdirected(FleetError):
    """Sent to a host that we are not."""


_STATUS: dict[type[FleetError], int] = {
    BadInput: 422,
    NotFound: 404,
    Conflict: 409,
    Stale: 412,
    Unavailable: 503,
    StaleOwner: 503,
    Unauthorised: 401,
    Forbidden: 403,
    TooMany: 429,
    Gone: 410,
    Misdirected: 421,
}


_LITESTAR_CODES: dict[type[HTTPException], str] = {
    NotFoundException: "unknown_route",
    MethodNotAllowedException: "method_not_allowed",
    RequestEntityTooLarge: "request_too_large",
}


class FieldError(msgspec.Struct, frozen=True):
    field: str
    message: str


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """Problem details. `errors`: the fields that a 422 is about. `version`, `desired`: what is in force, of a 412.
    `count`: what has to be confirmed, of a 409.
    """

    type: str
    title: str
    status: int
    detail: str
    code: str
    instance: str | None = None
    request_id: str | None = None
    errors: list[FieldError] = []
    version: int | None = None
    desired: Any = None
    count: int | None = None


# What PostgreSQL says of U+0000, as text and within JSON, and what a decoder says of a thousand levels: nobody sends these
# by accident. Exception → status, code, detail.
_NO_TEXT = (422, "invalid_request", "a text holds U+0000, which is no character of a text")
_GARBAGE: dict[type[Exception], tuple[int, str, str]] = {
    asyncpg.CharacterNotInRepertoireError: _NO_TEXT,
    asyncpg.UntranslatableCharacterError: _NO_TEXT,
    RecursionError: (400, "malformed_request", "the request is nested too deeply"),
}

# How a page shows a problem; the API answers JSON.
ProblemPage = Callable[[Request[Any, Any, Any], Problem], Response[Any]]


def problem_of(
    error: Exception, language: Language, *, instance: str | None = None, request_id: str | None = None
) -> Problem:
    """What may be told about any exception. Of an unexpected one: nothing but that it happened."""
    status, code, english, errors = _facts(error, language)
    text = text_of(code, status, language)
    detail = english if language == "en" and english else text.detail
    if code == "bad_plan":
        detail = plan_problem(english, language)
    if isinstance(error, Taken | Elsewhere) and error.about not in detail:
        detail = f"{detail} ({error.about})"
    problem = Problem(f"urn:solarperform:problem:{code}", text.title, status, detail, code, instance, request_id, errors)
    if isinstance(error, ConfirmNeeded):
        return msgspec.structs.replace(problem, detail=detail.replace("{count}", str(error.count)), count=error.count)
    if isinstance(error, Stale):
        return msgspec.structs.replace(problem, version=error.version, desired=error.current)
    return problem


def problem_response(problem: Problem) -> Response[Problem]:
    headers = {"Cache-Control": "no-store", "Content-Language": "fr"}
    if problem.status in (429, 503):
        headers["Retry-After"] = str(RETRY_AFTER_S if problem.status == 503 else 60)
    if problem.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="solarperform"'
    if problem.version is not None:
        headers |= etag(problem.version)
    return Response(problem, status_code=problem.status, media_type=PROBLEM_JSON, headers=headers)


def exception_handler(page: ProblemPage | None) -> Callable[[Request[Any, Any, Any], Exception], Response[Any]]:
    """page: shows problems of everything outside /api to people; without it they get JSON as well."""

    def handle(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
        language = language_of(request)
        request_id = request.scope["state"].get("request_id")
        problem = problem_of(error, language, instance=request.scope["path"], request_id=request_id)
        if problem.status == 500:
            log.error("request_failed", path=request.scope["path"], exc_info=error)
        response = page(request, problem) if page and _wants_page(request) else problem_response(problem)
        response.headers["Content-Language"] = language
        response.headers.setdefault("Vary", "Accept-Language, Cookie")
        if isinstance(error, MethodNotAllowedException) and error.headers:
            response.headers.update(error.headers)
        return response

    return handle


def _wants_page(request: Request[Any, Any, Any]) -> bool:
    return not request.scope["path"].startswith(("/api/", "/health/", "/metrics", "/static/"))


def _facts(error: Exception, language: Language) -> tuple[int, str, str, list[FieldError]]:
    """Status, code, English detail ('' = the code's own text), fields."""
    if isinstance(error, FleetError):
        status = next(_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS)
        problems = error.problems if isinstance(error, RefusedValues) else ()
        fields = [FieldError(each.key, setting_message(each, language)) for each in problems]
        return status, error.code, "" if status == 401 or fields else error.detail, fields
    if isinstance(error, ValidationException):
        return 422, "invalid_request", "", _field_errors(error)
    for garbage, facts in _GARBAGE.items():
        if isinstance(error, garbage):
            return *facts, []
    for kind, code in _LITESTAR_CODES.items():
        if isinstance(error, kind):
            return error.status_code, code, "", []
    if isinstance(error, HTTPException) and error.status_code < 500:
        return error.status_code, "malformed_request" if error.status_code == 400 else "refused", error.detail, []
    return 500, "internal_error", "", []


def _field_errors(error: ValidationException) -> list[FieldError]:
    entries = error.extra if isinstance(error.extra, list) else []
    return [
        FieldError(str(entry.get("key", "")), str(entry.get("message", ""))) for entry in entries if isinstance(entry, dict)
    ]
