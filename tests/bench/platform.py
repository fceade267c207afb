"""The platform on a scratch folder, with a registered fleet: PostgreSQL, Mosquitto, Ray and its shards.

Where asked for also the web, and what onboarding needs: the authority and the guard.
"""

import asyncio
import contextlib
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psutil
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from actors.local import demo
from actors.local.ports import LOOPBACK, free_port
from edge.plan import make_fleet
from fleet import settings
from fleet.fleet_plan import FleetPlan
from fleet.ids import DeviceId
from fleet.profiles import shipped
from fleet.settings import (
    GuardSettings,
    ImporterSettings,
    PkiSettings,
    RaySettings,
    RolloutsSettings,
    TracingSettings,
    TwinsSettings,
    WebSettings,
)
from fleet.storage import bootstrap, pull_secrets
from fleet.storage.database import connect
from tests.servers import Broker, Database, Pki, mosquitto_server, pki_folder, postgres_server, server_folder

DATABASE = "sp_bench"
SHARDS = 2
_START_DEADLINE_S = 120.0


@dataclass(frozen=True)
class Platform:
    folder: Path
    database: Database
    broker: Broker
    pki: Pki
    plan: FleetPlan
    twins: TwinsSettings
    process: subprocess.Popen[bytes]
    url: str | None = None
    est_url: str | None = None
    database_pid: int | None = None  # of the PostgreSQL server

    @property
    def plan_file(self) -> Path:
        return self.folder / "plan.json"

    def shard_processes(self) -> list[psutil.Process]:
        """The shards' own processes, found by the name that Ray gives them."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [child for child in children if child.name().startswith("ray::Shard")]

    def load(
        self, *, rate: float, seconds: float, connections: int, more: tuple[str, ...] = (), report: Path | None = None
    ) -> "subprocess.Popen[bytes]":
        """The load generator as a process of its own; its report goes to report_file, or to `report`."""
        return subprocess.Popen(
            [
                sys.executable, "-m", "edge", "load",
                "--plan", str(self.plan_file), "--certs", str(self.pki.folder / "devices"),
                "--ca", str(self.pki.server_trust),
                "--broker-host", self.broker.host, "--broker-port", str(self.broker.device_port),
                "--rate", str(rate), "--seconds", str(seconds), "--connections", str(connections),
                "--report", str(report or self.report_file), *more,
            ],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip

    @property
    def report_file(self) -> Path:
        return self.folder / "load.json"

    def report(self) -> dict[str, object]:
        found: dict[str, object] = json.loads(self.report_file.read_bytes())
        return found


@contextmanager
def platform(
    *,
    sites: int,
    shards: int = SHARDS,
    web: bool = False,
    onboarding: bool = False,
    seed: Callable[[Database], Coroutine[Any, Any, None]] | None = None,
    tracing: TracingSettings | None = None,
) -> Iterator[Platform]:
    """Everything running and ready; everything gone at the end.

    web: with the portal, at `url`. onboarding: with the authority, at `est_url`, and the guard. seed: registers more.
    tracing: of the shards.
    """
    with (
        server_folder("bench") as folder,
        postgres_server() as cluster,
        pki_folder() as pki,
        mosquitto_server(pki) as broker,
    ):
        database = cluster.create_database(DATABASE)
        plan = make_fleet(sites, 1, time.time_ns() // 1_000_000, 1)
        (folder / "plan.json").write_bytes(msgspec.json.encode(plan))
        asyncio.run(_register(database, plan))
        if seed is not None:
            asyncio.run(seed(database))
        pki.devices([device.id for site in plan.sites for device in site.devices])
        token = folder / "ray.token"
        token.write_text(secrets.token_hex(32))
        token.chmod(0o600)
        ray_folder = Path("/tmp") / f"spb-{os.getpid()}"  # noqa: S108 - short: Ray's sockets lie 70 characters below it
        twins = TwinsSettings(
            shards,
            database.sp_twins,
            broker.sp_twins,
            RaySettings(folder / "ray.address", token, ray_folder),
            broker.log_file,
            tracing,
        )
        settings.save(folder / "twins.json", twins)
        with (folder / "twins.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "actors", "--settings", str(folder / "twins.json")], stderr=log
            )
        try:
            _wait_for(folder / "twins.ready", process, folder / "twins.log")
            running = Platform(folder, database, broker, pki, plan, twins, process, database_pid=cluster.server.pid)
            with contextlib.ExitStack() as more:
                if onboarding:
                    running = replace(running, est_url=more.enter_context(_onboarding(running)))
                if web:
                    running = replace(running, url=more.enter_context(_web(running)))
                yield running
        finally:
            process.terminate()
            process.wait(timeout=30)


@contextmanager
def importer(running: Platform) -> Iterator[Path]:
    """The importer as a process of its own, for the plan's first site, and the box of a logger there: put whole files in."""
    folder, logger = running.folder, "logger-bench"
    asyncio.run(_add_logger(running, logger))
    told = ImporterSettings(
        database=running.database.sp_importer,
        ray=running.twins.ray,
        intake_folder=folder / "intake",
        dropbox_folder=folder / "dropbox",
        pull_key_file=folder / "pull.key",
        public_url="http://portal.test",
        ready_file=folder / "importer.ready",
    )
    (folder / "pull.key").write_text(pull_secrets.make_key())
    box = folder / "dropbox" / logger / "whole"
    box.mkdir(parents=True)
    with _room(folder, "actors.importer", told):
        yield box


