"""A real site agent on this machine, as a process; besides its spool it remembers every message that it ever had.

The memory is a trigger in the agent's own spool: what the platform has acknowledged is deleted there, and has to be rows.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from fleet.telemetry import Sample
from tests.agent_rig import AgentProcess
from tests.compose.stack import Stack

PERIOD_S = 1
INPUT = f'[[inputs]]\ntype = "simulated"\nperiod_s = {PERIOD_S}\nsun = "noon"\n'
_MEMORY = """
create table held (device text, seq integer, samples blob, primary key (device, seq)) without rowid;
create table seen (device text, seq integer, samples blob, primary key (device, seq));
create trigger remember after insert on held begin
    insert or ignore into seen values (new.device, new.seq, new.samples);
end;
"""


class Machine:
    def __init__(self, folder: Path) -> None:
        self.agent = AgentProcess(folder)
        self.device = ""

    def enrol(self, link: str, device: str) -> None:
        """By the QR code's text. AssertionError with what the agent said."""
        self.agent.state.mkdir(parents=True, exist_ok=True)
        (self.agent.state / "agent.toml").write_text(INPUT)
        done = self.agent.call("enrol", link)
        assert done.returncode == 0, done.stderr
        self.device = device
        with closing(sqlite3.connect(self._spool)) as database:
            database.executescript(_MEMORY)

    def start(self) -> None:
        self.agent.start("run")

    def stop(self) -> None:
        if self.agent.running:
            self.agent.stop()

    @property
    def _spool(self) -> Path:
        return self.agent.state / "spool.sqlite"

    def acknowledged(self) -> list[Sample]:
        """While it is stopped: what the platform said that it has stored."""
        with closing(sqlite3.connect(self._spool)) as database:  # the agent wants it for itself alone
            ((oldest,),) = database.execute("select oldest from shelf where device = ?", (self.device,))
            rows = database.execute("select samples from seen where device = ? and seq < ?", (self.device, oldest))
            return [sample for (samples,) in rows for sample in msgspec.json.decode(samples, type=list[Sample])]

    def missing(self, stack: Stack) -> tuple[int, list[Any]]:
        """(how many samples were acknowledged, those that are no row with these values)."""
        acknowledged = self.acknowledged()
        channels = _channels(stack, self.device)
        rows = {int(t): readings for t, readings in _stored(stack, self.device)}
        lost: list[Any] = []
        for sample in acknowledged:
            row = rows.get(sample.t)
            said = [sample.v.get(channel) for channel in channels]
            if row is None or any(mine is not None and mine != theirs for mine, theirs in zip(said, row, strict=False)):
                lost.append((sample.t, said, row))
        return len(acknowledged), lost


def rows_of(stack: Stack, device: str) -> int:
    ((count,),) = stack.sql(f"SELECT count(*) FROM telemetry.sample WHERE device_id = '{device}'")  # noqa: S608 - our own id
    return int(count)


def _channels(stack: Stack, device: str) -> list[str]:
    ((found,),) = stack.sql(
        "SELECT profile.definition -> 'channels' FROM registry.profile JOIN registry.device ON profile.id = profile_id"  # noqa: S608 - our own id
        f" WHERE device.id = '{device}'"
    )
    return msgspec.json.decode(found, type=list[str])


def _stored(stack: Stack, device: str) -> list[tuple[int, list[float | None]]]:
    rows = stack.sql(
        "SELECT (extract(epoch FROM time) * 1000)::bigint, array_to_json(readings) FROM telemetry.sample"  # noqa: S608 - our own id
        f" WHERE device_id = '{device}'"
    )
    return [(int(t), msgspec.json.decode(readings, type=list[float | None])) for t, readings in rows]
