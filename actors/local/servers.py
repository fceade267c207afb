"""What our rooms stand on: PostgreSQL with its schema, the certificates, and the broker."""

import asyncio
import secrets
from datetime import UTC, datetime

import msgspec

from actors.keeping import upgrade
from actors.keeping.texts import text as keeping_text
from actors.local import demo, demo_files, keeping
from actors.local.configuration import DATABASE, SERVER_NAME, Configuration
from actors.local.layout import keep_secret
from actors.local.machine import Machine
from actors.local.mosquitto import MosquittoServer
from actors.local.postgres import SUPERUSER, PostgresServer
from actors.local.texts import text
from fleet import profiles
from fleet.fleet_plan import FleetPlan
from fleet.storage import bootstrap
from fleet.storage.database import connect
from fleet.storage.migrate import SERVICE_ROLES, migrate

PLATFORM_CLIENTS = ("sp-twins", "sp-web", "sp-guard")  # of the broker's internal listener


class Servers:
    def __init__(self, machine: Machine) -> None:
        layout, options = machine.layout, machine.options
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
        self._machine = machine

    async def start(self) -> FleetPlan | None:
        """PostgreSQL, the schema and the fleet's registry, beside the certificates and the broker."""
        async with asyncio.TaskGroup() as together:
            planned = together.create_task(self._plan())
            together.create_task(self._start_broker())
            together.create_task(self._start_postgres(planned))
        return planned.result()

    async def _plan(self) -> FleetPlan | None:
        """The demonstration's fleet: made at the first start, kept for good."""
        machine, layout, wanted = self._machine, self._machine.layout, self._machine.options.demo_sites
        if wanted is None:
            return None
        if not layout.plan.exists():
            with machine.progress.step(text("step_plan")):
                size_and_seed = ["--sites", str(wanted), "--seed", "1"]
                await machine.tool("edge-plan", "edge", ["plan", *size_and_seed, "--out", layout.plan])
        plan = msgspec.json.decode(layout.plan.read_bytes(), type=FleetPlan)
        if len(plan.sites) != wanted:
            machine.progress.line(text("same_fleet", present=len(plan.sites), wanted=wanted))
        return plan

    async def _start_broker(self) -> None:
        machine, folder = self._machine, self._machine.layout.pki
        with machine.progress.step(text("step_pki")):
            await machine.tool("certs", "certs", ["init", folder])
            await machine.tool("certs", "certs", ["issue-server", folder, *machine.options.certificate_names()])
            await machine.tool("certs", "certs", ["issue-platform", folder, *PLATFORM_CLIENTS])
        with machine.progress.step(text("step_broker")):
            await machine.supervisor.start(self.broker, 20.0)

    async def _start_postgres(self, planned: "asyncio.Task[FleetPlan | None]") -> None:
        layout, progress = self._machine.layout, self._machine.progress
        with progress.step(text("step_postgres")):
            await self._machine.supervisor.start(self.postgres, 60.0)
        with progress.step(text("step_migrations")):
            await self._create_database()
            await self._snapshot()
            passwords = {role: layout.secret(role).read_text() for role in SERVICE_ROLES}
            connection = await connect(self.configuration.database(SUPERUSER))
            try:
                await migrate(connection, passwords)
                await bootstrap.store_profiles(connection, profiles.shipped())
                plan = await planned
                if plan is not None and await bootstrap.site_count(connection) == 0:
                    await demo.register(connection, plan)
                    await demo_files.register(connection, plan)
                    await asyncio.to_thread(demo_files.put, layout.dropbox, datetime.now(UTC))
                self._offer_setup(await bootstrap.has_admin(connection))
            finally:
                await connection.close()

    async def _create_database(self) -> None:
        connection = await connect(self.configuration.database(SUPERUSER, name="postgres"))
        try:
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
                await connection.execute(f"CREATE DATABASE {DATABASE}")
        finally:
            await connection.close()

    async def _snapshot(self) -> None:
        """No new schema without a way back."""
        layout, key = self._machine.layout, self._machine.layout.secret("snapshot_key")
        told = keeping.settings_of(layout, self.configuration.database(SUPERUSER), layout.folder / "snapshots")
        made = await upgrade.snapshot(told, key)
        if made is not None:
            said = keeping_text("snapshot", file=made.file, size_mb=made.size_bytes / 1e6, key_file=key)
            self._machine.progress.line(said)

    def _offer_setup(self, has_admin: bool) -> None:
        layout = self._machine.layout
        if has_admin:
            layout.setup_token.unlink(missing_ok=True)
        else:
            keep_secret(layout.setup_token, secrets.token_urlsafe(32))
        if self._machine.options.demo_sites is not None:
            demo.write_logins(layout.demo_logins)
