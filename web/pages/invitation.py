"""The page behind the link in an owner's e-mail: a password of his own, and straight on to his site."""

from typing import Annotated, Any

from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from litestar.response import Redirect

from fleet.errors import BadInput
from fleet.limits import PASSWORD_CHARS_MIN
from web.auth import set_cookies
from web.errors import Problem, problem_of
from web.invitations import Invitation, accept, look
from web.language import Language, language_of
from web.pages.forms import Fields
from web.pages.rendering import now_ms, page
from web.services import Services
from web.visits import OPEN, client_address

Token = Annotated[str, QueryParameter(max_length=200)]


@get("/invitation", opt=OPEN, include_in_schema=False)
async def invitation_page(
    request: Request[Any, Any, Any], services: NamedDependency[Services], token: Token = ""
) -> Response[str]:
    """Raises NotFound, Gone, TooMany: the page for problems says so."""
    found = await look(services, token, client_address(request))
    return _page(request, found, token, {}, None)


@post("/invitation", opt=OPEN, include_in_schema=False)
async def accept_invitation(request: Request[Any, Any, Any], services: NamedDependency[Services]) -> Response[Any]:
    form = await request.form()
    fields = {name: value for name, value in form.multi_items() if isinstance(value, str)}  # spaces may be in a password
    address = client_address(request)
    token = fields.get("token", "")[:200]
    locale: Language = "en" if fields.get("locale") == "en" else "fr"
    password, name = fields.get("password", "")[:256], _line(fields.get("name", ""))[:120]
    try:
        if password != fields.get("again", ""):
            raise BadInput("passwords_differ", "the two passwords are not the same")
        grant = await accept(services, token, password, name, locale, address)
    except BadInput as error:
        found = await look(services, token, address)
        return _page(request, found, token, fields, problem_of(error, language_of(request)))
    response = Redirect("/", status_code=303)
    set_cookies(response, grant, services)
    return response


def _line(text: str) -> str:
    return "".join(each if each.isprintable() else " " for each in text)


def _page(
    request: Request[Any, Any, Any], found: Invitation, token: str, fields: Fields, refusal: Problem | None
) -> Response[str]:
    return page(
        request,
        "invitation.html",
        status=refusal.status if refusal else 200,
        invitation=found,
        token=token,
        name=fields.get("name", found.name),
        locale=fields.get("locale", found.locale),
        refusal=refusal,
        password_chars_min=PASSWORD_CHARS_MIN,
        now=now_ms(),
    )
