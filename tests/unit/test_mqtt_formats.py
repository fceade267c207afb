"""All formats of a house's broker side by side: none takes another's messages, none a copy, none is moved by nonsense."""

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.codecs.registry import PLAIN, decode_raw
from fleet.errors import BadInput
from fleet.measures import is_measure
from fleet.profiles import shipped
from fleet.serials import is_serial
from fleet.telemetry import RawMessage
from tests.samples.mqtt_samples import MESSAGES

T = 1_782_036_007_123
EACH = [(codec, topic, payload) for codec, messages in MESSAGES.items() for topic, payload in messages]


def test_every_format_has_messages() -> None:
    assert set(MESSAGES) == set(PLAIN)


@pytest.mark.parametrize(("codec", "topic", "payload"), EACH, ids=lambda value: str(value)[:40])
def test_a_message_is_its_own_formats_and_nobody_elses(codec: str, topic: str, payload: bytes) -> None:
    message = RawMessage(T, topic, payload)
    taken = {name: decode(message) for name, decode in PLAIN.items()}
    assert [name for name, found in taken.items() if found is not None] == [codec]
    assert decode_raw("any", message) == decode_raw(codec, message) != []


@pytest.mark.parametrize(("codec", "topic", "payload"), EACH, ids=lambda value: str(value)[:40])
def test_a_copy_that_a_broker_kept_since_last_week_is_no_sample(codec: str, topic: str, payload: bytes) -> None:
    copy = RawMessage(T, topic, payload, retained=True)
    assert decode_raw(codec, copy) == []
    assert decode_raw("any", copy) == []


@pytest.mark.parametrize(("codec", "topic", "payload"), EACH, ids=lambda value: str(value)[:40])
def test_what_is_told_is_wanted_by_some_profile(codec: str, topic: str, payload: bytes) -> None:
    """A message of which no profile takes anything would be a refusal each time."""
    for each in decode_raw(codec, RawMessage(T, topic, payload)):
        assert any(set(each.sample.v) & set(profile.channels) for profile in shipped())


@pytest.mark.parametrize(
    ("codec", "topic", "payload"),
    [
        ("opendtu", "solar/114182940773/0/yieldtotal", b"0"),
        ("opendtu", "solar/114182940773/0/yieldday", b"812"),
        ("ahoy", "inverter/HM-800/ch0/YieldDay", b"812"),
        ("ahoy", "inverter/HM-800/ch0/YieldTotal", b"0"),
        ("tasmota", "tele/reader/SENSOR", b'{"SML": {"Total_in": 0, "Power_curr": 0}}'),
        ("tasmota", "tele/linky/SENSOR", b'{"ENERGY": {"Total": 9098.245, "Power": 170, "Load": 6}}'),
        ("tic", "WTeleInfo/021528603314/HCHP", b"006700000"),  # one of two tariffs
        ("tic", "teleinfokit/hp", b"6700000"),
        ("tic", "teleinfokit-A1B2C3/data/EAST", b"000000000"),
        ("tic", "teleinfokit-A1B2C3/data/NGTF", b"TEMPO"),
        ("zlinky", "zigbee2mqtt/linky", b'{"current_summ_delivered": 0, "apparent_power": 0}'),
        ("evcc", "evcc/site/pv/1/power", b""),
        ("victron", "N/c0619ab1d2e3/battery/512/Soc", b'{"value": null}'),
    ],
)
def test_nobody_else_guesses_at_what_a_format_leaves_out(codec: str, topic: str, payload: bytes) -> None:
    """Discovery announces the same topics as plain values, and would take a 0 that is none for a counter's."""
    assert PLAIN[codec](RawMessage(T, topic, payload)) == []


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("stat/plug/RESULT", b'{"POWER": "ON"}'),
        ("tele/plug/STATE", b'{"Time": "2024-07-01T12:05:00", "Uptime": "0T01:00:00"}'),
        ("tele/weather/SENSOR", b'{"Time": "2024-07-01T12:05:00", "BME280": {"Temperature": 21.3, "Pressure": 1013.2}}'),
        ("tele/plug/LWT", b"Online"),
        ("zigbee2mqtt/bridge/devices", b'[{"ieee_address": "0x00124b"}]'),
        ("zigbee2mqtt/plug", b'{"power": 12, "energy": 3.2}'),
        ("shellies/announce", b'{"id": "shellyem-A1B2C3", "model": "SHEM"}'),
        ("shellies/shellyem-A1B2C3/emeter/0/energy", b"8123"),
        ("shellies/shellyplug-s-A1B2C3/relay/0/energy", b"8123"),
        ("shellies/shellyplug-s-A1B2C3/relay/0", b"on"),
        ("roof-em/online", b"true"),
        ("roof-em/rpc", b'{"id": 7, "src": "app", "method": "Switch.Set", "params": {"id": 0, "on": true}}'),
        ("roof-em/events/rpc", b'{"src": "x", "method": "NotifyEvent", "params": {"ts": 1.0, "events": []}}'),
        ("solar/ac/power", b"300"),
        ("solar/ac/is_valid", b"1"),
        ("inverter/total/P_AC", b"300"),
        ("inverter/total", b'{"P_AC": 300}'),
        ("inverter/HM-800/available", b"2"),
        ("inverter/HM-800/last_success", b"1672155690"),
        ("inverter/HM-800/ch0/YieldDay", b"51"),
        ("N/c0619ab1d2e3/vebus/276/Ac/ActiveIn/P", b'{"value": 5}'),
        ("N/c0619ab1d2e3/system/0/Dc/Pv/Power", b'{"value": 5}'),
        ("evcc/site/pv", b"2"),
        ("evcc/site/homePower", b"412"),
        ("evcc/loadpoints/1/chargePower", b"3600"),
        ("evcc/site/pv/1/power", b""),
        ("evcc/status", b"online"),
        ("WPM0A1B2C/alarm", b'{"alarms": [{"type": "POWER", "date": "21/02/05-09:50:00", "timestamp": 1612515000000}]}'),
        ("energy/growatt", b'{"device": "NLDDB2A0XY", "time": "x", "buffered": "no", "values": {"pvstatus": 1}}'),
    ],
)  # fmt: skip
def test_what_else_these_devices_say_is_nothing(topic: str, payload: bytes) -> None:
    assert decode_raw("any", RawMessage(T, topic, payload)) == []


