"""LiXee's ZLinky on a Linky meter, through Zigbee2MQTT: `<base>/<name>` with one flat JSON object.

Source: zigbee-herdsman-converters (lixee.ts), the zigbee2mqtt.io page of the device, and recorded messages. Energies in kWh
with as many decimals as the user chose, none by default; versions of 2021 had camelCase keys and Wh. Its powers are apparent
(VA), or means of a past period, which are no powers of now and left out. Most attributes are repeated, stale or 0, in each
message: all counters at 0 means that the meter was not read yet. A meter with a historic contract of several tariffs has
tiers and no total. On three phases `apparent_power` is that of the first one; `total_apparent_power` is the meter's.

The time is the meter's own (`current_date`), which is asked for every ten minutes only while powers and counters come by
themselves, and which can stop for a day: where it is that far behind `last_seen` of the bridge, that counts, and where the
bridge does not tell, the arrival. What is days behind the arrival was recorded: there the meter's time is the best there is.
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
_BEHIND_MAX_MS: Final = 15 * 60_000  # of the meter's time: asked for every ten minutes
_RECORDED_AFTER_MS: Final = 2 * 86_400_000
_TIERS: Final[Mapping[str, int]] = {"HC": 2, "EJP": 2, "BBR": 6}  # of historic contracts, by how the tariff's name begins


class _Keys(NamedTuple):
    """scale: of its energies to Wh."""

    scale: float
    delivered: str
    received: str
    tier: re.Pattern[str]
    tariff: str
    drawn_va: str
    total_va: str  # of three phases
    injected_va: str
    date: str
    phases: tuple[tuple[str, str], ...]  # voltage and current of each phase


_NOW: Final = _Keys(
    1_000.0,
    "current_summ_delivered",
    "current_summ_received",
    re.compile(r"current_tier([0-9]{1,2})_summ_delivered"),
    "current_tarif",
    "apparent_power",
    "total_apparent_power",
    "injected_v_a",
    "current_date",
    tuple((f"rms_voltage{phase}", f"rms_current{phase}") for phase in ("", "_ph_b", "_ph_c")),
)
_OF_2021: Final = _Keys(
    1.0,
    "currentSummDelivered",
    "currentSummReceived",
    re.compile(r"currentTier([0-9]{1,2})SummDelivered"),
    "currentTarif",
    "apparentPower",
    "totalApparentPower",
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
    keys = next((keys for keys in (_NOW, _OF_2021) if _counts(values, keys)), None)
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
    return [Decoded(named(name), sample(message, read, _time(message, values, keys)), local=_OWN_ID.fullmatch(name) is None)]


def _counts(values: dict[str, Any], keys: _Keys) -> bool:
    return keys.delivered in values or any(keys.tier.fullmatch(name) for name in values)


def _wh(told: float | None, keys: _Keys) -> float | None:
    return round(told * keys.scale, 3) if told else None


def _delivered(message: RawMessage, values: dict[str, Any], keys: _Keys) -> float | None:
    """With a tariff of off-peak hours the total stays 0 or away, and the tiers count: all of them, or the sum would fall."""
    total = number(message, values, keys.delivered)
    if total:
        return total
    told = {int(found[1]): number(message, values, name) for name in values if (found := keys.tier.fullmatch(name))}
    tiers = {place: tier for place, tier in told.items() if tier is not None}
    tariff = values.get(keys.tariff)
    expected = next((n for name, n in _TIERS.items() if isinstance(tariff, str) and tariff.startswith(name)), None)
    if expected is None and total == 0.0:
        expected = max(len(tiers), 2)  # read, and no total
    if expected is None or not all(place in tiers for place in range(1, expected + 1)):
        return None
    return sum(tiers.values()) or None


def _electrical(message: RawMessage, values: dict[str, Any], keys: _Keys) -> dict[str, float | None]:
    """On one phase the attributes of the others are 0, or hold something else."""
    voltages = [number(message, values, voltage) or None for voltage, _ in keys.phases]
    currents = [number(message, values, current) for _, current in keys.phases]
    three = (voltages[1] is not None and voltages[2] is not None) or bool(currents[1] or currents[2])
    first, total = (number(message, values, key) for key in (keys.drawn_va, keys.total_va))
    historic = not any(voltages)  # that output has no voltage, and one apparent power for all phases
    read = {
        "apparent_power_va": first if not three or (total is None and historic) else total,
        "export_apparent_power_va": number(message, values, keys.injected_va),
    }
    if not three:
        return known(read | {"ac_voltage_v": voltages[0], "ac_current_a": currents[0]})
    phased = {f"ac_voltage_v_l{phase}": voltage for phase, voltage in enumerate(voltages, 1)}
    return known(read | phased | {f"ac_current_a_l{phase}": current for phase, current in enumerate(currents, 1)})


def _time(message: RawMessage, values: Mapping[str, Any], keys: _Keys) -> float | None:
    date = values.get(keys.date)
    t = tic.utc(date) if isinstance(date, str) else None
    seen = _seen(values.get("last_seen"))
    if t is None:
        return seen
    if seen is not None:
        return seen if seen - t > _BEHIND_MAX_MS else t
    return None if _BEHIND_MAX_MS < message.t - t <= _RECORDED_AFTER_MS else t


def _seen(told: object) -> float | None:
    if isinstance(told, str):
        return unix_ms(told)
    seen = numeric(told)
    return seen if seen is None or seen > _EPOCH_IS_MS else seen * 1000.0
