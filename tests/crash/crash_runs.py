"""Seeded crash runs on the real parts: each is one command or one configuration of one device, through which something dies.

Runs are played in groups: each member is brought to a state of its own, then a part, or two, is killed and comes back. What
became of all of them is looked at when the last group is over.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Literal

import httpx
import msgspec

from edge.agent.journal import Journal
from fleet.ids import DeviceId
from tests.crash.crash_rig import PARTS, CrashRig, Part, signed_in
from tests.fleet_rig import fetch, until

Kind = Literal["command", "config"]
# What is aimed at; what is counted is where the database says that it was.
COMMAND_AIMS = ("asked", "queued", "sent", "accepted", "done", "ended", "expiring")
CONFIG_AIMS = ("asked", "pending", "applying", "reported", "in_sync")
KILL_AFTER_S = 1.3
_TWO_KILLS = 0.3
_PATIENCE_S = 120.0


@dataclass
class Run:
    """answered: the command's id, or the version; once it is there, it is a promise. last: what was heard instead."""

    number: int
    kind: Kind
    aim: str
    device: str
    answered: str | None = None
    tries: int = 0
    last: str = ""
    problem: str = ""

    @property
    def key(self) -> str:
        return f"run-{self.number}"

    @property
    def interval_s(self) -> float:
        return 2.0 + self.number % 50


@dataclass
class Storm:
    """kills: (part, state of a run) → runs that were in it then."""

    rig: CrashRig
    client: httpx.AsyncClient
    headers: dict[str, str]
    luck: Random
    runs: list[Run] = field(default_factory=list)
    kills: Counter[tuple[Part, str]] = field(default_factory=Counter)
    deaths: Counter[Part] = field(default_factory=Counter)
    _late: list["asyncio.Task[None]"] = field(default_factory=list)

    async def group(self, runs: Sequence[Run], victim: Part) -> None:
        """One round of kills through all of these: of this part, and perhaps of another."""
        self.runs += runs
        killed_at = time.monotonic() + KILL_AFTER_S
        asks = [asyncio.create_task(self._begin(run, killed_at)) for run in runs]
        await _until(killed_at)
        victims = [victim]
        if self.luck.random() < _TWO_KILLS:
            victims.append(self.luck.choice([part for part in PARTS if part != victim]))
        devices = [run.device for run in runs]
        for part in victims:
            for state in await self._states(runs):
                self.kills[part, state] += 1
            self.deaths[part] += 1
            self.rig.kill(part, devices)
            await asyncio.sleep(self.luck.uniform(0.0, 0.3))
        await asyncio.gather(*(self.rig.revive(part, devices) for part in victims))
        for run in runs:
            if run.aim == "expiring":
                self._late.append(asyncio.create_task(self._come_late(run)))
            else:
                await asyncio.sleep(self.luck.uniform(0.0, 0.05))
                self.rig.come(run.device)
        _, unanswered = await asyncio.wait(asks, timeout=_PATIENCE_S)
        for ask in unanswered:
            ask.cancel()  # the verdict names it
        for ask in asks:
            if ask not in unanswered:
                ask.result()

    async def calm(self) -> None:
        """Until nothing is open any more, or it is clear that something always will be."""
        await asyncio.gather(*self._late)
        with contextlib.suppress(AssertionError):
            await until(self._is_calm, _PATIENCE_S, period_s=0.2)

    async def _begin(self, run: Run, killed_at: float) -> None:
        """So that it is in the wanted state when somebody dies."""
        ask = self._give if run.kind == "command" else self._change
        match run.aim:
            case "queued" | "pending" | "expiring":
                self.rig.leave(run.device)
                await _until(killed_at - 0.6)
            case "sent" | "applying":
                await _until(killed_at - 0.8)
                self.rig.mute(run.device)
                await _until(killed_at - 0.6)
            case "accepted":
                await _until(killed_at - self.luck.uniform(0.05, 0.25))
            case "done" | "reported":
                await _until(killed_at - self.luck.uniform(0.3, 0.65))
            case "asked":
                await _until(killed_at - self.luck.uniform(0.0, 0.02))
        await ask(run)

    async def _come_late(self, run: Run) -> None:
        await asyncio.sleep(6.5)
        self.rig.come(run.device)

    # the people ---------------------------------------------------------------------------------------------------------

    async def _give(self, run: Run) -> None:
        name, args = ("blink", {"duration_s": 1}) if run.device in self.rig.agents else ("read_info", {})
        body = {"name": name, "args": args, "expires_in_s": 5.0 if run.aim == "expiring" else 600.0}
        while True:
            answer = await self._tried(run, "POST", "commands", body, {"Idempotency-Key": run.key})
            if answer is None:
                continue
            assert answer.status_code in (200, 202), f"{run}: {answer.text}"  # 200: it was given before, with the same key
            run.answered = answer.json()["id"]
            return

    async def _change(self, run: Run) -> None:
        """Who gets no answer, or hears that there is a newer version, looks whether it is theirs."""
        version = 0
        while True:
            answer = await self._tried(
                run, "PUT", "config", {"values": {"report_interval_s": run.interval_s}}, {"If-Match": f'"{version}"'}
            )
            if answer is None:
                continue
            if answer.status_code == 412:
                answer = await self._tried(run, "GET", "config", None, {})
                if answer is None:
                    continue
                desired = answer.json()["desired"]
                if desired["values"]["report_interval_s"] != run.interval_s:
                    version = desired["version"]
                    continue
            assert answer.status_code == 200, f"{run}: {answer.text}"
            run.answered = str(answer.json()["desired"]["version"])
            return

    async def _tried(self, run: Run, method: str, what: str, body: object, headers: dict[str, str]) -> httpx.Response | None:
        """None: nobody knows; after a moment it may be tried again."""
        run.tries += 1
        with contextlib.suppress(httpx.TransportError):
            url = f"/api/v1/devices/{run.device}/{what}"
            answer = await self.client.request(method, url, json=body, headers=self.headers | headers)
            if answer.status_code == 401:
                self.headers = await signed_in(self.client)
            elif answer.status_code == 500:
                run.problem = answer.text
            run.last = f"{answer.status_code} {answer.text[:200]}"
            if answer.status_code not in (401, 429, 500, 502, 503, 504):
                return answer
        await asyncio.sleep(self.luck.uniform(0.05, 0.25))
        return None

    # the database -------------------------------------------------------------------------------------------------------

    async def _states(self, runs: Sequence[Run]) -> list[str]:
        """Of each run, by what is stored; a result that is under way is not."""
        commands = {run.device for run in runs if run.kind == "command"}
        keys = [run.key for run in runs]
        rows = await fetch(
            self.rig.database,
            "SELECT device_id, state FROM remote.command WHERE idempotency_key = ANY($1)"
            " UNION ALL SELECT device_id, status FROM remote.config WHERE device_id = ANY($2) AND version > 0",
            keys,
            [run.device for run in runs if run.device not in commands],
        )
        found = {row["device_id"]: row["state"] for row in rows}
        return [_kind_of_state(found.get(run.device, "asked"), run) for run in runs]

    async def _is_calm(self) -> bool:
        rows = await fetch(
            self.rig.database,
            "SELECT (SELECT count(*) FROM remote.command WHERE state IN ('queued', 'sent', 'accepted'))"
            " + (SELECT count(*) FROM remote.config WHERE status IN ('pending', 'applying')) AS open",
        )
        return not rows[0]["open"]


