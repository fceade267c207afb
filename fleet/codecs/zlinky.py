"""LiXee's ZLinky on a Linky meter, through Zigbee2MQTT: `<base>/<name>` with one flat JSON object.

Source: zigbee-herdsman-converters (lixee.ts), the zigbee2mqtt.io page of the device, and recorded messages. Energies in kWh
with two decimals; versions of 2021 had camelCase keys and Wh. Its powers are apparent (VA), or means of a past period, which
are no powers of now and left out. Most attributes are repeated, stale or 0, in each message: all counters at 0 means that
the meter was not read yet. The time is the meter's own (`current_date`), else `last_seen` of the bridge, else the arrival.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from fleet.codecs import tic
from fleet.codecs.decoded import Decoded, json_object, known, named, number, numeric, sample
from fleet.codecs.iso_time import unix_ms
from fleet.telemetry import RawMessage

_TOPIC: Final = re.compile(r"(?:(?:.+)/)?(?P<name>[^/]{1,64})")
_OWN_ID: Final = re.compile(r"0x[0-9a-f]{16}")
_EPOCH_IS_MS: Final = 100_000_000_000  # as seconds that is the year 5138


class _Keys(NamedTuple):
    """scale: of its energies to Wh."""

    scale: float
    delivered: str
    received: str
    tier: re.Pattern[str]
    drawn_va: str
    injected_va: str
    date: str
    phases: tuple[tuple[str, str], ...]  # voltage and current of each phase


_NOW: Final = _Keys(
    1_000.0,
    "current_summ_delivered",
    "current_summ_received",
    re.compile(r"current_tier[0-9]{1,2}_summ_delivered"),
    "apparent_power",
    "injected_v_a",
    "current_date",
    tuple((f"rms_voltage{phase}", f"rms_current{phase}") for phase in ("", "_ph_b", "_ph_c")),
)
_OF_2021: Final = _Keys(
    1.0,
    "currentSummDelivered",
    "currentSummReceived",
    re.compile(r"currentTier[0-9]{1,2}SummDelivered"),
    "apparentPower",
    "injectedVA",
    "currentDate",
    tuple((f"rmsVoltage{phase}", f"rmsCurrent{phase}") for phase in ("", "PhB", "PhC")),
)


def decode(message: RawMessage) -> list[Decoded] | None:
    """Raises BadInput (bad_payload)."""
    payload = message.payload
    if payload[:1] != b"{" or (b"ummDelivered" not in payload and b"summ_delivered" not in payload):
        return None
    found = _TOPIC.fullmatch(message.topic)
    if found is None or "/bridge/" in message.topic:
        return None
    values = json_object(message)
    keys = next((keys for keys in (_NOW, _OF_2021) if keys.delivered in values), None)
    if keys is None:
        return None  # another device of the same bridge
    counters = known(
        {
            "import_energy_wh": _wh(_delivered(message, values, keys), keys),
            "export_energy_wh": _wh(number(message, values, keys.received), keys),
        }
    )
    if not counters:
        return []
    read = counters | _electrical(message, values, keys)
    name = found["name"]
    return [Decoded(named(name), sample(message, read, _time(values, keys)), local=_OWN_ID.fullmatch(name) is None)]


def _wh(told: float | None, keys: _Keys) -> float | None:
    return round(told * keys.scale, 3) if told else None


def _delivered(message: RawMessage, values: dict[str, Any], keys: _Keys) -> float | None:
    """With a tariff of off-peak hours the total stays 0 and the tiers count."""
    total = number(message, values, keys.delivered)
    if total:
        return total
    tiers = [number(message, values, name) for name in values if keys.tier.fullmatch(name)]
    return sum(tier for tier in tiers if tier is not None) or None


def _electrical(message: RawMessage, values: dict[str, Any], keys: _Keys) -> dict[str, float | None]:
    """On one phase the attributes of the others are 0, or hold something else."""
    voltages = [number(message, values, voltage) or None for voltage, _ in keys.phases]
    currents = [number(message, values, current) for _, current in keys.phases]
    read = {
        "apparent_power_va": number(message, values, keys.drawn_va),
        "export_apparent_power_va": number(message, values, keys.injected_va),
    }
    three = (voltages[1] is not None and voltages[2] is not None) or bool(currents[1] or currents[2])
    if not three:
        return known(read | {"ac_voltage_v": voltages[0], "ac_current_a": currents[0]})
    phased = {f"ac_voltage_v_l{phase}": voltage for phase, voltage in enumerate(voltages, 1)}
    return known(read | phased | {f"ac_current_a_l{phase}": current for phase, current in enumerate(currents, 1)})


def _time(values: Mapping[str, Any], keys: _Keys) -> float | None:
    date = values.get(keys.date)
    t = tic.utc(date) if isinstance(date, str) else None
    if t is not None:
        return t
    seen = values.get("last_seen")
    if isinstance(seen, str):
        return unix_ms(seen)
    told = numeric(seen)
    return told if told is None or told > _EPOCH_IS_MS else told * 1000.0
