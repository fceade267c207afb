"""The agent at work: inputs, disk, one MQTT link, configuration, commands, renewal."""

import asyncio
import secrets
import sqlite3
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import uniform
from typing import Final

import msgspec
import structlog

from edge.agent import presence
from edge.agent.commands import Commands
from edge.agent.configuration import configuration_of
from edge.agent.deeds import Deeds, profile_named, version
from edge.agent.home import Home, Identity
from edge.agent.journal import Entry, Journal
from edge.agent.keeping import Inputs
from edge.agent.log_tail import LogTail
from edge.agent.power_limit import PowerLimit
from edge.agent.recorder import Recorder
from edge.agent.renewal import Renewal
from edge.agent.server import showing
from edge.agent.settings import AgentSettings
from edge.agent.texts import text
from edge.limits import (
    AGENT_COMMIT_PERIOD_S,
    AGENT_LIMIT_PERIOD_S,
    AGENT_LINK_REFUSED_WAIT_S,
    AGENT_SITE_PERIOD_S,
    AGENT_WATCH_PERIOD_S,
    RATE_NOTICE_LASTS_S,
    STOP_TIMEOUT_S,
)
from edge.link import Endpoint, Link, reconnect_wait_s
from edge.obeying import FULL_PCT, LIMIT
from edge.outbox import Outbox
from edge.session import Hello
from edge.spool import DiskSpool, held
from fleet import topics
from fleet.errors import Conflict, FleetError
from fleet.order_messages import Command, CommandStatus, ConfigValue, DesiredConfig
from fleet.telemetry import RateNotice, State, UnixMs

log = structlog.get_logger()

RESTART_CODE = 10  # the service unit starts the agent again
_RATE_MAX_S: Final = 60.0  # what is batched meanwhile is in memory only
_COMMAND = msgspec.json.Decoder(Command)
_CONFIG = msgspec.json.Decoder(DesiredConfig)
_BAD_CERTIFICATE: Final = ("CERTIFICATE_REVOKED", "CERTIFICATE_EXPIRED", "CERTIFICATE_UNKNOWN", "UNKNOWN_CA")


