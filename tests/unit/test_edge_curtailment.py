"""What inverters withhold: powers at the instant, counters over any time, and the same however often one looks."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.channels import DeviceModel
from edge.curtailment import Curtailment, Limits, Withheld
from edge.plan import make_fleet
from edge.site_model import INVERTER_SHARE, SiteModel
from fleet import profiles
from fleet.telemetry import Sample, UnixMs

NOW = 1_782_000_000_000  # a summer's night, before the sun rises
DAY_MS, HOUR_MS = 86_400_000, 3_600_000
PLAN = make_fleet(12, 1, NOW, 1)
SITE = next(site for site in PLAN.sites if sum(device.profile_id == "inverter" for device in site.devices) == 2)
INVERTERS = [device for device in SITE.devices if device.profile_id == "inverter"]
METER = next(device for device in SITE.devices if device.profile_id == "meter")
MODEL = SiteModel(SITE, seed=PLAN.seed, history_from=PLAN.history_from)
SHIPPED = {profile.id: profile for profile in profiles.shipped()}
FIRST, SECOND, METERED = (
    DeviceModel(MODEL, device, SHIPPED[device.profile_id], seed=PLAN.seed) for device in (*INVERTERS, METER)
)
RATED_W = INVERTER_SHARE * SITE.peak_power_w / 2
NOON = max(range(NOW, NOW + DAY_MS, HOUR_MS // 4), key=lambda at: FIRST.sample(at).v["pv_power_w"] or 0.0)


def curtailed(held: Withheld | None = None) -> Curtailment:
    return Curtailment(MODEL, [device.id for device in INVERTERS], held)


def value(sample: Sample, measure: str) -> float:
    found = sample.v[measure]
    assert found is not None
    return found


def test_without_a_limit_nothing_is_changed() -> None:
    free = curtailed()
    free.limit(METER.id, Limits(10.0), NOON)  # it has nothing to limit
    free.limit(INVERTERS[0].id, Limits(), NOON)
    assert not free.began
    for model in (FIRST, SECOND, METERED):
        assert model.sample(NOON, free) == model.sample(NOON)


def test_power_falls_at_once_and_the_meter_sees_it_while_the_other_inverter_goes_on() -> None:
    curtailment = curtailed()
    curtailment.limit(INVERTERS[0].id, Limits(10.0), NOON)
    pv_w = value(FIRST.sample(NOON), "pv_power_w")
    less_w = pv_w - 0.1 * RATED_W
    assert less_w > 0
    assert value(FIRST.sample(NOON, curtailment), "pv_power_w") == pytest.approx(0.1 * RATED_W, abs=0.1)
    assert SECOND.sample(NOON, curtailment).v["pv_power_w"] == SECOND.sample(NOON).v["pv_power_w"]
    grid_w = value(METERED.sample(NOON), "grid_power_w")
    assert value(METERED.sample(NOON, curtailment), "grid_power_w") == pytest.approx(grid_w + less_w, abs=0.2)
    assert FIRST.sample(NOON - 1, curtailment) == FIRST.sample(NOON - 1)  # what was before is as it was


def test_counters_grow_by_what_is_still_produced_and_the_site_stays_in_balance() -> None:
    curtailment = curtailed()
    start, end = NOON - HOUR_MS, NOON + HOUR_MS
    before = {model: model.sample(start, curtailment).v for model in (FIRST, METERED)}
    curtailment.limit(INVERTERS[0].id, Limits(20.0), start)
    after = {model: model.sample(end, curtailment).v for model in (FIRST, METERED)}
    truth = {model: model.sample(end).v for model in (FIRST, METERED)}

    def grown(model: DeviceModel, register: str) -> float:
        return (after[model][register] or 0.0) - (before[model][register] or 0.0)

    assert 0.9 * 0.2 * RATED_W * 2 < grown(FIRST, "pv_energy_wh") <= 0.2 * RATED_W * 2 + 1
    withheld_wh = (truth[FIRST]["pv_energy_wh"] or 0.0) - (after[FIRST]["pv_energy_wh"] or 0.0)
    more_wh = (after[METERED]["import_energy_wh"] or 0.0) - (truth[METERED]["import_energy_wh"] or 0.0)
    less_wh = (truth[METERED]["export_energy_wh"] or 0.0) - (after[METERED]["export_energy_wh"] or 0.0)
    assert withheld_wh > 0
    assert more_wh + less_wh == pytest.approx(withheld_wh, abs=3)


def test_a_commands_limit_ends_by_itself_and_the_configurations_own_holds_again() -> None:
    curtailment = curtailed()
    device = INVERTERS[0].id
    curtailment.limit(device, Limits(50.0, 0.0, NOON + 60_000), NOON)
    assert value(FIRST.sample(NOON + 59_000, curtailment), "pv_power_w") == 0.0
    pv_w = value(FIRST.sample(NOON + 60_000), "pv_power_w")
    assert value(FIRST.sample(NOON + 60_000, curtailment), "pv_power_w") == pytest.approx(min(0.5 * RATED_W, pv_w), abs=0.1)
    curtailment.limit(device, Limits(), NOON + 120_000)
    at = NOON + 180_000
    assert FIRST.sample(at, curtailment).v["pv_power_w"] == FIRST.sample(at).v["pv_power_w"]
    assert value(FIRST.sample(at, curtailment), "pv_energy_wh") < value(FIRST.sample(at), "pv_energy_wh")  # for good


@pytest.mark.parametrize("allowed_w", [0.0, 500.0])
def test_what_may_not_be_exported_is_not_produced(allowed_w: float) -> None:
    curtailment = curtailed()
    start, end = NOON - HOUR_MS, NOON + HOUR_MS
    before = METERED.sample(start, curtailment).v
    for inverter in INVERTERS:
        curtailment.limit(inverter.id, Limits(export_max_w=allowed_w), start)
    free_w = value(METERED.sample(NOON), "grid_power_w")
    assert free_w < -allowed_w  # at noon there is more than that
    assert value(METERED.sample(NOON, curtailment), "grid_power_w") == pytest.approx(-allowed_w, abs=0.2)
    halves_w = [value(model.sample(NOON, curtailment), "pv_power_w") for model in (FIRST, SECOND)]
    assert sum(halves_w) == pytest.approx(2 * value(FIRST.sample(NOON), "pv_power_w") + free_w + allowed_w, abs=0.3)
    after = METERED.sample(end, curtailment).v
    exported_wh = (after["export_energy_wh"] or 0.0) - (before["export_energy_wh"] or 0.0)
    assert exported_wh <= 2 * allowed_w + 2
    assert (after["import_energy_wh"] or 0.0) - (before["import_energy_wh"] or 0.0) <= 2  # nothing is drawn instead


LIMITS = st.tuples(st.floats(0, 100), st.floats(0, 100), st.integers(0, 2 * HOUR_MS), st.none() | st.floats(0, 20_000))
STEPS = st.lists(st.tuples(st.integers(1_000, HOUR_MS), st.integers(0, 1), st.none() | LIMITS), min_size=1, max_size=12)


@settings(deadline=None, max_examples=50)  # a site's days are computed on the way
@given(steps=STEPS)
def test_counters_never_run_backwards_whatever_is_told_when(
    steps: list[tuple[int, int, tuple[float, float, int, float | None] | None]],
) -> None:
    curtailment = curtailed()
    at: UnixMs = NOON - 3 * HOUR_MS
    said: dict[tuple[DeviceModel, str], float] = {}
    for step_ms, number, told in steps:
        at += step_ms
        for model in (FIRST, SECOND, METERED):
            for measure, now in model.sample(at, curtailment).v.items():
                if measure.endswith("_energy_wh"):
                    assert now is not None
                    assert now >= said.get((model, measure), 0.0)
                    said[model, measure] = now
        if told is not None:
            own, held, lasts_ms, export_max_w = told
            curtailment.limit(INVERTERS[number].id, Limits(own, held, at + lasts_ms, export_max_w), at)
        curtailment = curtailed(msgspec.json.decode(msgspec.json.encode(curtailment.held), type=Withheld))  # a restart


@settings(deadline=None, max_examples=50)  # a site's days are computed on the way
@given(st.lists(st.integers(0, 4 * HOUR_MS), max_size=20))
def test_how_often_one_looks_makes_no_difference(looks: list[int]) -> None:
    start, end = NOON - 2 * HOUR_MS, NOON + 2 * HOUR_MS
    once, often = curtailed(), curtailed()
    for each in (once, often):
        each.limit(INVERTERS[0].id, Limits(35.0, 5.0, NOON, 700.0), start)
    for look in sorted(looks):
        often.advance(start + look)
    for each in (once, often):
        each.advance(end)
    assert often.held.produced_mwh[INVERTERS[0].id] == pytest.approx(once.held.produced_mwh[INVERTERS[0].id], abs=25)
    assert often.held.import_mwh == pytest.approx(once.held.import_mwh, abs=25)
    assert often.held.export_mwh == pytest.approx(once.held.export_mwh, abs=25)
