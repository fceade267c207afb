"""Who may come in: read from the database at each log-in, and again while a logger stays.

While the database is away, who was known a moment ago is still known: its restart is no reason for loggers to fail.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from fleet.errors import Unavailable
from fleet.file_limits import DROP_CREDENTIAL_KEPT_S, DROP_CREDENTIALS_KEPT_MAX
from fleet.ids import DeviceId, is_device_id
from fleet.settings import DatabaseSettings
from fleet.storage.database import AWAY, Connection, Pool, open_pool
from fleet.storage.notices import DROP, notify

_STATEMENT_S: Final = 5.0
_CONNECTIONS: Final = 4
_ROW: Final = "SELECT device_id AS device, password_hash, legacy, public_keys FROM imports.credential WHERE device_id"


class Credential(msgspec.Struct, frozen=True):
    """public_keys: lines of an authorized_keys file, without options or comments."""

    device: DeviceId
    password_hash: str | None
    legacy: bool
    public_keys: frozenset[str]

    def still_opens(self, shown: tuple[str, str]) -> bool:
        """Whether what somebody has logged in with is still good."""
        how, what = shown
        return what in self.public_keys if how == "key" else what == self.password_hash


class Credentials:
    """Opened by `async with`, which raises Unavailable (database_away): without a database nobody could be let in."""

    def __init__(self, database: DatabaseSettings) -> None:
        self._database = database
        self._pool: Pool | None = None
        self._known: OrderedDict[str, tuple[float, Credential]] = OrderedDict()

    async def __aenter__(self) -> "Credentials":
        self._pool = await open_pool(self._database, size_max=_CONNECTIONS, command_timeout_s=_STATEMENT_S)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.terminate()

    async def of(self, username: str) -> Credential | None:
        """None: nobody, closed, revoked or retired; or unknown while the database is away."""
        if not is_device_id(username):
            return None
        try:
            return (await self._read([username])).get(DeviceId(username))
        except Unavailable:
            read_at, known = self._known.get(username, (0.0, None))
            return known if time.monotonic() - read_at < DROP_CREDENTIAL_KEPT_S else None

    async def of_all(self, devices: Collection[DeviceId]) -> dict[DeviceId, Credential]:
        """Raises Unavailable (database_away): then nobody is put out."""
        return await self._read(list(devices))

    async def announce(self, device: DeviceId) -> None:
        """A file of it is whole. Raises Unavailable (database_away): the importer also looks by itself."""
        async with self._connection() as connection:
            await notify(connection, DROP, device)

    async def _read(self, devices: list[str]) -> dict[DeviceId, Credential]:
        async with self._connection() as connection:
            rows = await connection.fetch(f"{_ROW} = ANY($1)", devices)
        found = {row["device"]: msgspec.convert(dict(row), Credential) for row in rows}
        for device in devices:
            self._known.pop(device, None)
            if device in found:
                self._known[device] = (time.monotonic(), found[device])
        while len(self._known) > DROP_CREDENTIALS_KEPT_MAX:
            self._known.popitem(last=False)
        return found

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        """Raises Unavailable (database_away)."""
        assert self._pool is not None, "entered"  # noqa: S101 - for the type checker
        try:
            async with asyncio.timeout(_STATEMENT_S), self._pool.acquire() as connection:
                yield connection
        except AWAY as error:
            raise Unavailable("database_away", str(error) or type(error).__name__) from None
