"""The whole platform on one machine: what is started in which order."""

import asyncio
import os
import shutil
import urllib.error
import urllib.request
from pathlib import Path

import msgspec

from actors.local import assets, demo, demo_files
from actors.local.configuration import Options, fresh_ray_folder, ray_folder
from actors.local.disk import require_room
from actors.local.layout import Layout
from actors.local.machine import Machine
from actors.local.ports import LOOPBACK, require_free, require_own
from actors.local.process import Supervisor, end_recorded
from actors.local.progress import Progress
from actors.local.servers import Servers
from actors.local.simulation import Simulation
from actors.local.texts import text
from fleet.errors import Conflict
from fleet.fleet_plan import FleetPlan


class Ready(msgspec.Struct, frozen=True, omit_defaults=True):
    """ready.json. est: where devices enrol. sftp: where loggers put files; in a demonstration with one's account.

    mail: the folder that e-mail is written to, without a mail server.
    """

    url: str
    api: str
    mqtt: dict[str, str | int]
    est: dict[str, str]
    sftp: dict[str, str | int]
    pid: int
    mail: str | None = None
    logins: dict[str, demo.Login] | None = None


class System:
    """start() … watch() … stop(). Whatever start() raises, stop() ends what it had begun."""

    def __init__(self, options: Options, layout: Layout, progress: Progress) -> None:
        self.options = options
        self.layout = layout
        self.progress = progress
        self._machine = Machine(options, layout, progress)
        self._servers = Servers(self._machine)
        self._configuration = self._servers.configuration

    @property
    def supervisor(self) -> Supervisor:
        return self._machine.supervisor

    async def start(self) -> Ready:
        """Raises FleetError with what is in the way and what to do about it."""
        self._clear_the_way()
        built = asyncio.create_task(assets.build(self.layout.log("assets"), lambda: self.progress.step(text("step_assets"))))
        try:
            plan = await self._servers.start()
            await self._start_rooms(plan, built)
        finally:
            built.cancel()
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

    def _clear_the_way(self) -> None:
        """Before anything runs."""
        options = self.options
        self.layout.ready_file.unlink(missing_ok=True)
        end_recorded(self.layout.record)
        require_room(self.layout.folder)
        if options.host != LOOPBACK and self.layout.plan.exists():
            raise Conflict("demo_on_network", text("demo_on_network", folder=self.layout.folder))
        require_own(options.host, "--host")
        require_own(options.device_host, "--device-host")
        require_free(options.port, "--port", options.host)
        require_free(options.mqtt_port, "--mqtt-port", options.device_host)
        require_free(options.est_port, "--est-port", options.device_host)
        require_free(options.sftp_port, "--sftp-port", options.device_host)
        if options.sftp_legacy_port is not None:
            require_free(options.sftp_legacy_port, "--sftp-legacy-port", options.device_host)
        self.layout.make_secrets()
        fresh_ray_folder(self.layout.folder)

    async def _start_rooms(self, plan: FleetPlan | None, built: "asyncio.Task[None]") -> None:
        async with asyncio.TaskGroup() as together:
            twins = together.create_task(self._start_twins())
            together.create_task(self._start_web(built))
            together.create_task(self._start_notifier())
            together.create_task(self._start_files(twins))
            together.create_task(self._start_rollouts(twins))
            simulation = Simulation(self._machine, self._servers, plan) if plan is not None else None
            certificates = together.create_task(simulation.issue_certificates()) if simulation is not None else None
            together.create_task(self._start_onboarding(certificates))
            if simulation is not None and certificates is not None:
                together.create_task(simulation.start(twins, certificates))

    async def _start_twins(self) -> None:
        with self.progress.step(text("step_twins")):
            await self._machine.room(
                "twins",
                "actors",
                self._configuration.twins(),
                ready_file=self.layout.run / "twins.ready",
                deadline_s=90.0,
                stop_deadline_s=20.0,
            )

    async def _start_web(self, built: "asyncio.Task[None]") -> None:
        await built
        with self.progress.step(text("step_web")):
            probe = f"http://{self.options.host}:{self.options.port}/health/ready"
            await self._machine.room("web", "web", self._configuration.web(), probe=lambda: _answers(probe), deadline_s=90.0)

    async def _start_onboarding(self, certificates: "asyncio.Task[None] | None") -> None:
        """The authority takes the devices' certificates that there are into its ledger; the guard needs its first list."""
        if certificates is not None:
            await certificates
        with self.progress.step(text("step_authority")):
            told = self._configuration.pki()
            await self._machine.room("pki", "certs", told, words=["serve"], ready_file=told.ready_file)
        with self.progress.step(text("step_guard")):
            guard = self._configuration.guard()
            await self._machine.room("guard", "actors.guard", guard, ready_file=guard.ready_file)

    async def _start_notifier(self) -> None:
        with self.progress.step(text("step_notifier")):
            told = self._configuration.notifier()
            await self._machine.room("notifier", "actors.notifier", told, ready_file=told.ready_file)

    async def _start_files(self, twins: "asyncio.Task[None]") -> None:
        """The importer asks the twins; loggers may put files before that."""
        with self.progress.step(text("step_sftp")):
            told = self._configuration.sftp()
            await self._machine.room("sftp", "actors.dropbox", told, ready_file=told.ready_file)
        await twins
        with self.progress.step(text("step_importer")):
            importer = self._configuration.importer()
            await self._machine.room("importer", "actors.importer", importer, ready_file=importer.ready_file)

    async def _start_rollouts(self, twins: "asyncio.Task[None]") -> None:
        await twins
        with self.progress.step(text("step_rollouts")):
            told = self._configuration.rollouts()
            await self._machine.room("rollouts", "actors.rollouts", told, ready_file=told.ready_file)

    def _ready(self) -> Ready:
        trust = str(self.layout.pki / "trust" / "servers.pem")
        return Ready(
            url=self.options.url,
            api=f"{self.options.url}/api/v1",
            mqtt={"host": self.options.device_name, "port": self.options.mqtt_port, "ca": trust},
            est={"url": self.options.est_url, "ca": trust},
            sftp=self._sftp(),
            pid=os.getpid(),
            mail=str(self.layout.mail) if self.options.smtp is None else None,
            logins=demo.logins() if self.options.demo_sites is not None else None,
        )

    def _sftp(self) -> dict[str, str | int]:
        told: dict[str, str | int] = {
            "host": self.options.device_name,
            "port": self.options.sftp_port,
            "host_key": self.layout.sftp_host_key.with_name("sftp_host_key.pub").read_text().splitlines()[0],
        }
        if self.options.demo_sites is not None:
            told |= {"user": demo_files.LOGGER, "password": demo_files.PASSWORD}
        return told


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
