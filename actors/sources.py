"""Whose samples they are: the sender's own, those of devices behind it by their serial, or of nobody that we know yet."""

from collections.abc import Iterable
from contextlib import suppress
from typing import Final, NamedTuple

import structlog

from actors.catalog import Route
from fleet.codecs.decoded import Decoded, Further
from fleet.codecs.memory import Memory
from fleet.codecs.registry import ANY, decode_named
from fleet.device import DeviceTwin, Row
from fleet.errors import BadInput
from fleet.ids import DeviceId, SiteId
from fleet.limits import (
    LOCAL_NAMES_PER_GATEWAY_MAX,
    MEASURES_PER_SAMPLE_MAX,
    RAW_PER_MESSAGE_MAX,
    SERIAL_CHARS_MAX,
    WAITING_FORGOTTEN_AFTER_S,
    WAITING_LETTERS_BURST,
    WAITING_LETTERS_PER_S,
    WAITING_SOURCE_PERIOD_S,
    WAITING_SOURCES_PER_GATEWAY_MAX,
)
from fleet.measures import is_measure
from fleet.rate import TokenBucket
from fleet.serials import is_serial, serial_of_path
from fleet.storage.waiting import Sighting
from fleet.telemetry import RawMessage, Sample, Telemetry, UnixMs

log = structlog.get_logger()

Key = tuple[SiteId, DeviceId, str]  # site, gateway, serial
_SELF: Final = "the sender itself"  # in its memory
_NAMES: Final = "name/"  # in a gateway's: whose a name is
_FAILURES_SAID_MAX: Final = 100


class Kept(NamedTuple):
    """Sound samples that cannot be placed yet. source: whose; None: the sender's own.

    problem: unknown_source when no device of the site has that serial; future_time when the message was not a native one,
    which could be kept as it is.
    """

    problem: BadInput
    source: str | None
    samples: list[Sample]


class Taken(NamedTuple):
    """refused: the first thing refused; the rest of the message counts."""

    rows: list[Row]
    refused: BadInput | None
    kept: list[Kept]


