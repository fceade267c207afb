"""The drop box's listeners, and who is in.

Crash contract: what a client was told is received has been fsynced under its final name, and lies in whole/ for the
importer. Everything else lies in open/ or closed/ with as many bytes as came, and can be resumed. Nothing is kept in memory
but counts.
"""

import asyncio
import time
from collections import Counter, OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import asyncssh
import msgspec
import structlog

from actors.disk import usable_bytes
from actors.dropbox import algorithms, box, figures, host_key
from actors.dropbox.account import Account
from actors.dropbox.box import Box
from actors.dropbox.credentials import Credentials
from actors.dropbox.door import Door, PasswordChecks
from actors.dropbox.refused import Refused
from actors.dropbox.upload import AheadBudget
from fleet.addresses import sender_of
from fleet.attempts import LoginAttempts
from fleet.errors import Unavailable
from fleet.file_limits import (
    DROP_CONNECTIONS_MAX,
    DROP_CONNECTIONS_PER_ADDRESS_MAX,
    DROP_CREDENTIAL_POLL_S,
    DROP_CREDENTIALS_KEPT_MAX,
    DROP_DISK_THREADS,
    DROP_FAILURES_PER_ACCOUNT,
    DROP_FAILURES_PER_ADDRESS,
    DROP_FAILURES_PER_PAIR,
    DROP_GOODBYE_S,
    DROP_KEEPALIVE_S,
    DROP_LOGGING_IN_MAX,
    DROP_LOGIN_S,
    DROP_TIDY_S,
)
from fleet.ids import DeviceId
from fleet.settings import SftpSettings

log = structlog.get_logger("dropbox")

_BACKLOG = 512  # connections that the kernel holds: a network that comes back brings all loggers at once
_KEEPALIVES_UNANSWERED = 3
_TURNED_AWAY_SAID_S = 10.0


class Ready(msgspec.Struct, frozen=True):
    """Content of the ready file."""

    port: int
    legacy_port: int | None
    host_key: str


