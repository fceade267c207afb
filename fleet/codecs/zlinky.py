"""LiXee's ZLinky on a Linky meter, through Zigbee2MQTT: `<base>/<name>` with one flat JSON object.

Source: zigbee-herdsman-converters (lixee.ts), the zigbee2mqtt.io page of the device, and recorded messages. Energies in kWh
with two decimals. Its powers are apparent (VA) or means of a past period, so none of them is a power of now: they are left
out. Most attributes are repeated, stale or 0, in each message: all counters at 0 means that the meter was not read yet.
"""

import re
from typing import Any, Final

from fleet.codecs.decoded import Decoded, json_object, number, sample, wh
from fleet.serials import serial_from
from fleet.telemetry import RawMessage

_TOPIC: Final = re.compile(r"(?:(?:.+)/)?(?P<name>[^/]{1,64})")
_OWN_ID: Final = re.compile(r"0x[0-9a-f]{16}")
_NAME_CHARS_MAX: Final = 28
_TIER: Final = re.compile(r"current_tier[0-9]{1,2}_summ_delivered")


def decode(message: RawMessage) -> list[Decoded]:
    """Raises BadInput (bad_payload)."""
    found = _TOPIC.fullmatch(message.topic)
    if found is None or "/bridge/" in message.topic or message.payload[:1] != b"{":
        return []
    values = json_object(message)
    if "current_summ_delivered" not in values:
        return []  # another device of the same bridge
    delivered = _delivered_kwh(message, values)
    received = number(message, values, "current_summ_received")
    read = {
        "import_energy_wh": wh(delivered) or None,
        "export_energy_wh": wh(received) or None,
        "ac_voltage_v": number(message, values, "rms_voltage") or None,
        "ac_current_a": number(message, values, "rms_current"),
    }
    known: dict[str, float | None] = {measure: value for measure, value in read.items() if value is not None}
    if not {"import_energy_wh", "export_energy_wh"} & known.keys():
        return []
    name = found["name"]
    return [Decoded(serial_from(name, _NAME_CHARS_MAX), sample(message, known), local=_OWN_ID.fullmatch(name) is None)]


def _delivered_kwh(message: RawMessage, values: dict[str, Any]) -> float | None:
    """With a tariff of off-peak hours the total stays 0 and the tiers count."""
    total = number(message, values, "current_summ_delivered")
    if total:
        return total
    tiers = [number(message, values, name) for name in values if _TIER.fullmatch(name)]
    return sum(tier for tier in tiers if tier is not None) or None
