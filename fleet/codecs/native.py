"""The native protocol: JSON, or MessagePack by its first byte."""

import json
from typing import Any, TypeVar

import msgspec

from fleet.errors import BadInput
from fleet.limits import COMMAND_DETAIL_BYTES_MAX, PAYLOAD_BYTES_MAX
from fleet.order_messages import CommandResult, ReportedConfig
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
_report_json = msgspec.json.Decoder(ReportedConfig)
_report_msgpack = msgspec.msgpack.Decoder(ReportedConfig)
_result_json = msgspec.json.Decoder(CommandResult)
_result_msgpack = msgspec.msgpack.Decoder(CommandResult)
_NUL_IN_JSON = b"\\u0000"  # PostgreSQL's jsonb holds none
_DETAIL_DEPTH_MAX = 50  # far below what ends a recursion, here or where it is stored


def decode_telemetry(payload: bytes) -> Telemetry:
    """Raises BadInput (malformed, too_large)."""
    return _decode(payload, _telemetry_json, _telemetry_msgpack)


def decode_state(payload: bytes) -> State:
    """Raises BadInput (malformed, too_large)."""
    return _decode(payload, _state_json, _state_msgpack)


def decode_report(payload: bytes) -> ReportedConfig:
    """`up/config`. Raises BadInput (malformed, too_large)."""
    report = _decode(payload, _report_json, _report_msgpack)
    if _NUL_IN_JSON in msgspec.json.encode(report):
        raise BadInput("malformed", "a text in it holds U+0000")
    return report


def decode_result(payload: bytes) -> CommandResult:
    """`up/result`; a detail that is too long or too deep to be kept is cut to its beginning, as text.

    The detail is what JSON can say, whatever it came as: it is stored, and hashed, as that.
    Raises BadInput (malformed, too_large).
    """
    result = _decode(payload, _result_json, _result_msgpack)
    if "\x00" in result.id:  # no command's, and PostgreSQL could not even look for it
        raise BadInput("malformed", "the command's id holds U+0000")
    try:
        said = msgspec.json.encode(result.detail)
    except (TypeError, ValueError, OverflowError, RecursionError):  # MessagePack knows more than JSON does
        return msgspec.structs.replace(result, detail=None)
    if len(said) > COMMAND_DETAIL_BYTES_MAX or _is_deep(result.detail, _DETAIL_DEPTH_MAX):
        detail: Any = said[:COMMAND_DETAIL_BYTES_MAX].decode(errors="ignore")
    else:
        detail = msgspec.json.decode(said.replace(_NUL_IN_JSON, b"\\ufffd"))
    return msgspec.structs.replace(result, detail=detail)


def _is_deep(value: Any, levels: int) -> bool:
    if isinstance(value, dict):
        return levels == 0 or any(_is_deep(each, levels - 1) for each in value.values())
    return isinstance(value, list | tuple) and (levels == 0 or any(_is_deep(each, levels - 1) for each in value))


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
