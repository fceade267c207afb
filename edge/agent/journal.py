"""Which commands were taken, on disk before anything is done, so that none is ever executed twice."""

from pathlib import Path
from typing import Any, TypeVar

import msgspec
import structlog

from edge.agent.line_file import LineFile
from edge.limits import AGENT_COMMAND_LINES_MAX, AGENT_COMMANDS_KEPT
from fleet.errors import Unavailable
from fleet.order_messages import Command, CommandResult, CommandStatus
from fleet.telemetry import UnixMs

log = structlog.get_logger()
T = TypeVar("T")


class Entry(msgspec.Struct):
    """told: the broker has taken the result."""

    id: str
    name: str
    expires_at: UnixMs
    status: CommandStatus
    detail: Any = None
    told: bool = False

    @property
    def result(self) -> CommandResult:
        return CommandResult(self.id, self.status, self.detail)


class Journal:
    """A line for each change of an entry, of which the last counts; now and then the file is written anew with those only.

    A command whose acceptance is on the disk is never forgotten before it has expired, whenever the power is cut. What the
    broker has taken may be forgotten: it is told once more.
    """

    def __init__(self, file: Path) -> None:
        self._path = file
        self._file = LineFile(file)
        self._entries: dict[str, Entry] = {entry.id: entry for entry in self._load()}

    def find(self, command_id: str) -> Entry | None:
        return self._entries.get(command_id)

    def open(self, command: Command, status: CommandStatus, detail: Any, now: UnixMs) -> Entry:
        """On the disk when this returns. Raises Unavailable (too_many_commands) when no older one may be forgotten.

        Raises OSError when the disk takes nothing: the command is not known then.
        """
        self._make_room(now)
        entry = Entry(command.id, command.name, command.expires_at, status, detail)
        self._save(entry)
        self._entries[command.id] = entry
        return entry

    def close(self, entry: Entry, status: CommandStatus, detail: Any) -> None:
        """On the disk when this returns. Raises OSError: it counts for this process, and is written with the next one."""
        entry.status, entry.detail, entry.told = status, detail, False
        self._save(entry)

    def note_told(self, entry: Entry, status: CommandStatus) -> None:
        if entry.status == status and not entry.told:
            entry.told = True
            self._save(entry, wait=False)

    def untold(self) -> list[Entry]:
        return [entry for entry in self._entries.values() if not entry.told]

    def unfinished(self) -> list[Entry]:
        """At the start: taken by the process before this one, which did not live to say how it ended."""
        return [entry for entry in self._entries.values() if entry.status == "accepted"]

    def _make_room(self, now: UnixMs) -> None:
        """Only what has expired may be forgotten: a repetition of it is refused for that."""
        excess = len(self._entries) - AGENT_COMMANDS_KEPT + 1
        if excess <= 0:
            return
        forgettable = [each.id for each in self._entries.values() if each.expires_at < now and each.status != "accepted"]
        for oldest in forgettable[:excess]:
            del self._entries[oldest]
        if not forgettable:
            raise Unavailable(
                "too_many_commands", f"{AGENT_COMMANDS_KEPT} commands are remembered, none of which has expired"
            )

    def _save(self, entry: Entry, *, wait: bool = True) -> None:
        if self._file.spoilt or self._file.lines >= AGENT_COMMAND_LINES_MAX:
            self._file.replace(msgspec.json.encode(each) for each in (self._entries | {entry.id: entry}).values())
        else:
            self._file.add(msgspec.json.encode(entry), wait=wait)

    def _load(self) -> list[Entry]:
        lines = self._file.read()
        if not lines and self._path.exists():  # as agents before this one wrote it, or nothing of use
            return self._decoded(self._path.read_bytes(), list[Entry]) or []
        return [entry for line in lines if (entry := self._decoded(line, Entry)) is not None]

    def _decoded(self, content: bytes, kind: type[T]) -> T | None:
        try:
            return msgspec.json.decode(content, type=kind)
        except msgspec.DecodeError as error:
            log.warning("agent.commands_unreadable", content=content[:100].decode(errors="replace"), reason=str(error))
            self._file.spoilt = True
            return None
