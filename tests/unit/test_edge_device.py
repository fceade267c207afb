"""One simulated device, told the time by the test."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from edge.channels import DeviceModel
from edge.device import Device
from edge.faults import FaultLabel
from edge.limits import RATE_NOTICE_LASTS_S
from edge.link import Endpoint
from edge.outbox import Outbox
from edge.plan import make_fleet
from edge.site_model import SiteModel
from edge.spool import MemorySpool
from edge.wiring import Certificates, make_link
from fleet import profiles, topics
from fleet.errors import NotFound
from fleet.telemetry import Sample, State

NOW = 1_790_000_000_000
PLAN = make_fleet(1, 1, NOW, 1)
SITE = PLAN.sites[0]
METER = next(device for device in SITE.devices if device.profile_id == "meter")
PROFILE = next(profile for profile in profiles.shipped() if profile.id == "meter")
CERTIFICATES = Certificates(Path("nowhere"), Path("nowhere"))


class Bench:
    def __init__(self, *labels: FaultLabel) -> None:
        self.seconds = 0.0
        self.spool = MemorySpool()
        link = make_link(Endpoint("localhost", 1), CERTIFICATES, SITE.id, METER.id, asyncio.Semaphore(1))  # never connected
        clock = lambda: self.seconds  # noqa: E731 - a clock in the test's hand
        state = State(online=True)
        outbox = Outbox(SITE.id, METER.id, wire=link, spool=self.spool, state=state, monotonic=clock)
        site = SiteModel(SITE, seed=PLAN.seed, history_from=PLAN.history_from)
        model = DeviceModel(site, METER, PROFILE, seed=PLAN.seed)
        self.truth = model.sample
        self.device = Device(model, outbox, link, labels, interval_s=10, monotonic=clock)

    def held(self) -> list[Sample]:
        messages = self.spool.after(METER.id, 0, 1000)
        return [sample for _, samples in messages for sample in msgspec.json.decode(samples, type=list[Sample])]


def test_a_report_is_what_the_model_shows_and_is_held() -> None:
    bench = Bench()
    bench.device.report(NOW)
    assert bench.held() == [bench.truth(NOW)]


def test_two_samples_never_carry_the_same_time_even_when_the_clock_steps_back() -> None:
    bench = Bench()
    for now in (NOW, NOW, NOW - 60_000, NOW + 5):
        bench.device.report(now)
    assert [sample.t for sample in bench.held()] == [NOW, NOW + 1, NOW + 2, NOW + 5]


def test_it_slows_down_when_asked_and_only_for_a_while() -> None:
    bench = Bench()
    rate = topics.down(SITE.id, METER.id).rate
    bench.device.outbox.message(rate, b'{"min_interval_s":60}')
    assert bench.device.interval_s == 60
    bench.seconds = RATE_NOTICE_LASTS_S + 1
    assert bench.device.interval_s == 10
    bench.device.outbox.message(rate, b'{"min_interval_s":2}')
    assert bench.device.interval_s == 10


def test_a_lost_connection_holds_the_link_and_measuring_goes_on() -> None:
    bench = Bench(FaultLabel("comms_loss", SITE.id, None, NOW, NOW + 60_000))
    bench.device.sweep(NOW)
    bench.device.report(NOW + 10_000)
    assert bench.device.link.held
    assert len(bench.held()) == 1
    bench.device.sweep(NOW + 60_000)
    assert not bench.device.link.held


def test_a_fault_changes_what_is_reported_and_not_what_other_kinds_report() -> None:
    reversed_ct = Bench(FaultLabel("reversed_ct", SITE.id, "meter", NOW - 1000, NOW + 1000))
    foreign = Bench(FaultLabel("reversed_ct", SITE.id, "inverter", NOW - 1000, NOW + 1000))
    for bench in (reversed_ct, foreign):
        bench.device.report(NOW)
    truth = reversed_ct.truth(NOW).v["grid_power_w"] or 0.0
    assert reversed_ct.held()[0].v["grid_power_w"] == -truth
    assert foreign.held()[0].v["grid_power_w"] == truth


def test_a_missing_certificate_is_named_before_anything_starts() -> None:
    with pytest.raises(NotFound) as caught:
        CERTIFICATES.check([METER.id])
    assert caught.value.code == "no_certificate"