class Sources:
    """Remembers the strangers that were seen lately, so that they can be written down now and then. No I/O."""

    def __init__(self) -> None:
        self._seen: dict[Key, _Seen] = {}
        self._failures: set[str] = set()  # of codecs, that were said
        self._of_gateway: dict[tuple[SiteId, DeviceId], _Gateway] = {}

    def take(self, route: Route, telemetry: Telemetry, now: UnixMs) -> Taken:
        """Raises BadInput when nothing of the message is taken."""
        if len(telemetry.raw) > RAW_PER_MESSAGE_MAX:
            raise BadInput("too_many_raw", f"{len(telemetry.raw)} messages in one; at most {RAW_PER_MESSAGE_MAX} are taken")
        if telemetry.source is None:
            rows, refused = route.device.take_samples(telemetry, now)
            taken = Taken(rows, refused, [])
        else:
            route.device.spoke()
            taken = self._behind(route, telemetry.source, telemetry.samples, now)
        if telemetry.raw:
            return self._raw(route, telemetry.raw, taken, now)
        return taken

    def admit_letter(self, route: Route, now: UnixMs) -> bool:
        """Whether one more message with something to keep is taken of this gateway; else it sends it again."""
        return self._gateway(route).bucket.admit(WAITING_LETTERS_PER_S, WAITING_LETTERS_BURST, now)

    def due(self, now: UnixMs) -> list[Sighting]:
        """The strangers to write down now: new ones, and those that were written a while ago."""
        due = []
        for (site, gateway, serial), seen in list(self._seen.items()):
            if now - seen.at > WAITING_FORGOTTEN_AFTER_S * 1000:
                del self._seen[site, gateway, serial]
                self._of_gateway[site, gateway].serials -= 1
            elif seen.at > seen.written_at and now - seen.written_at >= WAITING_SOURCE_PERIOD_S * 1000:
                due.append(Sighting(site, gateway, serial, seen.at, sorted(seen.measures), seen.codec))
        return due

    def written(self, sightings: Iterable[Sighting], now: UnixMs) -> None:
        for sighting in sightings:
            seen = self._seen.get((sighting.site, sighting.gateway, sighting.serial))
            if seen is not None:
                seen.written_at = now

    def _raw(self, route: Route, messages: list[RawMessage], taken: Taken, now: UnixMs) -> Taken:
        """Third parties' messages, by the codec that the sender's profile names."""
        rows, refused, kept = taken
        heard, problem = self._decoded(route, messages)
        refused = refused or problem
        for serial, (theirs, codec) in heard.items():
            try:
                more = self._own(route, theirs, now) if serial is None else self._behind(route, serial, theirs, now, codec)
            except BadInput as error:
                device = route.device if serial is None else route.site.by_serial(serial)
                # a value by itself that is not wanted is no news of a device that tells others
                if error.code != "unknown_measure" or device is None or device.sample_at is None:
                    refused = refused or error
                continue
            rows, kept, problem = rows + more.rows, kept + more.kept, more.refused
            if problem is not None and problem.code == "future_time":
                kept = [*kept, Kept(problem, serial, theirs)]
            else:
                refused = refused or problem
        return Taken(rows, refused, kept)

    def _decoded(self, route: Route, messages: list[RawMessage]) -> tuple[dict[str | None, "_Heard"], BadInput | None]:
        """By serial, what shares an instant merged into one; and the first thing refused."""
        profile = route.device.profile
        if profile.codec is None:
            return {}, BadInput("no_codec", f"profile {profile.id} names no codec for other formats")
        merged: dict[str | None, dict[UnixMs, Sample]] = {}
        formats: dict[str | None, str] = {}
        refused: BadInput | None = None
        for message in messages:
            try:
                codec, found = self._read(profile.codec, message, route.device.memory)
                for each in found:
                    serial = _serial(route.device, each, codec)
                    if profile.kind == "gateway":
                        if serial is None and isinstance(each, Further):
                            continue  # of something without a name
                    elif _is_sender(route.device, each, serial):
                        serial = None
                    else:
                        refused = refused or self._other_device(route, each)
                        continue
                    _merge(merged.setdefault(serial, {}), each.sample)
                    formats[serial] = codec
            except BadInput as error:
                refused = refused or error
        return {serial: _Heard(list(each.values()), formats[serial]) for serial, each in merged.items()}, refused

    def _read(self, codec: str, message: RawMessage, memory: Memory) -> tuple[str, list[Decoded]]:
        """Raises BadInput, whatever the codec does: what ended this shard would come again and end the next one, too."""
        try:
            return decode_named(codec, message, memory)
        except BadInput:
            raise
        except Exception as error:  # see above; logged once for each way to fail, counted, and kept as a dead letter
            way = f"{codec}: {error!r}"[:200]
            if way not in self._failures and len(self._failures) < _FAILURES_SAID_MAX:
                self._failures.add(way)
                log.exception("codec_failed", codec=codec, topic=message.topic[:80])
            raise BadInput("codec_failed", f"{message.topic[:80]}: our reader of {codec} failed ({error!r})") from error

    def _other_device(self, route: Route, other: Decoded) -> BadInput | None:
        """Said once of each, as long as we run: it would come every few seconds."""
        told, name = self._gateway(route).others, other.serial or "another line"
        if name in told or len(told) >= WAITING_SOURCES_PER_GATEWAY_MAX:
            return None
        told.add(name)
        return BadInput(
            "other_device",
            f"{route.device.id} is enrolled as one device and speaks of {name[:60]!r}, which is another one: enrol it as a"
            " gateway, or give it this as its serial where only this one is meant",
        )

    def _own(self, route: Route, samples: list[Sample], now: UnixMs) -> Taken:
        rows, refused = route.device.take_samples(Telemetry(wanted(route.device, samples)), now)
        return Taken(rows, refused, [])

    def _behind(self, route: Route, serial: str, samples: list[Sample], now: UnixMs, codec: str | None = None) -> Taken:
        """A device that the sender speaks for. It may say more than its profile wants: what is wanted counts."""
        if not is_serial(serial):
            raise BadInput(
                "bad_source",
                f"{serial[:60]!r} is no serial: up to {SERIAL_CHARS_MAX} letters, digits and . _ / - between them",
            )
        device = route.site.by_serial(serial)
        if device is None:
            self._note(route, serial, samples, now, codec)
            unknown = f"no device of this site has the serial {serial!r}: attach or create it"
            return Taken([], None, [Kept(BadInput("unknown_source", unknown), serial, samples)])
        rows, refused = device.take_samples(Telemetry(wanted(device, samples)), now)
        device.seen_at = now
        return Taken(rows, refused, [])

    def _note(self, route: Route, serial: str, samples: list[Sample], now: UnixMs, codec: str | None) -> None:
        """Raises BadInput (too_many_sources)."""
        gateway = self._gateway(route)
        key = (route.site.record.id, route.device.id, serial)
        seen = self._seen.get(key)
        if seen is None:
            if gateway.serials >= WAITING_SOURCES_PER_GATEWAY_MAX:
                raise BadInput(
                    "too_many_sources", f"{gateway.serials} serials wait at this gateway already; attach or silence some"
                )
            gateway.serials += 1
            seen = self._seen[key] = _Seen()
        seen.at, seen.codec = now, codec or seen.codec
        for sample in samples:
            for measure in sample.v:
                if len(seen.measures) < MEASURES_PER_SAMPLE_MAX and is_measure(measure):
                    seen.measures.add(measure)

    def _gateway(self, route: Route) -> "_Gateway":
        return self._of_gateway.setdefault((route.site.record.id, route.device.id), _Gateway())


