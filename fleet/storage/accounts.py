"""People and their sessions. Secrets come and go as hashes only."""

from datetime import timedelta
from typing import Literal

import msgspec

from fleet.limits import SESSION_DAYS, SESSIONS_PER_PERSON_MAX
from fleet.storage.database import Connection

Role = Literal["customer", "energy_manager", "installer", "ops", "admin"]


class Person(msgspec.Struct, frozen=True):
    id: str
    organisation_id: str
    email: str
    name: str
    role: Role
    locale: Literal["fr", "en"]


class Credentials(msgspec.Struct, frozen=True):
    """What a log-in is checked against."""

    id: str
    password_hash: str
    role: Role
    disabled: bool


class SessionSecrets(msgspec.Struct, frozen=True):
    """Hashes of the refresh token that is valid now, and of the one that it replaced."""

    refresh_hash: bytes
    previous_hash: bytes | None
    rotated_s_ago: float


async def enter(connection: Connection, session_id: str, person_id: str) -> Person | None:
    """Becomes this person until the transaction ends; None, and nobody, when the session is over."""
    row = await connection.fetchrow("SELECT * FROM accounts.enter($1, $2)", session_id, person_id)
    return msgspec.convert(dict(row), Person) if row else None


async def become(connection: Connection, person_id: str) -> None:
    """As `enter`, for the moment before there is a session: the caller has proven who it is."""
    await connection.execute("SELECT accounts.act_as($1)", person_id)


async def credentials(connection: Connection, email: str) -> Credentials | None:
    row = await connection.fetchrow("SELECT * FROM accounts.person_for_login($1)", email)
    return msgspec.convert(dict(row), Credentials) if row else None


async def person(connection: Connection, person_id: str) -> Person | None:
    row = await connection.fetchrow(
        "SELECT id, organisation_id, email, name, role, locale FROM accounts.person WHERE id = $1 AND disabled_at IS NULL",
        person_id,
    )
    return msgspec.convert(dict(row), Person) if row else None


async def password_hash(connection: Connection, person_id: str) -> str | None:
    hash_: str | None = await connection.fetchval("SELECT password_hash FROM accounts.person WHERE id = $1", person_id)
    return hash_


async def set_password_hash(connection: Connection, person_id: str, hash_: str) -> None:
    await connection.execute("UPDATE accounts.person SET password_hash = $2 WHERE id = $1", person_id, hash_)


async def update_person(connection: Connection, person_id: str, *, name: str | None, locale: str | None) -> None:
    """None leaves as it is."""
    await connection.execute(
        "UPDATE accounts.person SET name = coalesce($2, name), locale = coalesce($3, locale) WHERE id = $1",
        person_id,
        name,
        locale,
    )


async def create_session(connection: Connection, session_id: str, person_id: str, refresh_hash: bytes) -> None:
    await connection.execute(
        "INSERT INTO accounts.session (id, person_id, refresh_hash, expires_at) VALUES ($1, $2, $3, now() + $4)",
        session_id,
        person_id,
        refresh_hash,
        timedelta(days=SESSION_DAYS),
    )


async def tidy_sessions(connection: Connection, person_id: str) -> None:
    """Forgets the person's sessions that are long over, and the oldest ones beyond what anybody uses."""
    await connection.execute(
        "DELETE FROM accounts.session WHERE person_id = $1 AND (expires_at < now() OR revoked_at < now() - interval '7 days'"
        " OR id IN (SELECT id FROM accounts.session WHERE person_id = $1 ORDER BY rotated_at DESC OFFSET $2))",
        person_id,
        SESSIONS_PER_PERSON_MAX - 1,
    )


async def person_of_session(connection: Connection, session_id: str) -> str | None:
    """Over or not."""
    person_id: str | None = await connection.fetchval("SELECT accounts.person_of_session($1)", session_id)
    return person_id


async def lock_session(connection: Connection, session_id: str) -> SessionSecrets | None:
    """The secrets of a live session, locked until the transaction ends; None when it is over."""
    row = await connection.fetchrow(
        "SELECT refresh_hash, previous_hash, extract(epoch FROM clock_timestamp() - rotated_at)::float8 AS rotated_s_ago"
        " FROM accounts.session WHERE id = $1 AND revoked_at IS NULL AND expires_at > now() FOR UPDATE",
        session_id,
    )
    return SessionSecrets(row["refresh_hash"], row["previous_hash"], row["rotated_s_ago"]) if row else None


async def rotate(connection: Connection, session_id: str, refresh_hash: bytes) -> None:
    await connection.execute(
        "UPDATE accounts.session SET previous_hash = refresh_hash, refresh_hash = $2, rotated_at = clock_timestamp()"
        " WHERE id = $1",
        session_id,
        refresh_hash,
    )


async def revoke(connection: Connection, session_id: str, why: Literal["logout", "reuse", "disabled"]) -> None:
    await connection.execute(
        "UPDATE accounts.session SET revoked_at = now(), revoked_why = $2 WHERE id = $1 AND revoked_at IS NULL",
        session_id,
        why,
    )


async def revoke_others(connection: Connection, person_id: str, kept_session_id: str) -> None:
    """After a change of password."""
    await connection.execute(
        "UPDATE accounts.session SET revoked_at = now(), revoked_why = 'logout'"
        " WHERE person_id = $1 AND id <> $2 AND revoked_at IS NULL",
        person_id,
        kept_session_id,
    )


async def has_admin(connection: Connection) -> bool:
    return bool(await connection.fetchval("SELECT accounts.has_admin()"))


async def create_first_admin(
    connection: Connection, person_id: str, *, email: str, name: str, password_hash: str, locale: str
) -> bool:
    """False when somebody was first."""
    return bool(
        await connection.fetchval(
            "SELECT accounts.create_first_admin($1, $2, $3, $4, $5)", person_id, email, name, password_hash, locale
        )
    )
