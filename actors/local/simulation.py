"""The demonstration's devices: their certificates, their past, and then they speak."""

import asyncio
from pathlib import Path

from actors.local.machine import Machine
from actors.local.postgres import SUPERUSER
from actors.local.servers import Servers
from actors.local.texts import text
from fleet.fleet_plan import FleetPlan
from fleet.limits import DEMO_HISTORY_DAYS, DEMO_HISTORY_STEP_S
from fleet.storage import bootstrap
from fleet.storage.database import connect


class Simulation:
    def __init__(self, machine: Machine, servers: Servers, plan: FleetPlan) -> None:
        self._machine = machine
        self._layout = machine.layout
        self._servers = servers
        self._plan = plan

    async def issue_certificates(self) -> None:
        """From the command line, for all but those that were revoked or have enrolled by a claim."""
        connection = await connect(self._servers.configuration.database(SUPERUSER))
        try:
            not_ours = await bootstrap.devices_of_the_authority(connection)
        finally:
            await connection.close()
        ids = self._layout.run / "devices.txt"
        ids.write_text(
            "".join(f"{device.id}\n" for site in self._plan.sites for device in site.devices if device.id not in not_ours)
        )
        await self._machine.tool("certs", "certs", ["issue-device", self._layout.pki, "--ids-file", ids])

    async def start(self, twins: "asyncio.Task[None]", certificates: "asyncio.Task[None]") -> None:
        """The past first: devices that speak before it is stored would have their counters start from nowhere."""
        await self._make_history()
        await twins
        await self._load_history()
        await certificates
        await self._start_devices()

    async def _make_history(self) -> None:
        """Once: from the fleet's first day to now."""
        if self._marker("made").exists():
            return
        with self._machine.progress.step(text("step_history", days=DEMO_HISTORY_DAYS, sites=len(self._plan.sites))):
            command: list[str | Path] = ["history", "--plan", self._layout.plan, "--days", str(DEMO_HISTORY_DAYS)]
            command += ["--step-s", str(DEMO_HISTORY_STEP_S), "--out", self._layout.history]
            await self._machine.tool("edge-history", "edge", command)
        self._marker("made").touch()

    async def _load_history(self) -> None:
        if self._marker("loaded").exists():
            return
        with self._machine.progress.step(text("step_load_history")):
            arguments = [self._layout.settings / "twins.json", self._layout.history]
            await self._machine.tool("load-history", "actors.local.load_history", arguments)
        self._marker("loaded").touch()

    async def _start_devices(self) -> None:
        state, pki = self._layout.simulator, self._layout.pki
        state.mkdir(exist_ok=True)
        command: list[str | Path] = ["edge", "simulate", "--plan", self._layout.plan, "--demo-fault"]
        command += ["--certs", pki / "devices", "--ca", pki / "trust" / "servers.pem", "--state", state]
        command += [
            "--broker-host",
            self._machine.options.device_name,
            "--broker-port",
            str(self._servers.broker.device_port),
        ]
        with self._machine.progress.step(text("step_simulator")):
            await self._machine.program("simulator", command, ready_file=state / "ready")

    def _marker(self, name: str) -> Path:
        return self._layout.folder / f"history.{name}"
