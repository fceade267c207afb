"""A Ray cluster of real nodes on this host, with real servers, a registered fleet and the shards' keeper.

Ray listens on every interface of its machine as soon as it is more than one node: so run it in a network namespace that has
nothing but its loopback (tests.alone). Each node has an address of its own there.
"""

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import psutil

from actors.cluster.node_command import worker_command
from actors.cluster.ray_environment import environment
from actors.local import demo
from edge.plan import make_fleet
from fleet import settings as files
from fleet.fleet_plan import FleetPlan
from fleet.profiles import shipped
from fleet.settings import NodeSettings, RaySettings, RedisSettings, TwinsSettings
from fleet.storage import bootstrap
from fleet.storage.database import connect
from tests.fleet_rig import until
from tests.servers import Broker, Database, Pki, mosquitto_server, pki_folder, postgres_server, server_folder

HEAD, KEEPER, ASKER = 1, 2, 3  # numbers of nodes; workers come after them
FIRST_WORKER = 4
_GCS_PORT = 6379
_START_DEADLINE_S = 180.0


@dataclass
class Cluster:
    folder: Path
    database: Database
    broker: Broker
    pki: Pki
    plan: FleetPlan
    twins: TwinsSettings
    redis: RedisSettings | None
    ray_folder: Path
    processes: dict[int, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def ray(self, number: int) -> RaySettings:
        """Of the node with this number."""
        return RaySettings(
            self.folder / f"{number}.address",
            self.folder / "ray.token",
            self.ray_folder / str(number),
            cluster=f"127.0.0.{10 + HEAD}:{_GCS_PORT}",
            node_address=f"127.0.0.{10 + number}",
            first_port=7000 + 100 * number,
        )

    def start_node(self, number: int, shards_max: int = 4) -> "subprocess.Popen[bytes]":
        told = NodeSettings(self.ray(number), shards_max, self.redis)
        role = "head" if number == HEAD else "worker"
        return self._start(number, told, "actors.cluster.node", role)

    def start_stranger(self, number: int) -> None:
        """A worker of another release: only what it offers differs."""
        ray = self.ray(number)
        (named,) = (word for word in worker_command(ray, str(ray.node_address), 4) if word.startswith("--resources="))
        command = [
            '--resources={"release-0.0.1": 4}' if word == named else word
            for word in worker_command(ray, str(ray.node_address), 4)
        ]
        with (self.folder / f"{number}.log").open("ab") as log:
            self.processes[number] = subprocess.Popen(command, env=os.environ | environment(ray), stdout=log, stderr=log)

    def start_keeper(self) -> "subprocess.Popen[bytes]":
        return self._start(KEEPER, self.twins, "actors")

    def kill(self, number: int) -> None:
        """As a machine loses its power: everything on it at once."""
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in self.family(number):
                process.kill()
        self.processes.pop(number).wait()

    def end(self, number: int) -> None:
        self.processes[number].terminate()
        self.processes.pop(number).wait(timeout=60)

    def family(self, number: int) -> list[psutil.Process]:
        first = psutil.Process(self.processes[number].pid)
        return [first, *first.children(recursive=True)]

    def shards_on(self, number: int) -> int:
        count = 0
        for process in self.family(number):
            with contextlib.suppress(psutil.NoSuchProcess):  # it ended meanwhile
                count += process.name().startswith("ray::Shard")
        return count

    def log(self, number: int) -> str:
        return (self.folder / f"{number}.log").read_text(errors="replace")

    @property
    def ready_file(self) -> Path:
        return self.twins.ray.address_file.with_name("twins.ready")

    async def await_ready(self) -> None:
        """Every shard answers, and is where it ought to be. A node that gives up is started again, as engines do it."""

        async def is_ready() -> bool:
            for number, process in list(self.processes.items()):
                if process.poll() is not None and number != KEEPER:
                    self.start_node(number)
            return self.ready_file.exists()

        try:
            await until(is_ready, _START_DEADLINE_S)
        except AssertionError:
            raise AssertionError("\n".join(self.log(number)[-2000:] for number in self.processes)) from None

    def load(self, *, rate: float, seconds: float, connections: int) -> "subprocess.Popen[bytes]":
        """The load generator; SIGTERM ends it early. Its report: `report()`."""
        return subprocess.Popen(
            [
                sys.executable, "-m", "edge", "load",
                "--plan", str(self.folder / "plan.json"), "--certs", str(self.pki.folder / "devices"),
                "--ca", str(self.pki.server_trust),
                "--broker-host", self.broker.host, "--broker-port", str(self.broker.device_port),
                "--rate", str(rate), "--seconds", str(seconds), "--connections", str(connections),
                "--report", str(self.folder / "load.json"),
            ],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip

    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "load.json").read_bytes())
        return found

    def _start(self, number: int, told: NodeSettings | TwinsSettings, module: str, *words: str) -> "subprocess.Popen[bytes]":
        file = self.folder / f"{number}.json"
        files.save(file, told)
        with (self.folder / f"{number}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *words, "--settings", str(file)], stdout=log, stderr=log
            )
        self.processes[number] = process
        return process


@contextmanager
def cluster(*, sites: int, shards: int, workers: int, redis: RedisSettings | None = None) -> Iterator[Cluster]:
    """Head, workers and keeper running, every shard answering; everything gone at the end."""
    with (
        server_folder("cluster") as folder,
        postgres_server() as postgres,
        pki_folder() as pki,
        mosquitto_server(pki) as broker,
    ):
        database = postgres.create_database("sp_cluster")
        plan = make_fleet(sites, 1, time.time_ns() // 1_000_000, 1)
        (folder / "plan.json").write_bytes(msgspec.json.encode(plan))
        asyncio.run(_register(database, plan))
        pki.devices([device.id for site in plan.sites for device in site.devices])
        token = folder / "ray.token"
        token.write_text(secrets.token_hex(32))
        token.chmod(0o600)
        ray_folder = Path("/tmp") / f"spc-{os.getpid()}"  # noqa: S108 - short: Ray's sockets lie 70 characters below it
        nowhere = RaySettings(folder, folder, folder)
        running = Cluster(
            folder,
            database,
            broker,
            pki,
            plan,
            TwinsSettings(shards, database.sp_twins, broker.sp_twins, nowhere),
            redis,
            ray_folder,
        )
        running.twins = msgspec.structs.replace(running.twins, ray=running.ray(KEEPER))
        try:
            running.start_node(HEAD)
            for number in range(FIRST_WORKER, FIRST_WORKER + workers):
                running.start_node(number)
            running.start_keeper()
            asyncio.run(running.await_ready())
            yield running
        finally:
            for number in list(running.processes):
                running.kill(number)
            shutil.rmtree(ray_folder, ignore_errors=True)


async def _register(database: Database, plan: FleetPlan) -> None:
    connection = await connect(database.owner)
    try:
        await bootstrap.store_profiles(connection, shipped())
        await demo.register(connection, plan)
    finally:
        await connection.close()
