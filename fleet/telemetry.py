"""The messages of the native protocol: what a device says and what it is told."""

import msgspec

UnixMs = int


class Sample(msgspec.Struct, gc=False):
    """One instant of one device."""

    t: UnixMs
    v: dict[str, float | None]


class Telemetry(msgspec.Struct):
    """`up/telemetry`.

    seq      counts this device's telemetry messages; the platform acks the highest one below which all are stored
    oldest   the lowest seq that the device still holds: everything below it is stored, or given up for want of room
    stream   names one run of the counter; a device that lost its disk starts a new stream
    source   serial of the device behind a gateway that this is about
    """

    samples: list[Sample]
    seq: int | None = None
    oldest: int | None = None
    stream: str | None = None
    source: str | None = None


class State(msgspec.Struct, omit_defaults=True):
    """`up/state`: presence and device information; also the last will (`online` false)."""

    online: bool
    model: str | None = None
    firmware: str | None = None
    boot: str | None = None


class PlatformAck(msgspec.Struct, omit_defaults=True):
    """`down/ack`: every message of `stream` up to and including `seq` is stored."""

    seq: int
    stream: str | None = None


class RateNotice(msgspec.Struct):
    """`down/rate`: please slow down."""

    min_interval_s: float
