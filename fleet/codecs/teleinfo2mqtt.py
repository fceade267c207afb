"""teleinfo2mqtt: a French meter's labels under `<base>/<ADCO or ADSC>`, one frame per message.

Source: documentation and source of fmartinou/teleinfo2mqtt. `{"LABEL": {"raw", "value", "timestamp": {"date", "dst"}}}`;
`raw` is what the meter said (except PREF and PCOUP, made VA; they are settings). The `Z` of a date is false: it is legal
local time, two hours ahead of UTC in summer and one in winter, and `dst` says which. Only DATE's is the time of the frame.
"""

import re
from typing import Any, Final

from fleet.codecs import tic
from fleet.codecs.decoded import Decoded, json_object, sample
from fleet.codecs.iso_time import unix_ms
from fleet.telemetry import RawMessage

_TOPIC: Final = re.compile(r"(?:.+/)?(?P<meter>[0-9A-Za-z]{10,14})")
_AHEAD_MS: Final = {"summer": 7_200_000, "winter": 3_600_000}


def decode(message: RawMessage) -> list[Decoded] | None:
    """Raises BadInput (bad_payload)."""
    payload = message.payload
    if payload[:1] != b"{" or b'"raw"' not in payload or (b'"ADSC"' not in payload and b'"ADCO"' not in payload):
        return None
    found = _TOPIC.fullmatch(message.topic)
    if found is None:
        return None
    told = json_object(message)
    labels = {
        label: raw for label, each in told.items() if isinstance(each, dict) and isinstance(raw := each.get("raw"), str)
    }
    meter = tic.serial(labels)
    read: dict[str, float | None] = dict(tic.reading(labels))
    if meter is None or not read:
        return []
    return [Decoded(meter, sample(message, read, _time(told.get("DATE"))))]


def _time(date: Any) -> float | None:
    stamp = date.get("timestamp") if isinstance(date, dict) else None
    if not isinstance(stamp, dict):
        return None
    told, season = stamp.get("date"), stamp.get("dst")
    if not isinstance(told, str) or not isinstance(season, str) or season not in _AHEAD_MS:
        return None
    t = unix_ms(told)
    return None if t is None else t - _AHEAD_MS[season]
