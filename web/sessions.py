"""Signing in, renewing and signing out: what the API's routes and the log-in page both do."""

import secrets
import time

import msgspec

from fleet.limits import ACCESS_TOKEN_S, LOGIN_WINDOW_S, REFRESH_GRACE_S
from fleet.storage import accounts, audit
from fleet.storage.database import Connection
from web.errors import TooMany, Unauthorised
from web.services import Services
from web.tokens import Claims, Role, new_refresh_token, parse_refresh_token, same
from web.visits import acting


class Grant(msgspec.Struct, frozen=True):
    """refresh_token: None when the browser keeps the one that it has (see `renew`)."""

    access_token: str
    refresh_token: str | None
    expires_in_s: int = ACCESS_TOKEN_S


async def sign_in(services: Services, *, email: str, password: str, address: str) -> Grant:
    """Raises Unauthorised (bad_credentials), TooMany, Unavailable (busy, database_away)."""
    email = email.strip().lower()
    services.rate.take(address, time.monotonic())
    if not services.attempts.begin(email, address, time.monotonic()):
        raise TooMany("too_many_attempts", f"too many wrong tries; try again in {LOGIN_WINDOW_S / 60:.0f} minutes")
    async with acting(services.pool, None) as connection:
        found = await accounts.credentials(connection, email)
    right = await services.passwords.verify(password, found.password_hash if found else None)
    if found is None or not right or found.disabled:
        async with acting(services.pool, None) as connection:
            await audit.record(
                connection, "login_failed", person_id=found.id if found else None, subject=email[:200], address=address
            )
        raise Unauthorised("bad_credentials", "the e-mail address or the password is not right")
    services.attempts.succeeded(email, address)
    rehashed = await services.passwords.hash(password) if services.passwords.is_outdated(found.password_hash) else None
    async with acting(services.pool, found.id) as connection:
        if rehashed is not None:
            await accounts.set_password_hash(connection, found.id, rehashed)
        return await open_session(services, connection, found.id, found.role, address)


async def open_session(services: Services, connection: Connection, person_id: str, role: Role, address: str) -> Grant:
    """Of somebody who has just proven who they are, and whom the connection acts as."""
    session_id = secrets.token_hex(16)
    refresh_token, refresh_hash = new_refresh_token(session_id)
    await accounts.tidy_sessions(connection, person_id)
    await accounts.create_session(connection, session_id, person_id, refresh_hash)
    await audit.record(connection, "login", person_id=person_id, subject=session_id, address=address)
    return Grant(_access_token(services, Claims(person_id, session_id, role)), refresh_token)


async def renew(services: Services, *, refresh_token: str, from_cookie: bool, address: str) -> Grant:
    """A new access token for a refresh token, which is replaced by the next one.

    A token that was replaced already is a sign of theft: it ends the session. One exception: two tabs of one browser
    share a cookie and may both come with it; the later one, within seconds, gets an access token and no more.

    Raises Unauthorised (bad_refresh_token), Unavailable (database_away).
    """
    session_id, given_hash = parse_refresh_token(refresh_token)
    async with acting(services.pool, None) as connection:
        person_id = await accounts.person_of_session(connection, session_id)
    if person_id is None:
        raise Unauthorised("bad_refresh_token", "no such session")
    async with acting(services.pool, person_id) as connection:
        person = await accounts.person(connection, person_id)
        stored = await accounts.lock_session(connection, session_id)
        if person is None or stored is None:
            raise Unauthorised("bad_refresh_token", "the session has ended")
        access_token = _access_token(services, Claims(person.id, session_id, person.role))
        if same(given_hash, stored.refresh_hash):
            next_token, next_hash = new_refresh_token(session_id)
            await accounts.rotate(connection, session_id, next_hash)
            return Grant(access_token, next_token)
        if from_cookie and stored.rotated_s_ago < REFRESH_GRACE_S and same(given_hash, stored.previous_hash):
            return Grant(access_token, None)
        await _revoke_reused(connection, session_id, person_id, address)
    raise Unauthorised("bad_refresh_token", "this refresh token was used before; the session is revoked")


async def sign_out(services: Services, *, claims: Claims | None, refresh_token: str | None, address: str) -> None:
    """Ends the session that either token names; nothing to end is fine. Raises Unavailable (database_away)."""
    if claims is not None:
        session_id, person_id = claims.session_id, claims.person_id
    elif refresh_token is not None:
        found = await _session_of(services, refresh_token)
        if found is None:
            return
        session_id, person_id = found
    else:
        return
    async with acting(services.pool, person_id) as connection:
        await accounts.revoke(connection, session_id, "logout")
        await audit.record(connection, "logout", person_id=person_id, subject=session_id, address=address)


async def _session_of(services: Services, refresh_token: str) -> tuple[str, str] | None:
    """Session and person, when the token is the live session's own."""
    try:
        session_id, given_hash = parse_refresh_token(refresh_token)
    except Unauthorised:
        return None
    async with acting(services.pool, None) as connection:
        person_id = await accounts.person_of_session(connection, session_id)
        if person_id is None:
            return None
        await accounts.become(connection, person_id)
        stored = await accounts.lock_session(connection, session_id)
    return (session_id, person_id) if stored and same(given_hash, stored.refresh_hash) else None


async def _revoke_reused(connection: Connection, session_id: str, person_id: str, address: str) -> None:
    await accounts.revoke(connection, session_id, "reuse")
    await audit.record(connection, "refresh_reused", person_id=person_id, subject=session_id, address=address)


def _access_token(services: Services, claims: Claims) -> str:
    return services.tokens.issue(claims, int(time.time()))
