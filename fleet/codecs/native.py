"""The native protocol: JSON, or MessagePack by its first byte."""

import json
from typing import Any, TypeVar

import msgspec

from fleet.errors import BadInput
from fleet.limits import PAYLOAD_BYTES_MAX
from fleet.telemetry import Seq, State, Stream, Telemetry

T = TypeVar("T")


class Numbering(msgspec.Struct):
    """Where a message stands in its device's stream (see Telemetry)."""

    seq: Seq
    oldest: Seq | None = None
    stream: Stream | None = None


_JSON_OPENING = b"{ \t\r\n"
_telemetry_json = msgspec.json.Decoder(Telemetry)
_telemetry_msgpack = msgspec.msgpack.Decoder(Telemetry)
_state_json = msgspec.json.Decoder(State)
_state_msgpack = msgspec.msgpack.Decoder(State)


def decode_telemetry(payload: bytes) -> Telemetry:
    """Raises BadInput (malformed, too_large)."""
    return _decode(payload, _telemetry_json, _telemetry_msgpack)


def decode_state(payload: bytes) -> State:
    """Raises BadInput (malformed, too_large)."""
    return _decode(payload, _state_json, _state_msgpack)


def numbering(payload: bytes) -> Numbering | None:
    """Of telemetry that cannot be decoded: its number, as far as that can be read (NaN is no JSON, but common enough)."""
    try:
        loose: Any = json.loads(payload) if payload[:1] in _JSON_OPENING else msgspec.msgpack.decode(payload)
        return msgspec.convert(loose, Numbering)
    except (ValueError, RecursionError):  # all decoding errors are ValueErrors
        return None


def _decode(payload: bytes, as_json: msgspec.json.Decoder[T], as_msgpack: msgspec.msgpack.Decoder[T]) -> T:
    if len(payload) > PAYLOAD_BYTES_MAX:
        raise BadInput("too_large", f"payload of {len(payload)} bytes; at most {PAYLOAD_BYTES_MAX} are taken")
    try:
        return as_json.decode(payload) if payload[:1] in _JSON_OPENING else as_msgpack.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput("malformed", f"not a message of this channel: {error}") from None
