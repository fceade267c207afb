"""What a person sets for themselves: language and appearance; and who they are."""

from typing import Annotated, Any, Literal

import msgspec
from litestar import Request, Response, get, post
from litestar.datastructures import Cookie
from litestar.di import NamedDependency
from litestar.enums import RequestEncodingType
from litestar.params import Body
from litestar.response import Redirect

from fleet.storage import accounts
from web.auth import is_local
from web.language import LANGUAGE_COOKIE
from web.pages.rendering import THEME_COOKIE, page
from web.services import Services
from web.tokens import Claims
from web.visits import OPEN, Visit

_YEAR_S = 365 * 86_400


class PreferencesForm(msgspec.Struct, frozen=True):
    """What is left out stays as it is."""

    language: Literal["fr", "en"] | None = None
    theme: Literal["auto", "light", "dark"] | None = None
    next: Annotated[str, msgspec.Meta(max_length=1_000)] = "/"


@get("/account", include_in_schema=False)
async def account_page(request: Request[Any, Any, Any], visit: NamedDependency[Visit]) -> Response[str]:
    async with visit.enter():
        pass  # who it is stands in the visit once the session was found alive
    return page(request, "account.html", person=visit.person)


@post("/preferences", opt=OPEN, include_in_schema=False)
async def set_preferences(
    data: Annotated[PreferencesForm, Body(media_type=RequestEncodingType.URL_ENCODED)],
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
) -> Redirect:
    """Also before logging in: the choice lives in this browser, the language in the person's account as well."""
    response = Redirect(data.next if is_local(data.next) else "/", status_code=303)
    if data.language is not None:
        response.set_cookie(_choice(LANGUAGE_COOKIE, data.language, services))
        if isinstance(request.user, Claims):
            visit = Visit(services.pool, request.user, request.scope)
            async with visit.enter() as connection:
                await accounts.update_person(connection, visit.person.id, name=None, locale=data.language)
    if data.theme is not None:
        response.set_cookie(_choice(THEME_COOKIE, data.theme, services))
    return response


def _choice(name: str, value: str, services: Services) -> Cookie:
    return Cookie(
        key=name, value=value, path="/", max_age=_YEAR_S, httponly=True, secure=services.secure_cookies, samesite="lax"
    )
