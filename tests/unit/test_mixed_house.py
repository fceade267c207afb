"""One house with something of everything on one broker: each device gets its own rows, in whatever order they come."""

import re
from random import Random
from typing import Final

import pytest

from actors.catalog import Route
from actors.sources import Sources
from fleet.codecs.memory import Memory
from fleet.codecs.registry import decode_raw
from fleet.device import DeviceTwin
from fleet.profiles import shipped
from fleet.serials import serial_of_path
from fleet.telemetry import RawMessage, Telemetry, UnixMs
from tests.factories import device_twin, profile, site_twin
from tests.samples.mqtt_lessons import TAUGHT
from tests.samples.mqtt_samples import MESSAGES
from web.pages.profile_choice import likely_profiles

Said = tuple[str, RawMessage]  # with the format's name
Rows = dict[tuple[str, UnixMs], dict[str, float | None]]

ARRIVED: Final = 1_719_950_407_123  # the day after the samples' own times
_AT_ONCE: Final = 7
LESSONS: Final[list[Said]] = [
    (codec, RawMessage(ARRIVED, topic, payload)) for codec, taught in TAUGHT.items() for topic, payload in taught.lessons
]
# Several samples are of a device of the same name and say different things: here each of them is a device of its own.
ONE_NAME: Final = re.compile("linky|HM-800|(?<=WTeleInfo/)[0-9]{12}")
HOUSE: Final[list[Said]] = [
    (codec, RawMessage(ARRIVED, ONE_NAME.sub(f"{codec}-{number}", topic), payload))
    for codec, messages in (MESSAGES | {codec: taught.messages[:1] for codec, taught in TAUGHT.items()}).items()
    for number, (topic, payload) in enumerate(messages)
]
POWERS_AND_COUNTERS: Final = ("_power_w", "_energy_wh", "_power_va", "_soc_pct")


def alone() -> tuple[Rows, dict[str, str]]:
    """Each message for itself, by its own format; and the format of each serial."""
    rows: Rows = {}
    formats: dict[str, str] = {}
    memories = {codec: Memory() for codec, _ in HOUSE}
    for codec, message in [*LESSONS, *HOUSE]:
        for serial, sample, local in decode_raw(codec, message, memories[codec]):
            assert serial is not None
            whole = serial_of_path(f"g-1/{serial}") if local else serial
            values = rows.get((whole, sample.t), {})
            other = {name: value for name, value in sample.v.items() if values.get(name, value) != value}
            assert not other or codec == "sparkplug", (message.topic, other)  # whose lesson told values, too
            rows[whole, sample.t] = sample.v | values  # what came first stands
            assert formats.setdefault(whole, codec) == codec
    return rows, formats


def house(formats: dict[str, str], rows: Rows) -> tuple[Route, dict[str, DeviceTwin]]:
    """With the profiles that an installer is offered first."""
    gateway, devices = device_twin("g-1", "gateway"), {}
    for number, (serial, codec) in enumerate(formats.items()):
        heard = sorted({name for (whose, _), values in rows.items() if whose == serial for name in values})
        first = likely_profiles(shipped(), heard, gateway.profile, serial, codec)[0]
        devices[serial] = device_twin(f"d-{number}", first.id, serial=serial)
    return Route(site_twin(gateway, *devices.values()), gateway, "up/telemetry"), devices


@pytest.mark.parametrize("seed", range(8))
def test_each_device_gets_exactly_its_own_rows(seed: int) -> None:
    expected, formats = alone()
    here, devices = house(formats, expected)
    serials = {device.id: serial for serial, device in devices.items()}
    order = Random(seed).sample(HOUSE, len(HOUSE))
    sources, found = Sources(), Rows()
    several = [message for _, message in (*LESSONS, *order)]
    for start in range(0, len(several), _AT_ONCE):
        taken = sources.take(here, Telemetry([], raw=several[start : start + _AT_ONCE]), ARRIVED)
        assert (taken.refused, taken.kept) == (None, [])
        for row in taken.rows:
            index = here.site.devices[row.device].profile.index
            told = {name: row.readings[place] for name, place in index.items() if row.readings[place] is not None}
            key = (serials[row.device], row.t)
            found[key] = told | found.get(key, {})
    wanted = {
        key: {name: value for name, value in values.items() if name in devices[key[0]].profile.index}
        for key, values in expected.items()
    }
    assert found == {key: values for key, values in wanted.items() if values}


def test_the_first_profile_on_offer_keeps_powers_and_counters() -> None:
    expected, formats = alone()
    _, devices = house(formats, expected)
    for (serial, _), values in expected.items():
        known = set(profile(devices[serial].profile.id).channels)
        told = {name for name in values if name.endswith(POWERS_AND_COUNTERS)}
        # of a plug one half is left
        either = formats[serial] in {"shelly", "tasmota"} and not told.isdisjoint({"pv_power_w", "pv_energy_wh"})
        assert told <= known or (either and told & known), (serial, told - known)


def test_strangers_wait_with_what_they_are() -> None:
    """Nothing of the house is attached yet."""
    expected, formats = alone()
    gateway = device_twin("g-1", "gateway")
    here, sources = Route(site_twin(gateway), gateway, "up/telemetry"), Sources()
    for _, message in [*LESSONS, *HOUSE]:
        sources.take(here, Telemetry([], raw=[message]), ARRIVED)
    waiting = {each.serial: each for each in sources.due(ARRIVED)}
    assert {serial: each.codec for serial, each in waiting.items()} == formats
    for serial, each in waiting.items():
        assert set(each.measures) == {name for (whose, _), values in expected.items() if whose == serial for name in values}