async def _add_logger(running: Platform, logger: str) -> None:
    connection = await connect(running.database.owner)
    try:
        await bootstrap.store_logger(connection, running.plan.sites[0].id, DeviceId(logger), "Logger", "")
    finally:
        await connection.close()


@contextmanager
def rollouts(running: Platform) -> "Iterator[subprocess.Popen[bytes]]":
    """The process that leads them."""
    told = RolloutsSettings(
        running.database.sp_rollouts, running.twins.ray, "http://portal.test", running.folder / "rollouts.ready"
    )
    with _room(running.folder, "actors.rollouts", told) as process:
        yield process


@contextmanager
def _onboarding(running: Platform) -> Iterator[str]:
    """The authority, then the guard: it waits for the authority's first list."""
    folder, database, broker, pki = running.folder, running.database, running.broker, running.pki
    port = free_port()
    url = f"https://localhost:{port}"
    devices = (LOOPBACK, broker.device_port)
    authority = PkiSettings(pki.folder, LOOPBACK, port, "localhost", url, *devices, database.sp_pki, folder / "pki.ready")
    guard = GuardSettings(
        database.sp_guard,
        pki.platform(broker, "sp-guard"),
        broker.server.folder.resolve(),
        pki.folder,
        "localhost",
        *devices,
        folder / "guard.ready",
        pid_file=broker.server.pid_file,
    )
    with _room(folder, "certs", authority, ("serve",)), _room(folder, "actors.guard", guard):
        yield url


@contextmanager
def _room(
    folder: Path,
    module: str,
    told: PkiSettings | GuardSettings | ImporterSettings | RolloutsSettings,
    words: tuple[str, ...] = (),
) -> "Iterator[subprocess.Popen[bytes]]":
    file = folder / f"{module}.json"
    settings.save(file, told)
    log_file = folder / f"{module}.log"
    with log_file.open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", module, *words, "--settings", str(file)], stderr=log)
    try:
        _wait_for(told.ready_file, process, log_file)
        yield process
    finally:
        process.terminate()
        process.wait(timeout=30)


@contextmanager
def _web(running: Platform) -> Iterator[str]:
    port = free_port()
    url = f"http://localhost:{port}"
    key = running.folder / "jwt_key.pem"
    key.write_bytes(Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    wanted = WebSettings(
        LOOPBACK,
        port,
        url,
        running.database.sp_web,
        running.broker.sp_web,
        running.twins.ray,
        key,
        est_url=running.est_url,
        est_ca_file=running.pki.server_trust,
    )
    settings.save(running.folder / "web.json", wanted)
    with (running.folder / "web.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "web", "--settings", str(running.folder / "web.json")], stderr=log)
    try:
        _wait_until_ready(f"{url}/health/ready", process, running.folder / "web.log")
        yield url
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait_until_ready(url: str, process: "subprocess.Popen[bytes]", log_file: Path) -> None:
    end = time.monotonic() + _START_DEADLINE_S
    while True:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(url).status_code == httpx.codes.OK:
                return
        assert process.poll() is None, f"the web process ended: {log_file.read_text()[-2000:]}"
        assert time.monotonic() < end, f"{url} never became ready"
        time.sleep(0.1)


async def _register(database: Database, plan: FleetPlan) -> None:
    connection = await connect(database.owner)
    try:
        await bootstrap.store_profiles(connection, shipped())
        await demo.register(connection, plan)
    finally:
        await connection.close()


def _wait_for(file: Path, process: "subprocess.Popen[bytes]", log_file: Path) -> None:
    end = time.monotonic() + _START_DEADLINE_S
    while not file.exists():
        assert process.poll() is None, f"{log_file.stem} ended: {log_file.read_text()[-2000:]}"
        assert time.monotonic() < end, f"{log_file.stem} did not become ready"
        time.sleep(0.1)
