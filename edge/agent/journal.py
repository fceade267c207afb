"""Which commands were taken, on disk before anything is done, so that none is ever executed twice."""

from pathlib import Path
from typing import Any

import msgspec
import structlog

from edge.agent import files
from edge.limits import AGENT_COMMANDS_KEPT
from fleet.errors import Unavailable
from fleet.remote import Command, CommandResult, CommandStatus
from fleet.telemetry import UnixMs

log = structlog.get_logger()


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
    def __init__(self, file: Path) -> None:
        self._file = file
        self._entries: dict[str, Entry] = {entry.id: entry for entry in self._load()}

    def find(self, command_id: str) -> Entry | None:
        return self._entries.get(command_id)

    def open(self, command: Command, status: CommandStatus, detail: Any, now: UnixMs) -> Entry:
        """On the disk when this returns. Raises Unavailable (too_many_commands) when no older one may be forgotten."""
        self._make_room(now)
        entry = Entry(command.id, command.name, command.expires_at, status, detail)
        self._entries[command.id] = entry
        self._save()
        return entry

    def close(self, entry: Entry, status: CommandStatus, detail: Any) -> None:
        entry.status, entry.detail, entry.told = status, detail, False
        self._save()

    def note_told(self, entry: Entry, status: CommandStatus) -> None:
        if entry.status == status and not entry.told:
            entry.told = True
            self._save()

    def untold(self) -> list[Entry]:
        return [entry for entry in self._entries.values() if not entry.told]

    def unfinished(self) -> list[Entry]:
        """At the start: taken by the process before this one, which did not live to say how it ended."""
        return [entry for entry in self._entries.values() if entry.status == "accepted"]

    def _make_room(self, now: UnixMs) -> None:
        """Only what has expired may be forgotten: a repetition of it is refused for that."""
        if len(self._entries) < AGENT_COMMANDS_KEPT:
            return
        forgettable = (entry.id for entry in self._entries.values() if entry.expires_at < now and entry.status != "accepted")
        oldest = next(forgettable, None)
        if oldest is None:
            raise Unavailable(
                "too_many_commands", f"{AGENT_COMMANDS_KEPT} commands are remembered, none of which has expired"
            )
        del self._entries[oldest]

    def _save(self) -> None:
        files.replace(self._file, msgspec.json.encode(list(self._entries.values())))

    def _load(self) -> list[Entry]:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=list[Entry])
        except FileNotFoundError:
            return []
        except msgspec.DecodeError as error:
            log.warning("agent.commands_unreadable", file=str(self._file), reason=str(error))
            return []
