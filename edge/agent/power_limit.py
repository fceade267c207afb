"""How much the plant may give: the configuration's limit, and a command's for as long as it holds."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog

from edge.agent import files
from edge.obeying import FULL_PCT
from fleet.telemetry import UnixMs

log = structlog.get_logger()


class Hold(msgspec.Struct, frozen=True, omit_defaults=True):
    """A command's limit, until its end. before: what holds again should this one turn out to be none; it has none itself."""

    command: str
    pct: float
    until: UnixMs
    before: "Hold | None" = None


class PowerLimit:
    """The least of both counts. file keeps the command's over restarts; configured: the configuration's, None when there is
    none.
    """

    def __init__(self, file: Path, configured: Callable[[], float | None], now: Callable[[], UnixMs]) -> None:
        self._file = file
        self._configured = configured
        self._now = now
        self._hold = self._load()

    @property
    def pct(self) -> float | None:
        """Of rated power. None: nobody has ever limited it, so that what is set at the device stays."""
        known = [each for each in (self._configured(), self._held_pct()) if each is not None]
        return min(known, default=None)

    @property
    def full_power_in_s(self) -> float | None:
        """When there will be no limit any more, without anybody saying so; None when that is not foreseen."""
        hold = self._hold
        own = self._configured()
        if hold is None or hold.until <= self._now() or (own is not None and own < FULL_PCT):
            return None
        return (hold.until - self._now()) / 1000

    @property
    def last_command(self) -> str | None:
        """The command that limited it last, whether that has ended or not."""
        return self._hold.command if self._hold is not None else None

    def hold(self, command: str, pct: float, until: UnixMs) -> None:
        """In place of an earlier command's. On the disk when this returns. Raises OSError: nothing has changed."""
        before = msgspec.structs.replace(self._hold, before=None) if self._hold is not None else None
        hold = Hold(command, pct, until, before)
        self._write(hold)
        self._hold = hold

    def release(self, command: str) -> None:
        """That command has failed: what held before it holds again. Where nothing did, full power, as a device may have
        taken the limit before it was known to have failed. Raises OSError: it counts for this process.
        """
        if self._hold is None or self._hold.command != command:
            return
        holds_again = self._hold.before or msgspec.structs.replace(self._hold, until=0)
        if holds_again != self._hold:
            self._hold = holds_again
            self._write(holds_again)

    def _held_pct(self) -> float | None:
        """A limit that has ended leaves full power behind."""
        if self._hold is None:
            return None
        return self._hold.pct if self._hold.until > self._now() else FULL_PCT

    def _write(self, hold: Hold) -> None:
        files.replace(self._file, msgspec.json.encode(hold))

    def _load(self) -> Hold | None:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=Hold)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as error:
            log.warning("agent.limit_unreadable", file=str(self._file), reason=str(error))
            return None
