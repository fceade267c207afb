"""The demonstration in an installation from images: its fleet in the registry, its devices' certificates, its past."""

import asyncio
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import structlog

from actors.local import demo, demo_files
from certs.authority import Pki, alone_in
from fleet.errors import Unavailable
from fleet.fleet_plan import FleetPlan
from fleet.limits import DEMO_HISTORY_DAYS, DEMO_HISTORY_STEP_S
from fleet.settings import DemoSettings
from fleet.storage import bootstrap
from fleet.storage.database import connect

log = structlog.get_logger("demo")


async def run(settings: DemoSettings) -> None:
    """Goes on where it was cut off. Raises Unavailable (demo_failed), and what says that PostgreSQL is away."""
    plan_file = settings.folder / "plan.json"
    if not plan_file.exists():
        await _python("edge", "plan", "--sites", str(settings.sites), "--seed", "1", "--out", str(plan_file))
    plan = msgspec.json.decode(plan_file.read_bytes(), type=FleetPlan)
    await _register(settings, plan)
    _certify(settings, plan)
    demo.write_logins(settings.folder / "logins.json")
    await _past(settings, plan_file)
    log.info("demo_ready", sites=len(plan.sites))


async def _register(settings: DemoSettings, plan: FleetPlan) -> None:
    connection = await connect(settings.database)
    try:
        if await bootstrap.site_count(connection) == 0:
            await demo.register(connection, plan)
            await demo_files.register(connection, plan)
            await asyncio.to_thread(demo_files.put, settings.dropbox_folder, datetime.now(UTC))
    finally:
        await connection.close()


def _certify(settings: DemoSettings, plan: FleetPlan) -> None:
    """The simulator's copies; the authority takes what it finds in its folder into its ledger."""
    with alone_in(settings.pki):
        pki = Pki(settings.pki)
        for device in (device.id for site in plan.sites for device in site.devices):
            pki.issue_device(device, datetime.now(UTC))
            copy = settings.folder / "devices" / device
            copy.mkdir(parents=True, exist_ok=True)
            for name in ("chain.pem", "key.pem"):
                (copy / name).write_bytes((settings.pki / "devices" / device / name).read_bytes())
    (settings.folder / "servers.pem").write_bytes((settings.pki / "trust" / "servers.pem").read_bytes())


async def _past(settings: DemoSettings, plan_file: Path) -> None:
    history, done = settings.folder / "history", settings.folder / "history.loaded"
    if done.exists():
        return
    days, step_s = str(DEMO_HISTORY_DAYS), str(DEMO_HISTORY_STEP_S)
    if not (settings.folder / "history.made").exists():
        await _python("edge", "history", "--plan", str(plan_file), "--days", days, "--step-s", step_s, "--out", str(history))
        (settings.folder / "history.made").touch()
    await _python("actors.local.load_history", str(settings.twins), str(history))
    done.touch()


async def _python(*words: str) -> None:
    """Another room's program, as a process of its own. Raises Unavailable (demo_failed)."""
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-m", *words], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Unavailable("demo_failed", f"python -m {' '.join(words[:2])} ended with: {done.stderr[-500:]}")
