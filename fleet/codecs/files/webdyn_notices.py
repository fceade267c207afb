"""What a WebdynSun logger sends beside its readings: alarms, its log, its configuration, results of commands.

Source: the maker's manuals (WebdynSunPM 2.05, WebdynModbus, WebdynPulse): `date;<source>;…` in alarms, `NAME=value` in
configurations, JSON with `rpcName` or `callerId` for commands. They hold no readings, so they are recognised, kept and
refused: nobody is asked to describe a format.
"""

import re
from collections.abc import Iterator
from typing import Final

from fleet.codecs.files.lines import head_lines
from fleet.codecs.files.reading import Content, Context, FileFormat, Found, Unreadable

_DATED: Final = re.compile(r"[0-9]{2}/[0-9]{2}/[0-9]{2}-[0-9]{2}:[0-9]{2}:[0-9]{2}[; ,\t]+(?P<then>.*)")
_SETTING: Final = re.compile(
    r"(?:FTP2?|HTTP2?|MQTT2?|NTP|LAN|APN|MODEM|DAQ|INV|MODBUS|IO|TIC|LOG|SMS|VPN|SITE)_[A-Za-z0-9_]+(?:\[[0-9]+\])?=.*"
)
_COMMANDS: Final = re.compile(rb'\s*\[?\s*\{[^{}]{0,2000}"(?:rpcName|callerId)"\s*:')


def recognises(head: bytes) -> bool:
    if _COMMANDS.match(head) is not None:
        return True
    found = [line.strip() for line in head_lines(head) if line.strip() and not line.lstrip().startswith(("#", "["))]
    if not found:
        return False
    if _SETTING.fullmatch(found[0]) is not None:
        return sum(_SETTING.fullmatch(line) is not None for line in found) >= 0.5 * len(found)
    dated = [_DATED.fullmatch(line) for line in found[:-1] or found]
    return all(each is not None and each["then"][:1].isalpha() for each in dated)


def read(_content: Content, _context: Context) -> Iterator[Found]:
    """Raises Unreadable (not_readings)."""
    raise Unreadable("not_readings")


FORMAT: Final = FileFormat(
    id="webdyn-notice",
    label_fr="WebdynSun, alarmes, journal ou configuration",
    label_en="WebdynSun, alarms, log or configuration",
    profile_id="logger",
    recognises=recognises,
    read=read,
)