class Agent:
    """Runs until stop(). Raises NotFound (not_enrolled), Conflict (spool_in_use), BadInput (bad_state)."""

    def __init__(self, home: Home, settings: AgentSettings, log_tail: LogTail) -> None:
        self._home = home
        self._settings = settings
        self._me = home.enrolled().connection()
        self._exit_code = 0
        self._stopping = asyncio.Event()
        self._spool = _open_spool(home.folder, settings.spool_bytes_max)
        self._link = self._make_link()
        state = State(online=True, model="Site agent", firmware=version(), boot=secrets.token_hex(4))
        self._outbox = Outbox(
            self._me.site, self._me.device, wire=self._link, spool=self._spool, state=state, monotonic=time.monotonic
        )
        self._outbox.on_rate = self._slow_down
        self._recorder = Recorder(self._outbox, self._spool)
        self._configuration = configuration_of(home, settings)
        self._config_due = False  # what it runs could not be told yet
        self._limit = PowerLimit(home.folder / "limit.json", self._configured_limit_pct, _now_ms)
        self._inputs = Inputs(
            settings.inputs, self._configuration, self._recorder, self._limit, self._me.profile, home.folder
        )
        self._journal = Journal(home.folder / "commands.json")
        self._commands = self._make_commands(log_tail)
        self._up = topics.up(self._me.site, self._me.device)
        self._down = topics.down(self._me.site, self._me.device)
        self._slow_interval_s = self._slow_until = 0.0
        self._given_up = 0

    def stop(self, code: int = 0) -> None:
        self._exit_code = code
        self._stopping.set()

    async def run(self) -> int:
        """The exit code."""
        log.info(
            "agent.started", device=self._me.device, site=self._me.site, held=self._held, inputs=len(self._settings.inputs)
        )
        linked = asyncio.create_task(self._link.run(self))
        renewal = Renewal(self._home, now=lambda: datetime.now(UTC), switched=self._use)
        duties = [
            asyncio.create_task(duty)
            for duty in (
                self._record(),
                self._watch(),
                self._heed_site(),
                self._keep_limit(),
                self._commands.run(),
                renewal.run(),
            )
        ]
        stopped = asyncio.create_task(self._stopping.wait())
        try:
            self._inputs.apply()
            done, _ = await asyncio.wait([stopped, linked, *duties], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # a duty that ended has failed: say so
        finally:
            for task in (stopped, *duties):
                task.cancel()
            await self._inputs.stop()
            self._recorder.write()
            self._link.stop()
            await asyncio.wait([linked], timeout=STOP_TIMEOUT_S)
            self._spool.close()
            presence.forget(self._home.folder)
            log.info("agent.stopped", held=self._held)
        return self._exit_code

    # Called by the link's session

    def ready(self) -> None:
        self._outbox.ready()
        self._tell_config()
        self._tell_untold()

    def room_again(self) -> None:
        self._outbox.room_again()

    def message(self, topic: str, payload: bytes) -> None:
        try:
            if topic == self._down.config:
                self._take_config(_CONFIG.decode(payload))
            elif topic == self._down.command:
                self._commands.take(_COMMAND.decode(payload))
            else:
                self._outbox.message(topic, payload)
        except msgspec.DecodeError as error:
            log.warning("agent.message_not_understood", topic=topic.rpartition("/")[2], reason=str(error))
        except (OSError, sqlite3.Error) as error:  # nothing was done: it is not on the disk
            log.error("agent.disk_failed", reason=str(error))

    # Duties

    async def _record(self) -> None:
        written_at = 0.0
        while True:
            await asyncio.sleep(AGENT_COMMIT_PERIOD_S)
            now = time.monotonic()
            if now < self._slow_until and now - written_at < self._slow_interval_s:
                continue
            written_at = now
            self._recorder.write()

    async def _watch(self) -> None:
        """Sends again what got lost, and says once what changed."""
        was_up, failure = False, ""
        while True:
            self._outbox.check()
            if self._link.up:
                self._tell_untold()
            if self._link.up != was_up or (not self._link.up and self._link.last_failure != failure):
                was_up, failure = self._link.up, self._link.last_failure
                log.info("agent.connected") if was_up else log.warning("agent.not_connected", reason=failure)
            if self._outbox.given_up > 2 * self._given_up:  # a long outage is told now and then
                self._given_up = self._outbox.given_up
                log.warning("agent.gave_up_oldest", messages=self._given_up, spool_bytes_max=self._settings.spool_bytes_max)
            presence.note(self._home.folder, up=was_up, failure=failure, held=self._held)
            await asyncio.sleep(AGENT_WATCH_PERIOD_S if was_up else AGENT_WATCH_PERIOD_S / 5)

    async def _keep_limit(self) -> None:
        """When a limit begins or ends by itself. An input that cannot be told now does what it says when it can."""
        told = self._limit.pct
        while True:
            await asyncio.sleep(AGENT_LIMIT_PERIOD_S)
            if self._limit.pct == told:
                continue
            told = self._limit.pct
            log.info("agent.power_limit", limit_pct=told)
            try:
                await self._inputs.obey_limit()
            except FleetError as error:
                log.warning("agent.not_limited", reason=error.detail)

    async def _heed_site(self) -> None:
        """Somebody beside the machine may change what it runs."""
        while True:
            await asyncio.sleep(AGENT_SITE_PERIOD_S)
            if self._configuration.heed_site(self._impossible):
                self._inputs.apply()
                self._config_due = True
            if self._config_due:
                self._tell_config()

    @property
    def _held(self) -> int:
        return held(self._spool, self._me.device)

    # Certificate

    def _make_link(self) -> Link:
        offline = msgspec.json.encode(State(online=False))
        site, device = self._me.site, self._me.device
        hello = Hello(device, topics.up(site, device).state, offline, topics.device_filter(site, device))
        endpoint = Endpoint(self._me.mqtt.host, self._me.mqtt.port)
        return Link(
            endpoint, lambda: showing(self._home.enrolled()), hello, handshakes=asyncio.Semaphore(1), wait_s=_link_wait_s
        )

    def _use(self, identity: Identity) -> None:
        """Of a renewal. What else changed with it is taken up by a process that starts anew."""
        new = identity.connection()
        if (new.site, new.device, new.profile, new.mqtt) != (
            self._me.site,
            self._me.device,
            self._me.profile,
            self._me.mqtt,
        ):
            log.info("agent.restarts", reason="the authority names another place or broker")
            self.stop(RESTART_CODE)
        self._link.reconnect()

    # Configuration and commands

    def _make_commands(self, log_tail: LogTail) -> Commands:
        """Also takes back a limit of whose command the process before this one could not say that it succeeded."""
        deeds = Deeds(
            self._home,
            self._outbox,
            self._spool,
            self._inputs,
            self._limit,
            log_tail,
            led_file=self._settings.led_file,
            restart=partial(self.stop, RESTART_CODE),
            now=_now_ms,
        )
        commands = Commands(self._journal, profile_named(self._me.profile), deeds.all(), tell=self._tell, now=_now_ms)
        limiting = self._journal.find(self._limit.last_command or "")
        if limiting is not None and limiting.status == "failed":
            with suppress(OSError):  # it counts for this process, and the next one comes here again
                self._limit.release(limiting.id)
        return commands

    def _configured_limit_pct(self) -> float | None:
        """None while nobody has set one."""
        running = self._configuration.running
        value = running.values.get(LIMIT)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        return float(value) if running.version or value < FULL_PCT else None

    def _impossible(self, values: Mapping[str, ConfigValue]) -> dict[str, str]:
        """What the devices behind the inputs cannot do is not called applied. Key → why."""
        limit_pct = values.get(LIMIT, FULL_PCT)
        problem = self._inputs.limit_problem if isinstance(limit_pct, int | float) and limit_pct < FULL_PCT else None
        return {LIMIT: problem} if problem else {}

    def _take_config(self, desired: DesiredConfig) -> None:
        self._configuration.take(desired, self._impossible)
        self._inputs.apply()
        self._tell_config()

    def _tell_config(self) -> None:
        self._config_due = not (self._link.up and self._link.room)
        if not self._config_due:
            self._link.publish(self._up.config, msgspec.json.encode(self._configuration.running), self._note_config_told)

    def _note_config_told(self, is_heard: bool) -> None:
        self._config_due = self._config_due or not is_heard

    def _tell(self, entry: Entry) -> None:
        told = partial(self._note_told, entry, entry.status)
        if self._link.up and self._link.room:
            self._link.publish(self._up.result, msgspec.json.encode(entry.result), told)

    def _note_told(self, entry: Entry, status: CommandStatus, is_heard: bool) -> None:
        if not is_heard:  # the platform is not there yet, and a broker that lost its sessions does not keep it for it
            return
        with suppress(OSError):  # a disk that takes nothing: it is told once more after the next start
            self._journal.note_told(entry, status)

    def _tell_untold(self) -> None:
        for entry in self._journal.untold():
            self._tell(entry)

    def _slow_down(self, notice: RateNotice) -> None:
        self._slow_interval_s = min(notice.min_interval_s, _RATE_MAX_S)
        self._slow_until = time.monotonic() + RATE_NOTICE_LASTS_S


def _link_wait_s(failures: int, reason: str) -> float:
    """A broker that refuses the certificate is asked rarely; a renewal wakes the link."""
    if any(each in reason.upper() for each in _BAD_CERTIFICATE):
        return uniform(0.5, 1) * min(AGENT_LINK_REFUSED_WAIT_S, 2.0 ** min(failures, 10))
    return reconnect_wait_s(failures, reason)


def _open_spool(folder: Path, bytes_max: int) -> DiskSpool:
    try:
        return DiskSpool(folder / "spool.sqlite", bytes_max)
    except Conflict as error:
        raise Conflict(error.code, text("spool_in_use", folder=folder)) from None


def _now_ms() -> UnixMs:
    return time.time_ns() // 1_000_000
