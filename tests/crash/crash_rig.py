"""The platform in pieces that can each be killed: a shard, a web and agents as processes of their own, beside a real broker.

A killed shard or web is followed by a spare one, which has everything loaded and waits for the word.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Literal

import httpx
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from actors.local.ports import LOOPBACK, free_port
from fleet import settings
from fleet.errors import FleetError
from fleet.ids import DeviceId
from fleet.settings import TwinsSettings, WebSettings
from fleet.storage.database import connect
from tests.agent_platform import Platform
from tests.agent_rig import AgentProcess
from tests.crash.twins_socket import SocketTwins
from tests.fleet_rig import seed_fleet, twins_settings, until
from tests.obedient import Habits, ObedientFleet, obedient_fleet
from tests.servers import Broker
from tests.web_app import HASH, PASSWORD, web_settings

Part = Literal["shard", "web", "broker", "agent"]
PARTS: tuple[Part, ...] = ("shard", "web", "broker", "agent")
OPS = "otto@example.org"
_WIPED = 0.3  # how often a killed broker has lost its sessions as well
_FROZEN = 0.2  # how often a shard is only taken for dead: it wakes while its successor is at work


class Spares:
    """Processes of one kind: one works, one is ready to."""

    def __init__(self, module: str, arguments: list[str], log_file: Path) -> None:
        self._command = [sys.executable, "-m", module, *arguments]
        self._log_file = log_file
        self.working: subprocess.Popen[bytes] | None = None
        self._spare = self._prepared()

    def begin(self) -> None:
        self.working, self._spare = self._spare, self._prepared()
        assert self.working.stdin is not None
        self.working.stdin.write(b"\n")
        self.working.stdin.flush()

    def kill(self) -> None:
        if self.working is not None:
            self.working.kill()
            self.working.wait(timeout=60)

    def freeze(self) -> "subprocess.Popen[bytes]":
        """The one at work, which is given up and not ended."""
        assert self.working is not None
        self.working.send_signal(signal.SIGSTOP)
        return self.working

    def close(self) -> None:
        self.kill()
        self._spare.kill()
        self._spare.wait(timeout=60)

    def _prepared(self) -> "subprocess.Popen[bytes]":
        with self._log_file.open("ab") as log:
            return subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=os.environ)


class CrashRig:
    """kill(part) and revive(part); `web` is the API's address. agents: real ones, by device id."""

    def __init__(self, folder: Path, parts: Platform, luck: Random) -> None:
        self.parts = parts
        self.database = parts.database
        self.agents: dict[str, AgentProcess] = {}
        self.fleet: ObedientFleet
        self.socket = folder / "twins.socket"
        self._luck = luck
        self._broker: Broker = parts.broker
        port = free_port()
        self.web = f"http://{LOOPBACK}:{port}"
        settings.save(folder / "twins.json", _twins(parts))
        settings.save(folder / "web.json", _web(folder, parts, port, self.web))
        socket = str(self.socket)
        self._shards = Spares("tests.crash.shard_process", [str(folder / "twins.json"), socket], folder / "shards.log")
        self._webs = Spares("tests.crash.web_process", [str(folder / "web.json"), socket], folder / "webs.log")
        self._frozen: list[subprocess.Popen[bytes]] = []

    async def start(self) -> None:
        self._shards.begin()
        self._webs.begin()
        await until(self._shard_answers, 60.0)
        await until(self._web_answers, 60.0)

    def kill(self, part: Part, devices: list[str]) -> None:
        """With -9, or by a cut of their power. devices: which of them, for part agent."""
        match part:
            case "shard" if self._luck.random() < _FROZEN:
                self._frozen.append(self._shards.freeze())
            case "shard":
                self._shards.kill()
            case "web":
                self._webs.kill()
            case "broker":
                self._broker.server.kill()
            case "agent":
                self.fleet.cut_power([device for device in devices if device not in self.agents])
                for device in devices:
                    if device in self.agents and self.agents[device].running:
                        self.agents[device].kill()

    async def revive(self, part: Part, devices: list[str]) -> None:
        match part:
            case "shard":
                self._shards.begin()
                await asyncio.gather(until(self._shard_answers, 60.0), self._wake_frozen())
            case "web":
                self._webs.begin()
                await until(self._web_answers, 60.0)
            case "broker":
                if self._luck.random() < _WIPED:
                    self._broker.server.wipe()
                await asyncio.to_thread(self._broker.server.start)
            case "agent":
                for device in devices:
                    self.come(device)

    def leave(self, device: str) -> None:
        """The broker knows that it is gone."""
        if device in self.agents:
            self.agents[device].kill()
        else:
            self.fleet.go_away([device])

    def mute(self, device: str) -> None:
        """Nobody knows that it hears nothing."""
        if device in self.agents:
            self._signal(device, signal.SIGSTOP)
        else:
            self.fleet.devices[DeviceId(device)].present = False

    def come(self, device: str) -> None:
        if device not in self.agents:
            self.fleet.come_back([device])
        elif self.agents[device].running:
            self._signal(device, signal.SIGCONT)
        else:
            self.agents[device].start("run")

    async def add_agent(self, folder: Path, device: str) -> None:
        agent, _ = await self.parts.agent(folder, device)
        agent.start("run")
        self.agents[device] = agent

    def close(self) -> None:
        for process in self._frozen:
            process.kill()
            process.wait(timeout=60)
        for agent in self.agents.values():
            if agent.running:
                agent.kill()
        self._shards.close()
        self._webs.close()

    def _signal(self, device: str, sign: signal.Signals) -> None:
        process = self.agents[device].process
        if process is not None and process.poll() is None:
            process.send_signal(sign)

    async def _wake_frozen(self) -> None:
        """It finds out at its next write that it is not the owner any more; whether or not it has one, it ends then.

        If it was frozen in the middle of a transaction, its successor waits for that.
        """
        while self._frozen:
            process = self._frozen.pop()
            await asyncio.sleep(self._luck.uniform(0.3, 2.0))
            process.send_signal(signal.SIGCONT)
            await asyncio.sleep(self._luck.uniform(0.0, 0.7))
            process.kill()
            await asyncio.to_thread(process.wait)

    async def _shard_answers(self) -> bool:
        try:
            (stats,) = await SocketTwins(self.socket).shard_stats()
        except FleetError:
            return False
        return stats.connected or not self._broker.server.running

    async def _web_answers(self) -> bool:
        async with httpx.AsyncClient() as client:
            try:
                return (await client.get(f"{self.web}/health/live")).status_code == 200
            except httpx.TransportError:
                return False


