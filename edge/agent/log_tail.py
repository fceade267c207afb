"""The newest lines of the agent's own log, in memory, for whoever asks from afar."""

import json
from collections import deque
from collections.abc import Mapping, MutableMapping
from typing import Any

import msgspec

from edge.limits import AGENT_LOG_LINE_CHARS_MAX, AGENT_LOG_LINES_KEPT


class LogTail:
    """A structlog processor, to stand before the renderer. It changes nothing."""

    def __init__(self, lines_max: int = AGENT_LOG_LINES_KEPT) -> None:
        self._lines: deque[str] = deque(maxlen=lines_max)

    def __call__(self, _logger: object, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
        line = json.dumps(dict(event), default=repr)  # as the renderer does: whatever is in it, it must not fail
        if len(line) > AGENT_LOG_LINE_CHARS_MAX:
            half = AGENT_LOG_LINE_CHARS_MAX // 2
            line = f"{line[:half]} … {line[-half:]}"
        self._lines.append(line)
        return event

    def newest(self, lines: int, bytes_max: int) -> list[str]:
        """In their order; fewer than asked for where they would be more bytes of JSON than that."""
        taken: list[str] = []
        room = bytes_max - 2
        for line in reversed(self._lines):
            room -= len(msgspec.json.encode(line)) + 1
            if len(taken) >= lines or room < 0:
                break
            taken.append(line)
        return taken[::-1]
