"""How a site's owner comes in: a link by e-mail, a password of his own, and he is signed in."""

import hashlib
import secrets
import time
from typing import Annotated, Any, Literal

import msgspec
from litestar import Request, Response, Router, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from fleet.errors import NotFound
from fleet.storage import accounts, audit, invitations
from fleet.storage.invitations import InvitationRow
from fleet.telemetry import UnixMs
from web.auth import TokenAnswer, answer_grant
from web.errors import Gone
from web.new_sites import PersonName
from web.services import Services
from web.sessions import Grant, open_session
from web.visits import OPEN, acting, client_address


class Acceptance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """token: from the link. cookies: true for a browser, as with /auth/login."""

    token: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    password: Annotated[str, msgspec.Meta(max_length=256)]
    name: PersonName | None = None
    locale: Literal["fr", "en"] | None = None
    cookies: bool = False


class Invitation(msgspec.Struct, frozen=True):
    """What the page says before anything is typed."""

    email: str
    name: str
    locale: Literal["fr", "en"]
    site_name: str | None
    expires_at: UnixMs


def new_token() -> tuple[str, bytes]:
    """For the link, and what is stored of it."""
    token = secrets.token_urlsafe(32)
    return token, _hash(token)


async def look(services: Services, token: str, address: str) -> Invitation:
    """For the page behind the link. Raises as `accept`."""
    services.rate.take(address, time.monotonic())
    row = await _open(services, token)
    return Invitation(row.email, row.name, row.locale, row.site_name, row.expires_at)


async def accept(
    services: Services,
    token: str,
    password: str,
    name: str | None,
    locale: Literal["fr", "en"] | None,
    address: str,
) -> Grant:
    """Sets the password, once, and signs in. name, locale: None leaves what the installer gave.

    Raises NotFound (invitation_unknown), Gone (invitation_used, invitation_expired), BadInput (weak_password), TooMany.
    """
    services.rate.take(address, time.monotonic())
    row = await _open(services, token)
    hash_ = await services.passwords.hash(password)
    async with acting(services.pool, None) as connection:
        person_id = await invitations.accept(
            connection,
            _hash(token),
            password_hash=hash_,
            name=(name or "").strip() or row.name,
            locale=locale or row.locale,
        )
        if person_id is None:
            raise Gone("invitation_used", "the password is chosen already: sign in")
        await accounts.become(connection, person_id)
        person = await accounts.person(connection, person_id)
        if person is None:
            raise NotFound("invitation_unknown", "no such invitation")
        await audit.record(connection, "invitation.accept", person_id=person_id, subject=row.site_id or "", address=address)
        return await open_session(services, connection, person.id, person.role, address)


async def _open(services: Services, token: str) -> InvitationRow:
    async with acting(services.pool, None) as connection:
        row = await invitations.invitation(connection, _hash(token))
    if row is None:
        raise NotFound("invitation_unknown", "no such invitation: open the link from the e-mail itself")
    if row.state == "used":
        raise Gone("invitation_used", "the password is chosen already: sign in")
    if row.state == "expired":
        raise Gone("invitation_expired", "the invitation has run out: ask the installer for a new one")
    return row


def _hash(token: str) -> bytes:
    return hashlib.sha256(b"solarperform invitation " + token.encode("utf-8", "replace")).digest()


@post("/invitations/accept", status_code=200, operation_id="acceptInvitation", summary="Choose a password, once", opt=OPEN)
async def post_accept(
    data: JSONBody[Acceptance], request: Request[Any, Any, Any], services: NamedDependency[Services]
) -> Response[TokenAnswer]:
    """With the token of the e-mail's link. The answer signs in, as /auth/login does."""
    grant = await accept(services, data.token, data.password, data.name, data.locale, client_address(request))
    return answer_grant(grant, services, as_cookies=data.cookies)


router = Router("/", route_handlers=[post_accept], tags=["auth"])
