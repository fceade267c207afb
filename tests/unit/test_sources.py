"""Whose samples a gateway's messages are, and how many strangers are remembered."""

import pytest

from actors.catalog import Route
from actors.sources import Sources
from fleet.errors import BadInput
from fleet.limits import (
    RAW_PER_MESSAGE_MAX,
    WAITING_FORGOTTEN_AFTER_S,
    WAITING_LETTERS_BURST,
    WAITING_SOURCE_PERIOD_S,
    WAITING_SOURCES_PER_GATEWAY_MAX,
)
from fleet.telemetry import RawMessage, Telemetry
from tests.factories import NOON, device_twin, site_twin, telemetry

ROOF = "114182940773"


def route(profile: str = "opendtu") -> Route:
    gateway, inverter = device_twin("g-1", profile), device_twin("i-1", "opendtu-inverter", serial=ROOF)
    return Route(site_twin(gateway, inverter), gateway, "up/telemetry")


def raw(*said: tuple[str, bytes]) -> Telemetry:
    return Telemetry([], raw=[RawMessage(NOON, topic, payload) for topic, payload in said])


def test_samples_go_to_the_device_that_has_the_serial_and_keep_to_its_profile() -> None:
    here = route()
    message = telemetry((NOON, {"pv_power_w": 5.0, "grid_power_w": 1.0}), source=ROOF)
    rows, refused, kept = Sources().take(here, message, NOON)
    assert [(row.device, row.readings[0]) for row in rows] == [("i-1", 5.0)]
    assert (refused, kept) == (None, [])
    assert here.device.online
    assert here.site.devices[rows[0].device].seen_at == NOON


def test_a_profile_that_wants_nothing_of_it_is_a_refusal() -> None:
    with pytest.raises(BadInput) as refused:
        Sources().take(route(), telemetry((NOON, {"grid_power_w": 1.0}), source=ROOF), NOON)
    assert refused.value.code == "unknown_measure"


def test_values_that_share_an_instant_become_one_sample_and_the_first_one_stands() -> None:
    said = raw((f"solar/{ROOF}/0/power", b"5"), (f"solar/{ROOF}/0/voltage", b"230"), (f"solar/{ROOF}/0/power", b"6"))
    (row,) = Sources().take(route(), said, NOON).rows
    assert (row.readings[0], row.readings[2]) == (5.0, 230.0)


def test_a_device_that_is_no_gateway_speaks_for_itself_only() -> None:
    meter = device_twin("m-1", "shelly-em")
    here = Route(site_twin(meter), meter, "up/telemetry")
    rows, _, kept = Sources().take(here, raw(("shellypro3em-0a0b0c/status/em:0", b'{"total_act_power": 7}')), NOON)
    assert ([row.device for row in rows], kept) == (["m-1"], [])


def test_strangers_are_due_once_in_a_while_and_forgotten_in_the_end() -> None:
    sources, here = Sources(), route()
    sources.take(here, telemetry((NOON, {"pv_power_w": 5.0, "nonsense": 1.0}), source="NEW-1"), NOON)
    (sighting,) = sources.due(NOON)
    assert (sighting.gateway, sighting.serial, sighting.measures) == ("g-1", "NEW-1", ["pv_power_w"])
    sources.written([sighting], NOON)
    later = NOON + round(WAITING_SOURCE_PERIOD_S * 1000)
    assert sources.due(later) == []  # not heard since
    sources.take(here, telemetry((NOON, {"pv_power_w": 5.0}), source="NEW-1"), later)
    assert len(sources.due(later)) == 1
    assert sources.due(later + round(WAITING_FORGOTTEN_AFTER_S * 1000) + 1) == []


def test_a_gateway_has_so_many_strangers_and_so_many_messages_about_them() -> None:
    sources, here = Sources(), route()
    for number in range(WAITING_SOURCES_PER_GATEWAY_MAX):
        sources.take(here, telemetry((NOON, {"pv_power_w": 5.0}), source=f"NEW-{number}"), NOON)
    with pytest.raises(BadInput) as refused:
        sources.take(here, telemetry((NOON, {"pv_power_w": 5.0}), source="ONE-MORE"), NOON)
    assert refused.value.code == "too_many_sources"
    sources.take(here, telemetry((NOON, {"pv_power_w": 5.0}), source="NEW-7"), NOON)  # those that are known still wait
    assert sum(sources.admit_letter(here, NOON) for _ in range(WAITING_LETTERS_BURST + 100)) == WAITING_LETTERS_BURST


@pytest.mark.parametrize("source", ["", "ab", "a b c", "x" * 41, "nul\x00nul", "/abc"])
def test_a_source_must_be_a_serial_that_people_can_type(source: str) -> None:
    with pytest.raises(BadInput) as refused:
        Sources().take(route(), telemetry((NOON, {"pv_power_w": 5.0}), source=source), NOON)
    assert refused.value.code == "bad_source"


def test_too_many_raw_messages_are_refused_as_a_whole() -> None:
    with pytest.raises(BadInput) as refused:
        Sources().take(route(), raw(*[(f"solar/{ROOF}/0/power", b"1")] * (RAW_PER_MESSAGE_MAX + 1)), NOON)
    assert refused.value.code == "too_many_raw"
