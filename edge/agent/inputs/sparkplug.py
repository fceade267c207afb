"""Sparkplug edge nodes in the house: whose birth we have missed, so that they have to be asked for another one.

Source: the Sparkplug 3.0 specification. Data may carry nothing but aliases of the last birth, and births are never retained,
so whoever comes later, or loses a message (`seq` counts 0 to 255 and begins anew at NBIRTH), publishes NCMD with the metric
"Node Control/Rebirth". Two fields of protobuf are all that this takes, so they are read and written by hand here.
"""

import re
from collections.abc import Iterable
from typing import Final

from edge.limits import (
    SPARKPLUG_ASK_AGAIN_MAX_S,
    SPARKPLUG_ASK_AGAIN_S,
    SPARKPLUG_DEVICES_PER_NODE_MAX,
    SPARKPLUG_NODES_MAX,
)
from fleet.telemetry import UnixMs

_TOPIC: Final = re.compile(
    r"(?P<root>(?:.*/)?spBv1\.0/[^/]+)/(?P<kind>[ND](?:BIRTH|DATA|DEATH))/(?P<edge>[^/]+)(?:/(?P<device>[^/]+))?"
)
# Metric: name (field 1) "Node Control/Rebirth", datatype (4) Boolean, boolean_value (14) true
_REBIRTH: Final = b"\x0a\x14Node Control/Rebirth\x20\x0b\x70\x01"


class Births:
    """No I/O: takes what was heard, says which topic a rebirth is to be asked at."""

    def __init__(self) -> None:
        self._nodes: dict[str, _Node] = {}

    def connected(self, now: UnixMs) -> list[str]:
        """After a time without ears: all nodes that we know may have been born anew since."""
        for node in self._nodes.values():
            node.missed()
        return [topic for topic, node in self._nodes.items() if node.ask(now)]

    def heard(self, topic: str, payload: bytes, now: UnixMs) -> str | None:
        """Where to ask now for a birth, if this message shows that one is missing."""
        found = _TOPIC.fullmatch(topic) if "spBv1.0/" in topic else None
        if found is None:
            return None
        asked_at = f"{found['root']}/NCMD/{found['edge']}"
        node = self._nodes.get(asked_at)
        if node is None:
            if len(self._nodes) >= SPARKPLUG_NODES_MAX:
                return None
            node = self._nodes[asked_at] = _Node()
        node.take(found["kind"], found["device"] or "", sequence_number(payload))
        return asked_at if node.wanting and node.ask(now) else None


class _Node:
    """born: the devices whose birth was heard; '' is the node itself. unborn: those that sent data without."""

    __slots__ = ("_ask_again_s", "_asked_at", "_born", "_lost", "_seq", "_unborn")

    def __init__(self) -> None:
        self._born: set[str] = set()
        self._unborn: set[str] = set()
        self._lost = False
        self._seq: int | None = None
        self._asked_at: UnixMs | None = None
        self._ask_again_s = SPARKPLUG_ASK_AGAIN_S

    @property
    def wanting(self) -> bool:
        return self._lost or bool(self._unborn)

    def missed(self) -> None:
        self._born.clear()
        self._unborn.clear()
        self._lost = False
        self._seq = None

    def take(self, kind: str, device: str, seq: int | None) -> None:
        if kind in {"NDEATH", "NBIRTH"}:  # a death is a will, which has no number; a birth begins anew
            self.missed()
        elif seq is not None and self._seq is not None and seq != (self._seq + 1) & 0xFF:
            self._lost = True
        self._seq = seq
        if kind.endswith("BIRTH"):
            self._unborn.discard(device)
            if len(self._born) <= SPARKPLUG_DEVICES_PER_NODE_MAX:
                self._born.add(device)
        elif kind == "DDEATH":
            self._born.discard(device)
            self._unborn.discard(device)
        elif kind.endswith("DATA") and device not in self._born and len(self._born) <= SPARKPLUG_DEVICES_PER_NODE_MAX:
            self._unborn = {device}  # one is reason enough to ask
        if not self.wanting and kind.endswith("DATA"):
            self._ask_again_s = SPARKPLUG_ASK_AGAIN_S

    def ask(self, now: UnixMs) -> bool:
        """At most once in a while, and ever less often while the node does not answer."""
        if self._asked_at is not None:
            if 0 <= now - self._asked_at < self._ask_again_s * 1000:
                return False
            self._ask_again_s = min(self._ask_again_s * 2, SPARKPLUG_ASK_AGAIN_MAX_S)
        self._asked_at = now
        return True


def rebirth(now: UnixMs) -> bytes:
    """What to publish: timestamp (field 1) and one metric (2). A command has no seq."""
    return b"\x08" + _varint(now) + b"\x12" + _varint(len(_REBIRTH)) + _REBIRTH


def sequence_number(payload: bytes) -> int | None:
    """Field 3 of a payload; all others are stepped over. None: none there, or no protobuf."""
    position = 0
    try:
        while position < len(payload):
            tag, position = _read_varint(payload, position)
            wire_type = tag & 7
            if wire_type == 0:
                value, position = _read_varint(payload, position)
                if tag >> 3 == 3:
                    return value & 0xFF
            elif wire_type == 2:
                length, position = _read_varint(payload, position)
                position += length
            elif wire_type in {1, 5}:
                position += 8 if wire_type == 1 else 4
            else:
                return None
    except IndexError:
        pass
    return None


def _read_varint(payload: bytes, position: int) -> tuple[int, int]:
    """Raises IndexError at the payload's end."""
    value = shift = 0
    while True:
        byte = payload[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80 or shift >= 70:
            return value, position


def _varint(value: int) -> bytes:
    groups: Iterable[int] = (value >> shift & 0x7F for shift in range(0, max(value.bit_length(), 1), 7))
    *first, last = groups
    return bytes([*(group | 0x80 for group in first), last])
