"""All codecs: whatever a gateway passes on, there are samples or a coded refusal, and what was taught is bounded."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.codecs.registry import decode_raw
from fleet.errors import BadInput
from fleet.telemetry import RawMessage
from tests.fuzz.mutations import mutated
from tests.fuzz.targets import TARGETS

NOW = 1_782_036_007_123
SAID = {name: target for name, target in TARGETS.items() if name.startswith("mqtt-") or name == "value-template"}
SEEDS = [seed for target in SAID.values() for seed in target.seeds]


@pytest.mark.parametrize("name", SAID)
@given(luck=st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_damaged_messages_are_samples_or_refused(name: str, luck: Random) -> None:
    seed = luck.choice(SAID[name].seeds)
    SAID[name].run(mutated(luck, seed, luck.choice(SEEDS), 4_000))


@pytest.mark.parametrize("number", ["1e308", "-1e300", "1" + "0" * 400, "NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize(
    ("codec", "topic", "payload"),
    [
        ("victron", "N/c0619ab1d2e3/pvinverter/30/Ac/Energy/Forward", '{"value": #}'),
        ("shelly", "roof-em/status/em:0", '{"total_act_power": #}'),
        ("zlinky", "zigbee2mqtt/linky", '{"current_summ_delivered": #, "rms_voltage": 230}'),
        ("ahoy", "inverter/HM-800/ch0", '{"P_AC": 71.0, "YieldTotal": #}'),
        ("tasmota", "tele/plug/SENSOR", '{"Time": "2024-07-01T12:05:00", "ENERGY": {"Total": #, "Power": 5}}'),
        ("sbfspot", "home/pv", '{"InvSerial": 2100000001, "PACTot": 5, "ETotal": #}'),
        ("senml", "sensors/pv", '[{"bn":"urn:dev:mac:0024be0000a1:","n":"pv_energy","u":"kWh","v":#}]'),
        (
            "webdyn",
            "W/d",
            '[{"device":"I","serialNumber":"SN-123","values":[{"name":"Total energy","unit":"MWh","value":#}]}]',
        ),
        ("opendtu", "solar/114182940773/0/yieldtotal", "#"),
        ("evcc", "evcc/site/pv/1/energy", "#"),
    ],
)
def test_numbers_that_no_meter_has_are_no_readings(codec: str, topic: str, payload: str, number: str) -> None:
    """JSON knows neither NaN nor infinities; Python's own does, and so do senders."""
    raw = payload.replace("#", number).encode()
    try:
        found, refused = decode_raw(codec, RawMessage(NOW, topic, raw)), ""
    except BadInput as error:
        found, refused = [], error.code
    assert refused in {"", "bad_payload", "senml_record"}
    assert all(value is not None and abs(value) < 1_000 for _, sample, _ in found for value in sample.v.values())