class DropBox:
    """run() until stop(). A House for its doors."""

    def __init__(self, settings: SftpSettings) -> None:
        self.credentials = Credentials(settings.database)
        # Only passwords are counted: a key cannot be guessed, and clients offer several.
        self.attempts = LoginAttempts(DROP_FAILURES_PER_PAIR, DROP_FAILURES_PER_ACCOUNT, DROP_FAILURES_PER_ADDRESS)
        self.passwords = PasswordChecks()
        self._settings = settings
        self._threads = ThreadPoolExecutor(DROP_DISK_THREADS, thread_name_prefix="disk")
        self._budget = AheadBudget()
        self._accounts: OrderedDict[DeviceId, Account] = OrderedDict()
        self._doors: set[Door] = set()
        self._addresses: Counter[str] = Counter()
        self._turned_away = 0
        self._turned_away_said_s = -_TURNED_AWAY_SAID_S
        self._news: set[DeviceId] = set()
        self._has_news = asyncio.Event()
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> None:
        """Raises Unavailable (database_away, port_busy), BadInput (bad_host_key)."""
        self._settings.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        figures.connections.set_function(lambda: len(self._doors))
        figures.disk_free.set_function(lambda: usable_bytes(self._settings.folder))
        async with self.credentials:
            listeners = await self._listen()
            helpers = [asyncio.create_task(work()) for work in (self._watch, self._announce, self._tidy)]
            stopping = asyncio.create_task(self._stopping.wait())
            try:
                await asyncio.wait([*helpers, stopping], return_when=asyncio.FIRST_COMPLETED)
            finally:
                for listener in listeners:
                    listener.close()
                await self._say_goodbye()
                for task in (*helpers, stopping):
                    task.cancel()
                self._threads.shutdown(wait=True)
            for task in helpers:
                if task.done() and not task.cancelled():
                    task.result()

    async def _listen(self) -> list[asyncssh.SSHAcceptor]:
        settings = self._settings
        listeners = [await self._open(settings.port, legacy=False)]
        if settings.legacy_port is not None:
            listeners.append(await self._open(settings.legacy_port, legacy=True))
            log.warning("legacy_listener", port=listeners[1].get_port())
        legacy_port = listeners[1].get_port() if len(listeners) > 1 else None
        ready = Ready(listeners[0].get_port(), legacy_port, host_key.public_line(settings.host_key_file))
        aside = settings.ready_file.with_name(f".{settings.ready_file.name}.new")
        aside.write_bytes(msgspec.json.encode(ready))
        aside.rename(settings.ready_file)
        log.info("dropbox_ready", **msgspec.structs.asdict(ready))
        return listeners

    async def _open(self, port: int, *, legacy: bool) -> asyncssh.SSHAcceptor:
        spoken: Any = algorithms.LEGACY if legacy else algorithms.MODERN
        try:
            return await asyncssh.listen(
                self._settings.host,
                port,
                server_factory=lambda: Door(self, legacy=legacy),
                server_host_keys=host_key.host_keys(self._settings.host_key_file, legacy=legacy),
                server_version="SolarPerform",
                config=None,
                backlog=_BACKLOG,
                login_timeout=DROP_LOGIN_S,
                keepalive_interval=DROP_KEEPALIVE_S,
                keepalive_count_max=_KEEPALIVES_UNANSWERED,
                host_based_auth=False,
                gss_host=None,
                gss_kex=False,
                gss_auth=False,
                x509_trusted_certs=None,
                allow_pty=False,
                line_editor=False,
                agent_forwarding=False,
                x11_forwarding=False,
                **spoken,
            )
        except OSError as error:
            raise Unavailable("port_busy", f"{self._settings.host}:{port}: {error.strerror}") from None

    # the house of its doors ---------------------------------------------------------------------------------------

    def may_come_in(self, door: Door) -> str | None:
        self._doors.add(door)
        self._addresses[sender_of(door.address)] += 1
        why_not = self._why_not(door)
        if why_not is not None:
            self._turned_away += 1
            figures.turned_away.labels(why_not).inc()
            if time.monotonic() - self._turned_away_said_s > _TURNED_AWAY_SAID_S:  # a flood of them is one line now and then
                self._turned_away_said_s = time.monotonic()
                log.warning("connections_refused", address=door.address, code=why_not, so_far=self._turned_away)
        return why_not

    def _why_not(self, door: Door) -> str | None:
        logging_in = sum(each.visitor is None for each in self._doors)
        if self._stopping.is_set():
            return "stopping"
        if len(self._doors) > DROP_CONNECTIONS_MAX or logging_in > DROP_LOGGING_IN_MAX:
            return "too_many_connections"
        return "too_many_of_address" if self._addresses[sender_of(door.address)] > DROP_CONNECTIONS_PER_ADDRESS_MAX else None

    def logged_in(self, door: Door) -> None:
        """The first line of it; the last one is written by its visitor."""
        if door.visitor is not None:
            figures.logins.labels("in").inc()
            log.info("logger_came", device=door.visitor.device, address=door.address, by=door.visitor.credential[0])

    def gone(self, door: Door) -> None:
        if door in self._doors:
            self._doors.discard(door)
            sender = sender_of(door.address)
            self._addresses[sender] -= 1
            if not self._addresses[sender]:
                del self._addresses[sender]

    def account(self, device: DeviceId) -> Account:
        """Kept for a while after its logger has left: its rate goes on counting."""
        found = self._accounts.get(device)
        if found is None:
            found = self._accounts[device] = Account(
                Box(self._settings.folder, device),
                self._threads,
                self._budget,
                lambda: self._on_whole(device),
                disk_free_min=self._settings.disk_free_min_bytes,
            )
            if len(self._accounts) > DROP_CREDENTIALS_KEPT_MAX:
                oldest = next((each for each, account in self._accounts.items() if account.idle), device)
                if oldest != device:
                    del self._accounts[oldest]
        return found

    def _on_whole(self, device: DeviceId) -> None:
        figures.files.inc()
        self._news.add(device)
        self._has_news.set()

    # beside them --------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Puts out whoever is in by what no longer opens."""
        while True:
            await asyncio.sleep(DROP_CREDENTIAL_POLL_S)
            doors = [door for door in self._doors if door.visitor is not None]
            for door in doors:
                if door.is_idle(time.monotonic()):
                    door.put_out("nothing was asked for a long time")
            if not doors:
                continue
            try:
                known = await self.credentials.of_all({DeviceId(door.visitor.device) for door in doors if door.visitor})
            except Unavailable as error:
                log.warning("database_away", error=error.detail)
                continue
            for door in doors:
                if door.visitor is not None and not door.still_welcome(known.get(DeviceId(door.visitor.device))):
                    door.put_out("this account was closed or changed")

    async def _announce(self) -> None:
        while True:
            await self._has_news.wait()
            self._has_news.clear()
            while self._news:
                try:
                    await self.credentials.announce(self._news.pop())
                except Unavailable:
                    break  # whoever waits for files looks by itself

    async def _tidy(self) -> None:
        """At once, and then now and then: also boxes whose loggers do not come."""
        while True:
            began_s = time.monotonic()
            for device in await asyncio.to_thread(box.devices, self._settings.folder):
                account = self.account(device)
                try:
                    await account.prepare()
                    await account.tidy()
                except Refused as refused:
                    log.error("tidy_failed", device=device, code=refused.code)
            await asyncio.sleep(max(1.0, DROP_TIDY_S - (time.monotonic() - began_s)))

    async def _say_goodbye(self) -> None:
        """What was asked already is answered; what is being sent waits for its resumption."""
        tasks = []
        for conversation in [each for door in self._doors for each in door.conversations]:
            conversation.end()
            if conversation.task is not None:
                tasks.append(conversation.task)
        if tasks:
            await asyncio.wait(tasks, timeout=DROP_GOODBYE_S)
        for door in list(self._doors):
            door.put_out("the drop box is stopping: come again in a minute")
        await asyncio.sleep(0)  # for the last packets
