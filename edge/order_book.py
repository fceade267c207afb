"""What simulated devices remember of what they were told, in the file of their spool: it outlives kill -9, and so none of
them does anything twice.
"""

from typing import Any

import msgspec

from edge.curtailment import Withheld
from edge.limits import AGENT_COMMANDS_KEPT
from edge.spool import DiskSpool
from fleet.errors import Unavailable
from fleet.ids import DeviceId, SiteId
from fleet.order_messages import Command, CommandResult, CommandStatus, ReportedConfig
from fleet.telemetry import UnixMs

_TABLES = (
    "create table if not exists configured (device text primary key, running blob, changed_at integer) without rowid",
    """create table if not exists obeyed (device text, id text, name text, expires_at integer, status text, detail blob,
       told integer, primary key (device, id)) without rowid""",
    "create index if not exists obeyed_untold on obeyed (device) where told = 0",
    "create table if not exists withheld (site text primary key, held blob) without rowid",
)


class OrderBook:
    """Nothing of it lasts before commit()."""

    def __init__(self, spool: DiskSpool) -> None:
        self._spool = spool
        for statement in _TABLES:
            spool.write(statement)
        spool.commit()

    def commit(self) -> None:
        self._spool.commit()

    def configured(self, device: DeviceId) -> tuple[ReportedConfig, UnixMs] | None:
        """What it runs, and when somebody changed that on site last (0: nobody has)."""
        rows = self._spool.read("select running, changed_at from configured where device = ?", (device,))
        return (msgspec.json.decode(rows[0][0], type=ReportedConfig), rows[0][1]) if rows else None

    def configure(self, device: DeviceId, running: ReportedConfig, changed_at: UnixMs) -> None:
        values = (device, msgspec.json.encode(running), changed_at)
        self._spool.write("insert or replace into configured (device, running, changed_at) values (?, ?, ?)", values)

    def result(self, device: DeviceId, command_id: str) -> CommandResult | None:
        query = "select id, status, detail from obeyed where device = ? and id = ?"
        return next(iter(self._results(query, (device, command_id))), None)

    def open(self, device: DeviceId, command: Command, status: CommandStatus, detail: Any, now: UnixMs) -> CommandResult:
        """Raises Unavailable (too_many_commands) when no older one may be forgotten."""
        self._make_room(device, now)
        self._spool.write(
            "insert into obeyed (device, id, name, expires_at, status, detail, told) values (?, ?, ?, ?, ?, ?, 0)",
            (device, command.id, command.name, command.expires_at, status, msgspec.json.encode(detail)),
        )
        return CommandResult(command.id, status, detail)

    def end(self, device: DeviceId, command_id: str, status: CommandStatus, detail: Any) -> CommandResult:
        self._spool.write(
            "update obeyed set status = ?, detail = ?, told = 0 where device = ? and id = ?",
            (status, msgspec.json.encode(detail), device, command_id),
        )
        return CommandResult(command_id, status, detail)

    def unfinished(self, device: DeviceId) -> list[tuple[str, str]]:
        """(id, name) of what was accepted and has not ended."""
        rows = self._spool.read("select id, name from obeyed where device = ? and status = 'accepted'", (device,))
        return [(command_id, name) for command_id, name in rows]

    def untold(self, device: DeviceId) -> list[CommandResult]:
        return self._results("select id, status, detail from obeyed where device = ? and told = 0", (device,))

    def note_told(self, device: DeviceId, result: CommandResult) -> None:
        """The broker has taken it."""
        self._spool.write(
            "update obeyed set told = 1 where device = ? and id = ? and status = ?", (device, result.id, result.status)
        )

    def withheld(self, site: SiteId) -> Withheld | None:
        rows = self._spool.read("select held from withheld where site = ?", (site,))
        return msgspec.json.decode(rows[0][0], type=Withheld) if rows else None

    def withhold(self, site: SiteId, held: Withheld) -> None:
        self._spool.write("insert or replace into withheld (site, held) values (?, ?)", (site, msgspec.json.encode(held)))

    def _results(self, query: str, values: tuple[object, ...]) -> list[CommandResult]:
        rows = self._spool.read(query, values)
        return [CommandResult(command_id, status, msgspec.json.decode(detail)) for command_id, status, detail in rows]

    def _make_room(self, device: DeviceId, now: UnixMs) -> None:
        """Only what has expired may be forgotten: a repetition of it is refused for that."""
        ((count,),) = self._spool.read("select count(*) from obeyed where device = ?", (device,))
        if count < AGENT_COMMANDS_KEPT:
            return
        oldest = self._spool.read(
            "select id from obeyed where device = ? and expires_at < ? and status <> 'accepted' order by expires_at limit 1",
            (device, now),
        )
        if not oldest:
            raise Unavailable(
                "too_many_commands", f"{AGENT_COMMANDS_KEPT} commands are remembered, none of which has expired"
            )
        self._spool.write("delete from obeyed where device = ? and id = ?", (device, oldest[0][0]))
