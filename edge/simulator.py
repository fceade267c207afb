"""The simulated fleet of one process: a connection per device, one spool, one clock."""

import asyncio
import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from random import random

import msgspec
import structlog

from edge.channels import DeviceModel
from edge.curtailment import Curtailment
from edge.device import FIRMWARE, Device
from edge.faults import FaultLabel
from edge.limits import (
    HANDSHAKES_AT_ONCE,
    READY_LATEST_S,
    READY_SHARE,
    SPOOL_BYTES_PER_DEVICE_MAX,
    SPOOL_BYTES_TOTAL_MAX,
    SPOOL_COMMIT_PERIOD_S,
    STOP_TIMEOUT_S,
    SWEEP_PERIOD_S,
)
from edge.link import Endpoint
from edge.obedience import Obedience
from edge.order_book import OrderBook
from edge.outbox import Outbox
from edge.site_model import SiteModel
from edge.spool import DiskSpool
from edge.wiring import Certificates, make_link
from fleet import profiles
from fleet.fleet_plan import FleetPlan, PlannedDevice
from fleet.telemetry import State, UnixMs

log = structlog.get_logger()


class SimulatorSettings(msgspec.Struct, frozen=True):
    """state: the folder of the spool, the fault labels, and `ready`. interval_s: None = as each profile says."""

    endpoint: Endpoint
    certificates: Certificates
    state: Path
    interval_s: float | None = None


class Simulator:
    """Runs until stop(). Raises NotFound (no_certificate), Conflict (spool_in_use)."""

    def __init__(self, plan: FleetPlan, settings: SimulatorSettings, labels: Sequence[FaultLabel]) -> None:
        self._plan = plan
        self._settings = settings
        self._labels = labels
        self._profiles = {profile.id: profile for profile in profiles.shipped()}
        self._boot = secrets.token_hex(4)
        self._handshakes = asyncio.Semaphore(HANDSHAKES_AT_ONCE)
        self._stopping = asyncio.Event()
        self._ready_file = settings.state / "ready"
        planned = sum(len(site.devices) for site in plan.sites)
        bytes_max = min(SPOOL_BYTES_PER_DEVICE_MAX, SPOOL_BYTES_TOTAL_MAX // max(planned, 1))
        settings.certificates.check(device.id for site in plan.sites for device in site.devices)
        settings.state.mkdir(parents=True, exist_ok=True)
        self._ready_file.unlink(missing_ok=True)
        self._spool = DiskSpool(settings.state / "spool.sqlite", bytes_max)
        self._book = OrderBook(self._spool)
        self._sites = [(model, self._site_devices(model)) for model in self._site_models()]
        self._devices = [device for _, devices in self._sites for device in devices]

    def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> None:
        began = time.monotonic()
        self._sweep()  # faults first: what has no network must not speak before it falls silent
        links = [asyncio.create_task(device.link.run(device)) for device in self._devices]
        duties = [asyncio.create_task(duty) for duty in (self._report(), self._commit_and_send(), self._keep_watch(began))]
        stopped = asyncio.create_task(self._stopping.wait())
        try:
            done, _ = await asyncio.wait([stopped, *duties, *links], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # a duty that ended has failed: say so
        finally:
            for task in (stopped, *duties):
                task.cancel()
            for device in self._devices:
                device.link.stop()
            await asyncio.wait(links, timeout=STOP_TIMEOUT_S)
            self._spool.close()
            self._ready_file.unlink(missing_ok=True)
            log.info("edge.stopped", devices=len(self._devices))

    def _site_models(self) -> list[SiteModel]:
        outages = [label for label in self._labels if label.kind == "outage"]
        return [
            SiteModel(
                site,
                seed=self._plan.seed,
                history_from=self._plan.history_from,
                outages=[(label.from_at, label.until_at) for label in outages if label.site == site.id],
            )
            for site in self._plan.sites
        ]

    def _site_devices(self, model: SiteModel) -> list[Device]:
        inverters = [device.id for device in model.site.devices if self._profiles[device.profile_id].kind == "inverter"]
        curtailment = Curtailment(model, inverters, self._book.withheld(model.site.id))
        return [self._device(model, planned, curtailment) for planned in model.site.devices]

    def _device(self, model: SiteModel, planned: PlannedDevice, curtailment: Curtailment) -> Device:
        site, profile = model.site.id, self._profiles[planned.profile_id]
        link = make_link(self._settings.endpoint, self._settings.certificates, site, planned.id, self._handshakes)
        state = State(online=True, model=f"Simulated {profile.label_en.lower()}", firmware=FIRMWARE, boot=self._boot)
        outbox = Outbox(site, planned.id, wire=link, spool=self._spool, state=state, monotonic=time.monotonic)
        obedience = Obedience(
            site,
            planned.id,
            profile,
            line=link,
            outbox=outbox,
            spool=self._spool,
            book=self._book,
            curtailment=curtailment,
            state=state,
            now=_now_ms,
        )
        return Device(
            DeviceModel(model, planned, profile, seed=self._plan.seed),
            outbox,
            link,
            self._labels,
            interval_s=self._settings.interval_s or profile.interval_s,
            monotonic=time.monotonic,
            curtailment=curtailment,
            obedience=obedience,
            seed=self._plan.seed,
        )

    async def _report(self) -> None:
        """Brings every site up to now (a block of its past at a time takes milliseconds), then lets its devices speak."""
        async with asyncio.TaskGroup() as speakers:
            for model, devices in self._sites:
                for _ in model.catch_up(_now_ms()):
                    await asyncio.sleep(0)
                for device in devices:
                    speakers.create_task(self._speak(device))

    async def _speak(self, device: Device) -> None:
        """At its own phase, so that a fleet that starts together does not speak together; at once when its pace changes."""
        due = time.monotonic() + random() * device.interval_s
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(max(due - time.monotonic(), 0.0)):
                    await device.repaced.wait()
            if device.repaced.is_set():
                device.repaced.clear()
                due = time.monotonic()
            device.report(_now_ms())
            due = max(due + device.interval_s, time.monotonic())

    async def _commit_and_send(self) -> None:
        while True:
            await asyncio.sleep(SPOOL_COMMIT_PERIOD_S)
            self._spool.commit()
            for device in self._devices:
                device.pump()

    async def _keep_watch(self, began: float) -> None:
        ready = False
        connected = -1
        while True:
            self._sweep()
            able = [device for device in self._devices if not device.link.held]
            up = sum(device.link.up for device in able)
            if not ready and self._all_there(up, len(able), time.monotonic() - began):
                ready = True
                self._ready_file.write_text(f"{up} of {len(able)}\n")
                log.info("edge.ready", devices=up, held=len(self._devices) - len(able))
            elif ready and up != connected:
                failures = sorted({device.link.last_failure for device in able if not device.link.up})
                log.info("edge.connected", devices=up, of=len(able), failures=failures[:3])
            connected = up
            await asyncio.sleep(SWEEP_PERIOD_S if ready else SWEEP_PERIOD_S / 20)

    def _sweep(self) -> None:
        now = _now_ms()
        for device in self._devices:
            device.sweep(now)

    @staticmethod
    def _all_there(up: int, able: int, waited_s: float) -> bool:
        return up == able or (waited_s > READY_LATEST_S and up >= READY_SHARE * able)


def _now_ms() -> UnixMs:
    return time.time_ns() // 1_000_000
