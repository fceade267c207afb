"""Faults do what their label says, from their first to their last moment, and nothing else."""

from pathlib import Path

import pytest

from edge.faults import CLOCK_SHIFT_MS, FaultLabel, load_labels, save_labels, transform
from edge.labels import demo_fault, fault_labels
from edge.plan import make_fleet
from fleet.errors import BadInput
from fleet.ids import site_id
from fleet.telemetry import Sample, UnixMs

SITE = site_id("s-0001")
NOW = 1_790_000_000_000
PLAN = make_fleet(5, 1, NOW, 30)


def meter(at: UnixMs) -> Sample:
    """Imports 3 Wh and exports 1 Wh per second."""
    return Sample(
        at, {"grid_power_w": 7200.0 + at, "import_energy_wh": 3.0 * at, "export_energy_wh": 1.0 * at, "ac_voltage_v": 230.0}
    )


def label(kind: str, from_at: UnixMs = 100, until_at: UnixMs = 200) -> FaultLabel:
    return FaultLabel(kind, SITE, None, from_at, until_at)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "kind", ["stuck_value", "reversed_ct", "clock_shift", "counter_reset", "outage", "comms_loss", "local_change"]
)
def test_before_it_begins_a_fault_changes_nothing(kind: str) -> None:
    assert transform([label(kind)], meter, 99) == meter(99)


def test_a_stuck_device_repeats_itself_while_its_counters_go_on() -> None:
    stuck = transform([label("stuck_value")], meter, 150)
    assert (stuck.t, stuck.v["grid_power_w"], stuck.v["import_energy_wh"]) == (150, 7300.0, 450.0)
    assert transform([label("stuck_value")], meter, 200) == meter(200)


def test_a_reversed_ct_swaps_import_and_export_and_counters_stay_continuous() -> None:
    faulty = [label("reversed_ct")]
    during, after = transform(faulty, meter, 150).v, transform(faulty, meter, 250).v
    assert (during["grid_power_w"], during["import_energy_wh"], during["export_energy_wh"]) == (-7350.0, 350.0, 250.0)
    assert (after["grid_power_w"], after["import_energy_wh"], after["export_energy_wh"]) == (7450.0, 550.0, 450.0)
    times = range(0, 400, 7)
    for register in ("import_energy_wh", "export_energy_wh"):
        values = [transform(faulty, meter, at).v[register] or 0.0 for at in times]
        assert values == sorted(values)


def test_a_shifted_clock_is_an_hour_ahead() -> None:
    assert transform([label("clock_shift")], meter, 150) == Sample(150 + CLOCK_SHIFT_MS, meter(150).v)
    assert transform([label("clock_shift")], meter, 200) == meter(200)


def test_a_counter_reset_is_for_good() -> None:
    for at in (100, 150, 5000):
        reset = transform([label("counter_reset")], meter, at).v
        assert (reset["import_energy_wh"], reset["grid_power_w"]) == (3.0 * (at - 100), 7200.0 + at)


def test_faults_add_up_in_the_order_of_their_beginnings() -> None:
    both = [label("counter_reset", 300, 400), label("reversed_ct")]
    after = transform(both, meter, 310).v
    assert (after["import_energy_wh"], after["export_energy_wh"]) == (30.0, 10.0)


def test_a_label_concerns_its_sites_devices_of_its_kind_only() -> None:
    named = FaultLabel("stuck_value", SITE, "meter", 0, 1)
    assert named.concerns(SITE, "meter")
    assert not named.concerns(SITE, "inverter")
    assert not named.concerns(site_id("other"), "meter")
    assert label("comms_loss").concerns(SITE, "battery")


def test_labels_are_written_and_earlier_ones_kept(tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    first = fault_labels(PLAN, path, ["counter_reset:1"], NOW)
    both = fault_labels(PLAN, path, ["reversed_ct:2:meter", "outage:0"], NOW + 1)
    assert load_labels(path) == both
    assert both[:1] == first
    assert [(one.kind, one.site, one.device_kind) for one in both] == [
        ("counter_reset", "s-0002", "meter"),
        ("reversed_ct", "s-0003", "meter"),
        ("outage", "s-0001", "inverter"),
    ]


@pytest.mark.parametrize(
    "text", ["", "outage", "outage:", "outage:5", "outage:-1", "flood:0", "outage:0:toaster", "outage:x"]
)
def test_a_fault_that_makes_no_sense_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadInput) as caught:
        fault_labels(PLAN, tmp_path / "faults.json", [text], NOW)
    assert caught.value.code == "bad_fault"


def test_broken_labels_are_named(tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    path.write_text('[{"kind":"flood"}]')
    with pytest.raises(BadInput) as caught:
        load_labels(path)
    assert caught.value.code == "bad_labels"


def test_the_demo_always_has_one_lost_connection_in_progress_and_one_setting_that_was_changed_once(tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    first = demo_fault(PLAN, path, [], NOW)
    assert [(one.kind, one.active(NOW)) for one in first] == [("comms_loss", True), ("local_change", True)]
    assert len({one.site for one in first}) == 2
    assert demo_fault(PLAN, path, first, NOW + 1000) == first
    later = demo_fault(PLAN, path, first, first[0].until_at)
    assert [one.kind for one in later] == ["comms_loss", "local_change", "comms_loss"]
    save_labels(path, later)
    assert load_labels(path) == later
