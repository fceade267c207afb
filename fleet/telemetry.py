"""The messages of the native protocol: what a device says and what it is told."""

from typing import Annotated

import msgspec

from fleet.limits import DEVICE_INFO_CHARS_MAX, RAW_TOPIC_CHARS_MAX, SEQUENCE_MAX, STREAM_CHARS_MAX

UnixMs = int

# What a device may say that its snapshot must hold: PostgreSQL's text has no NUL, its bigint 63 bits
_NO_NUL = "^[^\\x00]*$"
Seq = Annotated[int, msgspec.Meta(ge=0, le=SEQUENCE_MAX)]
Stream = Annotated[str, msgspec.Meta(max_length=STREAM_CHARS_MAX, pattern=_NO_NUL)]
Info = Annotated[str, msgspec.Meta(max_length=DEVICE_INFO_CHARS_MAX, pattern=_NO_NUL)]


class Sample(msgspec.Struct, gc=False):
    """One instant of one device."""

    t: UnixMs
    v: dict[str, float | None]


class RawMessage(msgspec.Struct, gc=False, omit_defaults=True):
    """A third party's message as a gateway received it; its profile names the codec. payload: base64 in JSON.

    retained: a copy that the house's broker had kept, from nobody knows when. It may define something; it measures nothing.
    """

    t: UnixMs
    topic: Annotated[str, msgspec.Meta(max_length=RAW_TOPIC_CHARS_MAX, pattern=_NO_NUL)]
    payload: bytes
    retained: bool = False


class Telemetry(msgspec.Struct):
    """`up/telemetry`.

    seq      counts this device's telemetry messages; the platform acks the highest one below which all are stored
    oldest   the lowest seq that the device still holds: everything below it is stored, or given up for want of room
    stream   names one run of the counter; a device that lost its disk starts a new stream
    source   serial of the device behind a gateway that this is about
    raw      messages that a gateway passes on untouched; numbered, kept and acked like samples
    """

    samples: list[Sample]
    seq: Seq | None = None
    oldest: Seq | None = None
    stream: Stream | None = None
    source: str | None = None
    raw: list[RawMessage] = []


class State(msgspec.Struct, omit_defaults=True):
    """`up/state`: presence and device information; also the last will (`online` false)."""

    online: bool
    model: Info | None = None
    firmware: Info | None = None
    boot: Info | None = None


class PlatformAck(msgspec.Struct, omit_defaults=True):
    """`down/ack`: every message of `stream` up to and including `seq` is stored."""

    seq: int
    stream: str | None = None


class RateNotice(msgspec.Struct):
    """`down/rate`: please slow down."""

    min_interval_s: float