def _kind_of_state(state: str, run: Run) -> str:
    return f"{run.kind} {'ended' if state in ('succeeded', 'failed', 'expired', 'timed_out') else state}"


def planned(runs: int, devices: Sequence[str], agents: Sequence[str], size: int, luck: Random) -> list[list[Run]]:
    """Groups of `size`: one run for each real agent, the rest on devices of their own."""
    fresh = iter(devices)
    groups: list[list[Run]] = []
    number = 0
    while number < runs:
        group = []
        for position in range(min(size, runs - number)):
            kind: Kind = "command" if position < len(agents) or luck.random() < 0.6 else "config"
            aims = COMMAND_AIMS if kind == "command" else CONFIG_AIMS
            device = agents[position] if position < len(agents) else next(fresh)
            group.append(Run(number, kind, aims[(number + len(groups)) % len(aims)], device))
            number += 1
        groups.append(group)
    return groups


async def _until(time_s: float) -> None:
    await asyncio.sleep(max(time_s - time.monotonic(), 0.0))


def said_by(rig: CrashRig, device: str) -> dict[str, str]:
    """Command id → how it ended, by the device's own memory."""
    if device in rig.agents:
        return {each.id: each.status for each in Journal(rig.agents[device].state / "commands.json")._entries.values()}
    return {command_id: result.status for command_id, result in rig.fleet.results(device).items()}


def executed_by(rig: CrashRig) -> Counter[str]:
    """Command id → how often something was done. An agent's log says what it takes, and then what it does."""
    executed = Counter(rig.fleet.executed)
    for agent in rig.agents.values():
        taken = ""
        for line in agent.log.splitlines():
            if '"agent.command"' in line:
                taken = str(msgspec.json.decode(line)["id"])
            elif '"agent.blink"' in line:
                executed[taken] += 1
    return executed


def applied_by(rig: CrashRig, device: str, version: int) -> int:
    return rig.fleet.configured[DeviceId(device), version]
