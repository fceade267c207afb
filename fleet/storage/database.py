"""PostgreSQL connections: a pool per process, with the role that the process may be."""

from typing import TYPE_CHECKING, Any

import asyncpg
import msgspec

from fleet.errors import BadInput, FleetError, Unavailable
from fleet.runtime.secret_file import read_secret
from fleet.settings import DatabaseSettings

if TYPE_CHECKING:  # generic for the type checker only
    DirectConnection = asyncpg.Connection[asyncpg.Record]
    Connection = DirectConnection | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    DirectConnection = Connection = asyncpg.Connection
    Pool = asyncpg.Pool

CONNECT_TIMEOUT_S = 10.0  # from the first byte to a session that takes statements; then it counts as away

# What means "PostgreSQL is away or going away": the statement may be tried again on a new connection.
AWAY = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # between the server's last word on an idle connection and that connection's end
    asyncpg.OperatorInterventionError,  # shutting down, starting, cancelled
    asyncpg.InsufficientResourcesError,  # disk, memory, connections
    asyncpg.ReadOnlySQLTransactionError,  # a standby that is not promoted yet, or an operator who closes the books
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    ConnectionError,
    TimeoutError,
    OSError,
)
_REFUSED = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError)  # the former: passwords too


async def open_pool(settings: DatabaseSettings, *, size_max: int, command_timeout_s: float = 30.0) -> Pool:
    """Raises Unavailable (database_away, no_database), BadInput (bad_secret_file, database_refused)."""
    arguments = _connect_arguments(settings)
    try:
        return await asyncpg.create_pool(
            **arguments, min_size=1, max_size=size_max, command_timeout=command_timeout_s, init=_prepare
        )
    except _REFUSED as error:
        raise _refused(settings, error) from None
    except AWAY as error:
        raise away(settings, error) from error


async def connect(settings: DatabaseSettings, *, command_timeout_s: float | None = None) -> DirectConnection:
    """One connection of one's own. A time limit turns a host that vanished silently into TimeoutError (AWAY).

    Raises AWAY, Unavailable (no_database), BadInput (bad_secret_file, database_refused).
    """
    arguments = _connect_arguments(settings)
    try:
        connection: DirectConnection = await asyncpg.connect(**arguments, command_timeout=command_timeout_s)
    except _REFUSED as error:
        raise _refused(settings, error) from None
    await _prepare(connection)
    return connection


def away(settings: DatabaseSettings, error: BaseException) -> Unavailable:
    why = str(error) or type(error).__name__
    return Unavailable("database_away", f"PostgreSQL at {settings.host}:{settings.port} does not answer: {why}")


def _refused(settings: DatabaseSettings, error: asyncpg.PostgresError) -> FleetError:
    """It answers, but trying again changes nothing, except where somebody is about to make the database."""
    where = f"PostgreSQL at {settings.host}:{settings.port}"
    if isinstance(error, asyncpg.InvalidCatalogNameError):
        return Unavailable("no_database", f"{where} has no database {settings.name}; run the job `migrate`, which makes it")
    if isinstance(error, asyncpg.InvalidPasswordError):
        hint = (
            "run the job `migrate`, which sets it"
            if settings.user.startswith("sp_")
            else "it keeps the one of its first start: bring back the secrets that belong to these data (the volume `vault`)"
        )
        why = f"does not take {settings.user}'s password in {settings.password_file}; {hint}"
    else:
        why = f"does not let {settings.user} in: {error}; look at its pg_hba.conf"
    return BadInput("database_refused", f"{where} {why}")


def _connect_arguments(settings: DatabaseSettings) -> dict[str, Any]:
    return {
        "host": settings.host,
        "port": settings.port,
        "database": settings.name,
        "user": settings.user,
        "password": read_secret(settings.password_file),
        "timeout": CONNECT_TIMEOUT_S,
        "server_settings": {"timezone": "UTC", "application_name": settings.user},
    }


async def _prepare(connection: Any) -> None:
    """jsonb columns are msgspec-encoded JSON on both sides."""
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", encoder=_to_json, decoder=msgspec.json.decode, format="text"
    )


def _to_json(value: object) -> str:
    return msgspec.json.encode(value).decode()
