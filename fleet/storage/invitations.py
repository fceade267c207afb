"""How a site's owner gets a password. The token itself goes into one mail only; here it is a hash."""

from typing import Literal

import msgspec

from fleet.ids import SiteId
from fleet.limits import INVITATION_DAYS
from fleet.storage.database import Connection
from fleet.telemetry import UnixMs


class Owner(msgspec.Struct, frozen=True):
    """Whom to tell of the site. can_sign_in: has a password already and needs no invitation."""

    email: str
    name: str
    locale: Literal["fr", "en"]
    can_sign_in: bool


class InvitationRow(msgspec.Struct, frozen=True):
    state: Literal["open", "used", "expired"]
    person_id: str
    email: str
    name: str
    locale: Literal["fr", "en"]
    site_id: SiteId | None
    site_name: str | None
    expires_at: UnixMs


async def invite_owner(connection: Connection, site: SiteId, token_hash: bytes) -> Owner | None:
    """Invites the owner if he cannot sign in yet. None: the site has no owner who could, or the asker may not invite."""
    row = await connection.fetchrow("SELECT * FROM accounts.invite_owner($1, $2, $3)", site, token_hash, INVITATION_DAYS)
    return msgspec.convert(dict(row), Owner) if row else None


async def owner_locale(connection: Connection, site: SiteId) -> Literal["fr", "en"]:
    """Of what is written for the owner; French where there is none."""
    return "en" if await connection.fetchval("SELECT accounts.owner_locale($1)", site) == "en" else "fr"


async def invitation(connection: Connection, token_hash: bytes) -> InvitationRow | None:
    row = await connection.fetchrow(
        "SELECT state, person_id, email, name, locale, site_id, site_name,"
        " (extract(epoch FROM expires_at) * 1000)::bigint AS expires_at FROM accounts.invitation_of($1)",
        token_hash,
    )
    return msgspec.convert(dict(row), InvitationRow) if row else None


async def accept(connection: Connection, token_hash: bytes, *, password_hash: str, name: str, locale: str) -> str | None:
    """The person's id; None when somebody was first, or it has run out meanwhile."""
    person_id: str | None = await connection.fetchval(
        "SELECT accounts.accept_invitation($1, $2, $3, $4)", token_hash, password_hash, name, locale
    )
    return person_id
