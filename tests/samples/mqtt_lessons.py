"""One house in the formats with a memory: what teaches, and what follows from it. Shapes as specified, values made up."""

from typing import Final, NamedTuple

import msgspec

from tests.samples.sparkplug_node import DOUBLE, Metric, payload

T: Final = 1_782_036_000_000


class Taught(NamedTuple):
    lessons: list[tuple[str, bytes]]
    messages: list[tuple[str, bytes]]


def _announced(number: int, name: str, unit: str, device_class: str, key: str) -> tuple[str, bytes]:
    config = {
        "~": "plant/inv1", "name": name, "stat_t": "~/state", "val_tpl": f"{{{{ value_json.{key} | float / 10 }}}}",
        "unit_of_meas": unit, "dev_cla": device_class, "uniq_id": f"inv1_{key}", "dev": {"ids": ["SN-77001122"]},
        "stat_cla": "total_increasing" if device_class == "energy" else "measurement",
    }  # fmt: skip
    return f"homeassistant/sensor/inv1/{number}/config", msgspec.json.encode(config)


_METRICS = (("AC/Power", "W"), ("AC/Energy", "kWh"), ("AC/L1/Voltage", "V"), ("AC/L2/Voltage", "V"), ("AC/Frequency", "Hz"))

TAUGHT: Final = {
    "sparkplug": Taught(
        [
            (
                "spBv1.0/plant/DBIRTH/roof/inv1",
                payload(*(Metric(1.5, name, n, DOUBLE, T, unit) for n, (name, unit) in enumerate(_METRICS, 1)), t=T, seq=1),
            )
        ],
        [
            ("spBv1.0/plant/DDATA/roof/inv1", payload(*(Metric(2.5, alias=n, t=T) for n in range(1, 6)), t=T, seq=2)),
            ("spBv1.0/plant/DDATA/roof/inv1", payload(Metric(3.5, alias=1, t=T), t=T, seq=3)),
        ],
    ),
    "homeassistant": Taught(
        [
            _announced(1, "Solar power", "W", "power", "pac"),
            _announced(2, "Production", "kWh", "energy", "etot"),
            _announced(3, "Voltage", "V", "voltage", "uac"),
        ],
        [("plant/inv1/state", b'{"pac":12345,"etot":182503.4,"uac":2311,"status":"ok"}')],
    ),
}