class _Heard(NamedTuple):
    samples: list[Sample]
    codec: str


class _Seen:
    __slots__ = ("at", "codec", "measures", "written_at")

    def __init__(self) -> None:
        self.at: UnixMs = 0
        self.written_at: UnixMs = 0
        self.measures: set[str] = set()
        self.codec: str | None = None


class _Gateway:
    """others: what it spoke of although it is no gateway."""

    __slots__ = ("bucket", "others", "serials")

    def __init__(self) -> None:
        self.serials = 0
        self.others: set[str] = set()
        self.bucket = TokenBucket(WAITING_LETTERS_BURST, 0)


def wanted(device: DeviceTwin, samples: list[Sample]) -> list[Sample]:
    """The samples with the measures of the device's profile only. Raises BadInput (unknown_measure) when none is left."""
    index = device.profile.index
    kept = [Sample(sample.t, {name: value for name, value in sample.v.items() if name in index}) for sample in samples]
    kept = [sample for sample in kept if sample.v]
    if samples and not kept:
        said = ", ".join(sorted({name[:40] for sample in samples for name in sample.v})[:5])
        raise BadInput("unknown_measure", f"profile {device.profile.id} wants nothing of what {device.id} says: {said}")
    return kept


def _merge(instants: dict[UnixMs, Sample], sample: Sample) -> None:
    known = instants.setdefault(sample.t, sample)
    if known is not sample:  # what came first stands, as in the database
        known.v.update({name: value for name, value in sample.v.items() if name not in known.v})


def _serial(gateway: DeviceTwin, found: Decoded, codec: str) -> str | None:
    """A name that only the house knows carries its gateway; one that two formats have is told apart by its format."""
    name = found.serial
    if not found.local or name is None:
        return name
    if gateway.profile.codec == ANY:
        base, line = name.rsplit("/", 1) if isinstance(found, Further) else (name, "")
        if not _keeps(gateway.memory, base, codec):
            name = f"{base}.{codec}/{line}".rstrip("/")
    return serial_of_path(f"{gateway.id}/{name}")


def _keeps(memory: Memory, name: str, codec: str) -> bool:
    """Whether a name is this format's: it is the first one's that used it."""
    key = _NAMES + name
    owner = memory.get(key)
    if owner is None and len(memory.keys(_NAMES)) < LOCAL_NAMES_PER_GATEWAY_MAX:
        with suppress(BadInput):  # full of what was announced: then names are as they are
            memory.put(key, codec.encode())
    return owner in (None, codec.encode())


def _is_sender(device: DeviceTwin, found: Decoded, serial: str | None) -> bool:
    """Whether a sender that is no gateway means itself. Two lines in one row would be nobody's values.

    It is what its serial in the registry says, else the first device that it told something wanted of; a device's further
    lines are itself only if its serial says so. Other hardware in its place begins anew.
    Raises BadInput (memory_full).
    """
    if found.serial is None:
        return not isinstance(found, Further)
    name = f"{device.replaced_at}/{found.serial}".encode()
    if device.serial in (found.serial, serial):
        device.memory.put(_SELF, name)
        return True
    known = device.memory.get(_SELF)
    if known is not None and known.startswith(f"{device.replaced_at}/".encode()):
        return known == name
    if isinstance(found, Further):
        return False
    if found.sample.v.keys() & device.profile.index.keys():
        device.memory.put(_SELF, name)
    return True