@asynccontextmanager
async def crash_rig(
    folder: Path, parts: Platform, sites: dict[str, dict[str, str]], agents: list[str], luck: Random
) -> AsyncIterator[CrashRig]:
    """sites: obedient devices and their profiles. agents: real ones, of the authority's own site."""
    rig = CrashRig(folder, parts, luck)
    try:
        await seed_fleet(parts.database, sites.items())
        await _seed_person(parts)
        devices = [(site, device, profile) for site, theirs in sites.items() for device, profile in theirs.items()]
        await rig.start()
        habits = Habits(seed=luck.randrange(2**32), latency_s=(0.3, 0.6))
        async with obedient_fleet(parts.broker.sp_twins, devices, habits) as rig.fleet:
            for device in agents:
                await rig.add_agent(folder, device)
            yield rig
    finally:
        rig.close()


def _twins(parts: Platform) -> TwinsSettings:
    return twins_settings(parts.database.sp_twins, parts.broker.sp_twins)


def _web(folder: Path, parts: Platform, port: int, url: str) -> WebSettings:
    key = folder / "jwt_key.pem"
    made = Ed25519PrivateKey.generate()
    key.write_bytes(made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    told = web_settings(parts.database, folder, None)
    return msgspec.structs.replace(told, port=port, public_url=url, jwt_key_file=key)


async def _seed_person(parts: Platform) -> None:
    owner = await connect(parts.database.owner)
    try:
        await owner.execute(
            "INSERT INTO accounts.organisation (id, name, kind) VALUES ('platform', 'SolarPerform', 'platform')"
        )
        await owner.execute(
            "INSERT INTO accounts.person (id, organisation_id, email, name, role, password_hash)"
            " VALUES ('otto', 'platform', $1, 'Otto', 'ops', $2)",
            OPS,
            HASH,
        )
    finally:
        await owner.close()


async def signed_in(client: httpx.AsyncClient) -> dict[str, str]:
    """Headers of a request by operations."""
    answer = await client.post("/api/v1/auth/login", json={"email": OPS, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}
