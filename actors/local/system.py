"""The whole platform on one machine: what is started in which order, on which ports, with which settings."""

import asyncio
import os
import secrets
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import msgspec

from actors.local import assets, demo
from actors.local.configuration import (
    DATABASE,
    SERVER_NAME,
    Configuration,
    Options,
    fresh_ray_folder,
    ray_environment,
    ray_folder,
)
from actors.local.disk import require_room
from actors.local.layout import Layout, keep_secret
from actors.local.mosquitto import MosquittoServer
from actors.local.ports import LOOPBACK, require_free, require_own
from actors.local.postgres import SUPERUSER, PostgresServer
from actors.local.process import ChildProcess, Supervisor, end_recorded, run_tool
from actors.local.progress import Progress
from actors.local.texts import text
from fleet import profiles, settings
from fleet.errors import Conflict
from fleet.limits import DEMO_HISTORY_DAYS, DEMO_HISTORY_STEP_S
from fleet.plan import FleetPlan
from fleet.storage import bootstrap
from fleet.storage.database import connect
from fleet.storage.migrate import SERVICE_ROLES, migrate


class Ready(msgspec.Struct, frozen=True, omit_defaults=True):
    """ready.json."""

    url: str
    api: str
    mqtt: dict[str, str | int]
    pid: int
    logins: dict[str, demo.Login] | None = None


