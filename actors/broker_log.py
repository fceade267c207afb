"""What Mosquitto says only in its log: packets it refused for their size, messages it dropped, clients it turned away."""

import re
from pathlib import Path
from typing import NamedTuple

from actors.broker_files import CANARY

_READ_BYTES_MAX = 256 * 1024  # per round; a longer log is caught up with in later rounds

_PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("oversize_packet", re.compile(r"Client (?P<client>\S+) disconnected due to oversize packet")),
    ("broker_dropped", re.compile(r"Outgoing messages are being dropped for client (?P<client>\S+?)\.?$")),
    ("protocol_error", re.compile(r"Client (?P<client>\S+) disconnected due to (?:malformed packet|protocol error)")),
    ("retain_refused", re.compile(r"Client (?P<client>\S+) disconnected.*retain", re.IGNORECASE)),
    (
        "refused_at_the_door",
        re.compile(r"(?:OpenSSL Error.*(?P<client>certificate verify failed|peer did not return a certificate))"),
    ),
)


_CANARY_COMES = re.compile(rf"New client connected from \S+ as {CANARY} ")
_CANARY_GOES = re.compile(rf"Client {CANARY} ")


class BrokerEvent(NamedTuple):
    """client: the client id (a device's id on the devices' listener), or what the log says in its place."""

    code: str
    client: str
    line: str


class BrokerLog:
    """Follows the log from its end on; a log that was rotated or began anew is read from its beginning."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._position = file.stat().st_size if file.exists() else 0
        self._canary = False  # the guard knocks with a revoked certificate: one refusal is its own, and as it should be

    def read(self) -> list[BrokerEvent]:
        """The events since the last call. A file that is away has none."""
        try:
            with self._file.open("rb") as log:
                size = log.seek(0, 2)
                log.seek(self._position if self._position <= size else 0)
                text = log.read(_READ_BYTES_MAX)
                whole = text.rfind(b"\n") + 1
                self._position = log.tell() - len(text) + whole
        except FileNotFoundError:
            return []
        lines = text[:whole].decode("utf-8", "replace").splitlines()
        return [event for event in map(self._told, lines) if event is not None]

    def _told(self, line: str) -> BrokerEvent | None:
        if _CANARY_COMES.search(line):
            self._canary = True
        elif _CANARY_GOES.search(line):
            self._canary = False
        event = parse(line)
        if event is not None and event.code == "refused_at_the_door" and self._canary:
            self._canary = False
            return None
        return event


def parse(line: str) -> BrokerEvent | None:
    for code, pattern in _PATTERNS:
        found = pattern.search(line)
        if found:
            return BrokerEvent(code, found["client"], line[:300])
    return None
