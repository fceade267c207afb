"""Whose samples a gateway's messages are, and how many strangers are remembered."""

import msgspec
import pytest
from structlog.testing import capture_logs

from actors.catalog import Route
from actors.sources import Sources, Taken
from fleet.codecs.decoded import Decoded
from fleet.codecs.memory import Memory
from fleet.codecs.registry import CODECS
from fleet.errors import BadInput
from fleet.ids import DeviceId
from fleet.limits import (
    LOCAL_NAMES_PER_GATEWAY_MAX,
    RAW_PER_MESSAGE_MAX,
    WAITING_FORGOTTEN_AFTER_S,
    WAITING_LETTERS_BURST,
    WAITING_SOURCE_PERIOD_S,
    WAITING_SOURCES_PER_GATEWAY_MAX,
)
from fleet.serials import is_serial
from fleet.telemetry import RawMessage, Sample, Telemetry
from tests.factories import NOON, device_twin, site_twin, telemetry
from tests.factories import profile as named

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


def test_a_stranger_is_remembered_with_the_format_it_was_heard_in() -> None:
    sources, here = Sources(), route("gateway")
    sources.take(here, raw(("tele/plug/SENSOR", b'{"ENERGY": {"Power": 5}}')), NOON)
    sources.take(here, telemetry((NOON, {"pv_power_w": 5.0}), source="NEW-1"), NOON)
    assert {each.serial: each.codec for each in sources.due(NOON)} == {"g-1/plug": "tasmota", "NEW-1": None}


def test_a_value_that_is_not_wanted_is_no_news_of_a_device_that_tells_others() -> None:
    here, input_power = route("gateway"), (f"solar/{ROOF}/1/power", b"5")
    here.site.devices[DeviceId("i-1")].profile = named("inverter")
    before = Sources().take(here, raw(input_power), NOON).refused
    assert before is not None
    assert before.code == "unknown_measure"
    assert Sources().take(here, raw((f"solar/{ROOF}/0/power", b"5")), NOON).refused is None
    assert Sources().take(here, raw(input_power), NOON) == ([], None, [])