class System:
    """start() … watch() … stop(). Whatever start() raises, stop() ends what it had begun."""

    def __init__(self, options: Options, layout: Layout, progress: Progress) -> None:
        self.options = options
        self.layout = layout
        self.supervisor = Supervisor(layout.record, progress.line)
        self.progress = progress
        self._env = {**os.environ, **ray_environment(layout), "PYTHONUNBUFFERED": "1"}
        self.postgres = PostgresServer(
            layout.postgres, port=0, password_file=layout.secret(SUPERUSER), log_file=layout.log("postgres")
        )
        self.broker = MosquittoServer(
            layout.broker,
            pki=layout.pki,
            log_file=layout.log("mosquitto"),
            device_port=options.mqtt_port,
            device_host=options.device_host,
            internal_port=0,
            server_name=SERVER_NAME,
        )
        self.configuration = Configuration(options, layout, self.postgres, self.broker)

    async def start(self) -> Ready:
        """Raises FleetError with what is in the way and what to do about it."""
        self._clear_the_way()
        built = asyncio.create_task(assets.build(self.layout.log("assets"), lambda: self.progress.step(text("step_assets"))))
        try:
            return await self._start(built)
        finally:
            built.cancel()

    async def _start(self, built: "asyncio.Task[None]") -> Ready:
        plan = await self._servers()
        async with asyncio.TaskGroup() as together:
            twins = together.create_task(self._start_twins())
            together.create_task(self._start_web(built))
            if plan is not None:
                together.create_task(self._start_demo(plan, twins))
        ready = self._ready()
        _write(self.layout.ready_file, msgspec.json.format(msgspec.json.encode(ready), indent=2))
        return ready

    async def stop(self) -> None:
        self.layout.ready_file.unlink(missing_ok=True)
        await self.supervisor.stop()
        shutil.rmtree(ray_folder(self.layout.folder), ignore_errors=True)

    def setup_link(self) -> str | None:
        """For the first administrator, as long as there is none."""
        file = self.layout.setup_token
        return f"{self.options.url}/setup?token={file.read_text().strip()}" if file.exists() else None

    # before anything runs -------------------------------------------------------------------------------------------

    def _clear_the_way(self) -> None:
        self.layout.ready_file.unlink(missing_ok=True)
        end_recorded(self.layout.record)
        require_room(self.layout.folder)
        if self.options.host != LOOPBACK and self.layout.plan.exists():
            raise Conflict("demo_on_network", text("demo_on_network", folder=self.layout.folder))
        require_own(self.options.host, "--host")
        require_own(self.options.device_host, "--device-host")
        require_free(self.options.port, "--port", self.options.host)
        require_free(self.options.mqtt_port, "--mqtt-port", self.options.device_host)
        self.layout.make_secrets()
        fresh_ray_folder(self.layout.folder)

    # servers --------------------------------------------------------------------------------------------------------

    async def _servers(self) -> FleetPlan | None:
        """PostgreSQL, the schema and the fleet's registry, beside the certificates and the broker."""
        async with asyncio.TaskGroup() as together:
            planned = together.create_task(self._plan())
            together.create_task(self._start_broker(planned))
            together.create_task(self._start_postgres(planned))
        return planned.result()

    async def _plan(self) -> FleetPlan | None:
        """The demonstration's fleet: made at the first start, kept for good."""
        if self.options.demo_sites is None:
            return None
        if not self.layout.plan.exists():
            with self.progress.step(text("step_plan")):
                size_and_seed = ["--sites", str(self.options.demo_sites), "--seed", "1"]
                await self._tool("edge-plan", "edge", ["plan", *size_and_seed, "--out", self.layout.plan])
        plan = msgspec.json.decode(self.layout.plan.read_bytes(), type=FleetPlan)
        if len(plan.sites) != self.options.demo_sites:
            self.progress.line(text("same_fleet", present=len(plan.sites), wanted=self.options.demo_sites))
        return plan

    async def _start_broker(self, planned: "asyncio.Task[FleetPlan | None]") -> None:
        folder = self.layout.pki
        with self.progress.step(text("step_pki")):
            await self._tool("certs", "certs", ["init", folder])
            await self._tool("certs", "certs", ["issue-server", folder, *self.options.certificate_names()])
            await self._tool("certs", "certs", ["issue-platform", folder, "sp-twins", "sp-web"])
            plan = await planned
            if plan is not None:
                ids = self.layout.run / "devices.txt"
                ids.write_text("".join(f"{device.id}\n" for site in plan.sites for device in site.devices))
                await self._tool("certs", "certs", ["issue-device", folder, "--ids-file", ids])
        with self.progress.step(text("step_broker")):
            await self.supervisor.start(self.broker, 20.0)

    async def _start_postgres(self, planned: "asyncio.Task[FleetPlan | None]") -> None:
        with self.progress.step(text("step_postgres")):
            await self.supervisor.start(self.postgres, 60.0)
        with self.progress.step(text("step_migrations")):
            await self._create_database()
            passwords = {role: self.layout.secret(role).read_text() for role in SERVICE_ROLES}
            connection = await connect(self.configuration.database(SUPERUSER))
            try:
                await migrate(connection, passwords)
                await bootstrap.store_profiles(connection, profiles.shipped())
                plan = await planned
                if plan is not None and await bootstrap.site_count(connection) == 0:
                    await demo.register(connection, plan)
                await self._offer_setup(await bootstrap.has_admin(connection))
            finally:
                await connection.close()

    async def _create_database(self) -> None:
        connection = await connect(self.configuration.database(SUPERUSER, name="postgres"))
        try:
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
                await connection.execute(f"CREATE DATABASE {DATABASE}")
        finally:
            await connection.close()

    async def _offer_setup(self, has_admin: bool) -> None:
        if has_admin:
            self.layout.setup_token.unlink(missing_ok=True)
        else:
            keep_secret(self.layout.setup_token, secrets.token_urlsafe(32))
        if self.options.demo_sites is not None:
            demo.write_logins(self.layout.demo_logins)

    # our own rooms --------------------------------------------------------------------------------------------------

    async def _start_twins(self) -> None:
        file = self.layout.settings / "twins.json"
        settings.save(file, self.configuration.twins())
        twins = ChildProcess(
            "twins",
            [sys.executable, "-m", "actors", "--settings", file],
            log_file=self.layout.log("twins"),
            env=self._env,
            ready_file=self.layout.run / "twins.ready",
            stop_deadline_s=20.0,
        )
        with self.progress.step(text("step_twins")):
            await self.supervisor.start(twins, 90.0)

    async def _start_web(self, built: "asyncio.Task[None]") -> None:
        await built
        file = self.layout.settings / "web.json"
        settings.save(file, self.configuration.web())
        web = ChildProcess(
            "web",
            [sys.executable, "-m", "web", "--settings", file],
            log_file=self.layout.log("web"),
            env=self._env,
            probe=lambda: _answers(f"http://{self.options.host}:{self.options.port}/health/ready"),
        )
        with self.progress.step(text("step_web")):
            await self.supervisor.start(web, 90.0)

    async def _start_simulator(self) -> None:
        self.layout.simulator.mkdir(exist_ok=True)
        pki, port = self.layout.pki, str(self.broker.device_port)
        command: list[str | Path] = [sys.executable, "-m", "edge", "simulate", "--plan", self.layout.plan, "--demo-fault"]
        command += ["--certs", pki / "devices", "--ca", pki / "trust" / "servers.pem", "--state", self.layout.simulator]
        command += ["--broker-host", self.options.device_name, "--broker-port", port]
        simulator = ChildProcess(
            "simulator",
            command,
            log_file=self.layout.log("simulator"),
            env=self._env,
            ready_file=self.layout.simulator / "ready",
        )
        with self.progress.step(text("step_simulator")):
            await self.supervisor.start(simulator, 60.0)

    # the demonstration's past ---------------------------------------------------------------------------------------

    async def _start_demo(self, plan: FleetPlan, twins: "asyncio.Task[None]") -> None:
        """The past first: devices that speak before it is stored would have their counters start from nowhere."""
        await self._make_history(plan)
        await twins
        await self._load_history()
        await self._start_simulator()

    async def _make_history(self, plan: FleetPlan) -> None:
        """Once: from the fleet's first day to now."""
        if self._history_marker("made").exists():
            return
        with self.progress.step(text("step_history", days=DEMO_HISTORY_DAYS, sites=len(plan.sites))):
            command: list[str | Path] = ["history", "--plan", self.layout.plan, "--days", str(DEMO_HISTORY_DAYS)]
            command += ["--step-s", str(DEMO_HISTORY_STEP_S), "--out", self.layout.history]
            await self._tool("edge-history", "edge", command)
        self._history_marker("made").touch()

    async def _load_history(self) -> None:
        if self._history_marker("loaded").exists():
            return
        with self.progress.step(text("step_load_history")):
            await self._tool(
                "load-history", "actors.local.load_history", [self.layout.settings / "twins.json", self.layout.history]
            )
        self._history_marker("loaded").touch()

    def _history_marker(self, name: str) -> Path:
        return self.layout.folder / f"history.{name}"

    def _ready(self) -> Ready:
        return Ready(
            url=self.options.url,
            api=f"{self.options.url}/api/v1",
            mqtt={
                "host": self.options.device_name,
                "port": self.broker.device_port,
                "ca": str(self.layout.pki / "trust" / "servers.pem"),
            },
            pid=os.getpid(),
            logins=demo.logins() if self.options.demo_sites is not None else None,
        )

    async def _tool(self, name: str, module: str, arguments: Sequence[str | Path]) -> None:
        await run_tool(name, [sys.executable, "-m", module, *arguments], log_file=self.layout.log(name), env=self._env)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2.0) as answer:  # noqa: S310 - our own loopback address
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _write(file: Path, content: bytes) -> None:
    """Whoever waits for the file finds all of it."""
    fresh = file.with_name(f".{file.name}.new")
    fresh.write_bytes(content)
    fresh.rename(file)
