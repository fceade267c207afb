"""A French meter's labels as topics: `<base>/<device>/[data/]<LABEL>` with the value alone, as teleinfokit and WTeleInfo do.

Source: documentation and source of teleinfokit (`teleinfokit-<id>/data/<LABEL>`; its first version wrote `teleinfokit/papp`,
in lower case) and of WTeleInfo (`WTeleInfo/<ADCO>/<LABEL>`). What each label means: fleet/codecs/tic.py.

A contract with several tariffs has one index each, and here they come one by one: one alone says nothing of all that was
drawn, so that of the historic output BASE alone counts, and EAST of the standard one.
"""

import re
from collections.abc import Mapping
from typing import Final

from fleet.codecs import tic
from fleet.codecs.decoded import Decoded, named, plain_number, sample
from fleet.telemetry import RawMessage

_TOPIC: Final = re.compile(r"(?:.*/)?(?P<device>(?!data/)[^/]{1,64})/(?:data/)?(?P<label>[A-Z][A-Z0-9+-]{3,8})")
_OF_THE_FIRST: Final = re.compile(r"(?:.*/)?(?P<device>teleinfokit[^/]{0,20})/(?P<label>papp|iinst|base|hchp|hchc|hp|hc)")
_OWN_ID: Final = re.compile(r"teleinfokit-[0-9A-Fa-f]{4,12}|[0-9]{12}")
_MEASURES: Final[Mapping[str, str]] = {**tic.MEASURES, "BASE": "import_energy_wh"}


def decode(message: RawMessage) -> list[Decoded] | None:
    """Raises BadInput (bad_payload)."""
    topic = message.topic
    found = _TOPIC.fullmatch(topic) or _OF_THE_FIRST.fullmatch(topic)
    if found is None:
        return None
    label, name = found["label"].upper(), found["device"]
    if label not in tic.LABELS and found.re is _TOPIC:
        return None
    measure = _MEASURES.get(label)
    value = None if measure is None else plain_number(message)
    if measure is None or value is None or (value == 0.0 and measure.endswith("_wh")):
        return []  # a counter at 0 was not read yet
    return [Decoded(named(name), sample(message, {measure: value}), _OWN_ID.fullmatch(name) is None)]