def test_a_codec_that_fails_costs_its_message_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would end the shard, and the next one, with whom all its neighbours wait."""

    def broken(message: RawMessage, memory: Memory) -> list[Decoded]:
        if message.payload == b"boom":
            raise KeyError("ab")
        return [Decoded(ROOF, Sample(NOON, {"pv_power_w": float(message.payload)}))]

    monkeypatch.setitem(CODECS, "opendtu", broken)  # type: ignore[arg-type]
    with capture_logs() as logs:
        rows, refused, _ = Sources().take(route(), raw(("a", b"boom"), ("a", b"7"), ("a", b"boom")), NOON)
    assert [row.readings[0] for row in rows] == [7.0]
    assert refused is not None
    assert refused.code == "codec_failed"
    assert [each["event"] for each in logs] == ["codec_failed"]


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


# A sender that is no gateway -----------------------------------------------------------------------------------------


def em1(number: int, power: float) -> tuple[str, bytes]:
    event = {
        "src": "shellyproem50-0a0b0c0d0e0f",
        "method": "NotifyStatus",
        "params": {f"em1:{number}": {"act_power": power}},
    }
    return "shellyproem50-0a0b0c0d0e0f/events/rpc", msgspec.json.encode(event)


def alone(profile: str, serial: str | None = None) -> Route:
    device = device_twin("m-1", profile, serial=serial)
    return Route(site_twin(device), device, "up/telemetry")


def powers(taken: Taken, profile: str) -> list[float | None]:
    index = named(profile).index
    place = index["grid_power_w" if "grid_power_w" in index else "pv_power_w"]
    return [row.readings[place] for row in taken.rows]


def test_two_clamps_of_one_sender_never_share_a_row() -> None:
    sources, here = Sources(), alone("shelly-em")
    first = sources.take(here, raw(em1(1, 90.5), em1(0, -5.0), em1(1, 91.0)), NOON)
    assert powers(first, "shelly-em") == [-5.0]
    assert first.refused is not None
    assert (first.refused.code, "shellyproem50-0a0b0c0d0e0f/1" in first.refused.detail) == ("other_device", True)
    again = sources.take(here, raw(em1(1, 92.0)), NOON)
    assert (again.rows, again.refused) == ([], None)  # said once


def test_the_second_clamp_is_the_sender_if_its_serial_says_so() -> None:
    here = alone("shelly-pv", "shellyproem50-0a0b0c0d0e0f/1")
    taken = Sources().take(here, raw(em1(0, -5.0), em1(1, -90.5)), NOON)
    assert powers(taken, "shelly-pv") == [90.5]


def test_lines_without_a_name_are_not_mixed_either() -> None:
    both = {"ENERGY": {"Power": [310, -800], "Voltage": 231}}
    for codec, said in (
        ("shelly-em", (("status/em1:0", b'{"act_power": 310}'), ("status/em1:1", b'{"act_power": -800}'))),
        ("tasmota-meter", (("tele/SENSOR", msgspec.json.encode(both)),)),
    ):
        taken = Sources().take(alone(codec), raw(*said), NOON)
        assert powers(taken, codec) == [310.0]
        assert taken.refused is not None
        assert taken.refused.code == "other_device"
    behind = Sources().take(route("gateway"), raw(("status/em1:1", b'{"act_power": -800}')), NOON)
    assert behind == ([], None, [])


def ac(name: str, power: float) -> tuple[str, bytes]:
    return f"inverter/{name}/ch0/P_AC", str(power).encode()


def test_of_two_devices_the_first_is_the_sender_and_stays_so() -> None:
    here = alone("ahoy-inverter")
    for said, taken in (
        ((ac("roof", 5), ac("barn", 6)), [5.0]),
        ((ac("barn", 7), ac("roof", 8)), [8.0]),
    ):
        assert powers(Sources().take(here, raw(*said), NOON), "ahoy-inverter") == taken
    here.device.replaced_at = NOON - 1  # other hardware, which may have another name
    swapped = Sources().take(here, raw(ac("barn", 9), ac("roof", 8)), NOON)
    assert powers(swapped, "ahoy-inverter") == [9.0]


def test_what_such_a_sender_says_that_its_profile_does_not_want_is_a_refusal_as_ever() -> None:
    here = alone("shelly-pv")
    refused = Sources().take(here, raw(("roof-em/status/em:0", b'{"total_act_power": 5}')), NOON).refused
    assert refused is not None
    assert refused.code == "unknown_measure"
    plug = ("roof-plug/status/switch:0", b'{"apower": 5}')  # what was not wanted was not the sender's name for itself
    assert powers(Sources().take(here, raw(plug), NOON), "shelly-pv") == [5.0]


# Names ---------------------------------------------------------------------------------------------------------------


def test_two_formats_may_have_devices_of_the_same_name() -> None:
    here = route("gateway")
    tasmota = ("tele/roof/SENSOR", b'{"ENERGY": {"Power": [5, 6]}}')
    shelly = ("roof/status/em1:1", b'{"act_power": 7}')
    first = Sources().take(here, raw(tasmota), NOON)
    assert {kept.source for kept in first.kept} == {"g-1/roof", "g-1/roof/1"}
    both = Sources().take(here, raw(shelly, tasmota, ("roof/ch0/P_AC", b"8")), NOON)
    assert {kept.source for kept in both.kept} == {"g-1/roof", "g-1/roof/1", "g-1/roof.shelly/1", "g-1/roof.ahoy"}


def test_so_many_names_are_remembered() -> None:
    here = route("gateway")
    for number in range(LOCAL_NAMES_PER_GATEWAY_MAX + 2):
        Sources().take(here, raw((f"meter-{number}/status/em:0", b'{"total_act_power": 7}')), NOON)
    assert len(here.device.memory) == LOCAL_NAMES_PER_GATEWAY_MAX


def test_long_names_with_the_same_beginning_stay_two() -> None:
    """A gateway's id and a name may be longer than a serial can be."""
    gateway = device_twin("gateway-of-the-school-in-saint-x", "gateway")
    here = Route(site_twin(gateway), gateway, "up/telemetry")
    body = b'{"total_act_power": 7}'
    said = [(f"house/energy/meters/of-the-{place}-hall/status/em:0", body) for place in ("north", "south")]
    taken = Sources().take(here, raw(*said), NOON)
    serials = {kept.source for kept in taken.kept}
    assert len(serials) == 2
    assert all(is_serial(serial or "") for serial in serials)