# Nonsense ----------------------------------------------------------------------------------------------------------

TOPICS = st.sampled_from(sorted({topic for _, topic, _ in EACH})) | st.text(max_size=60)
KEYS = sorted(
    {name for _, _, payload in EACH if payload[:1] in b"{[" for name in payload.decode().split('"') if 0 < len(name) < 30}
)
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "0012", "nan", "1e5", "E240701143005", "h240701143005", "2024-07-01T12:05:00+02:00", "yes"])
    | st.text(max_size=5)
)  # fmt: skip
JSON = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), inner, max_size=6)
    ),
    max_leaves=15,
)


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, bytes]:
    """A real message in which one value is another one."""
    _, topic, payload = draw(st.sampled_from([each for each in EACH if each[2][:1] in b"{["]))
    told: Any = msgspec.json.decode(payload)
    node = told
    for _ in range(draw(st.integers(0, 4))):
        inner = [
            each for each in (node.values() if isinstance(node, dict) else node) if isinstance(each, dict | list) and each
        ]
        if not inner:
            break
        node = draw(st.sampled_from(inner))
    place = draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
    node[place] = draw(JSON)
    return topic, msgspec.json.encode(told)


@st.composite
def cut(draw: st.DrawFn) -> tuple[str, bytes]:
    _, topic, payload = draw(st.sampled_from(EACH))
    return topic, payload[: draw(st.integers(0, len(payload)))] + draw(st.binary(max_size=3))


MONSTERS = [b"NaN", b"1e400", b'{"value": Infinity}', b"[" * 9_000, b'{"a":' * 3_000, b"9" * 500, b"-" * 70]
MESSAGE = (
    mutated()
    | cut()
    | st.tuples(TOPICS, st.binary(max_size=100) | st.sampled_from(MONSTERS) | JSON.map(msgspec.json.encode))
)


@settings(max_examples=100, deadline=None)
@given(said=MESSAGE, t=st.integers(0, 2**45))
def test_whatever_comes_is_samples_or_a_coded_refusal(said: tuple[str, bytes], t: int) -> None:
    topic, payload = said
    for codec in sorted({"any", *PLAIN}):
        try:
            found = decode_raw(codec, RawMessage(t, topic, payload))
        except BadInput:
            continue
        for serial, sample, _ in found:
            assert serial is None or is_serial(serial)
            assert sample.t <= t
            assert sample.v
            assert all(is_measure(measure) for measure in sample.v)
            assert all(value is not None and math.isfinite(value) for value in sample.v.values())
