"""The twin of one device: what it last said, how far its messages are known, whether it says too much.

Pure: it takes (message, now) and returns what is to be stored; it does no I/O and keeps no clock.
"""

from typing import NamedTuple

from fleet import configuration
from fleet.codecs.memory import Memory
from fleet.corrections import Corrector
from fleet.device_orders import DeviceOrders
from fleet.errors import BadInput
from fleet.ids import DeviceId
from fleet.limits import (
    DEAD_LETTERS_PER_DEVICE_PER_MIN,
    DEVICE_MESSAGES_BURST,
    DEVICE_MESSAGES_PER_S,
    FUTURE_SKEW_MAX_S,
    MEASURES_PER_SAMPLE_MAX,
    READING_ABS_MAX,
    RETENTION_DAYS,
    SAMPLES_PER_MESSAGE_MAX,
    THROTTLE_NOTICE_S,
)
from fleet.profiles import DeviceProfile
from fleet.rate import TokenBucket
from fleet.sequence import SequenceTracker
from fleet.telemetry import Sample, State, Telemetry, UnixMs
from fleet.views import Health

Readings = list[float | None]  # in the order of the profile's channels

_UNKNOWN = Health("unknown", 0, "not_heard_yet")  # before the first sweep
_RETENTION_MS = RETENTION_DAYS * 86_400_000


class Row(NamedTuple):
    """One sample to store, as it was told; a clock correction has moved its time by shift_ms."""

    device: DeviceId
    t: UnixMs
    readings: Readings
    shift_ms: int | None = None


class Snapshot(NamedTuple):
    """What of a twin outlives its process: telemetry.device_latest.

    readings are those that are shown; told, where a correction makes them differ, what they were made from.
    """

    stream: str | None = None
    seq: int = 0
    seen_at: UnixMs | None = None
    sample_at: UnixMs | None = None
    readings: Readings | None = None
    online: bool = False
    info: State | None = None
    told: Readings | None = None


class DeviceTwin:
    """One per device, owned by its site's twin. Losing it loses nothing: it is rebuilt from its snapshot.

    readings are corrected; what is stored is what was told.
    """

    __slots__ = (
        "_letters",
        "_memory",
        "_newest",
        "_notice_at",
        "_rate",
        "_told",
        "corrector",
        "created_at",
        "id",
        "info",
        "judged",
        "name",
        "online",
        "orders",
        "profile",
        "readings",
        "replaced_at",
        "sample_at",
        "seen_at",
        "sequence",
        "serial",
        "snapshot_due",
    )

    def __init__(
        self,
        device: DeviceId,
        name: str,
        serial: str | None,
        profile: DeviceProfile,
        snapshot: Snapshot,
        health: Health | None,
        now: UnixMs,
        created_at: UnixMs | None = None,
        corrector: Corrector | None = None,
        replaced_at: UnixMs = 0,
        memory: Memory | None = None,
        orders: DeviceOrders | None = None,
    ) -> None:
        self.id = device
        self.name = name
        self.serial = serial
        self.created_at = created_at
        self.profile = profile
        self.sequence = SequenceTracker(snapshot.stream, snapshot.seq)
        self.seen_at = snapshot.seen_at
        self.sample_at = snapshot.sample_at
        self._told = _fitted(snapshot.told or snapshot.readings, len(profile.channels))
        self.readings = self._told
        self.online = snapshot.online
        self.info = snapshot.info
        self.judged = health
        self.snapshot_due = False
        self._memory = memory
        self.orders = orders  # None: nothing was ever wished of it, and it has never said what it runs
        self.corrector = corrector
        self._newest: tuple[UnixMs, Readings] | None = None  # when the sample arrived that is shown, and all that it said
        self.replaced_at = replaced_at
        if (snapshot.seen_at or 0) < replaced_at:
            self._forget_told()
        self._correct()
        self._rate = TokenBucket(DEVICE_MESSAGES_BURST, now)
        self._letters = TokenBucket(DEAD_LETTERS_PER_DEVICE_PER_MIN, now)
        self._notice_at = 0

    def admit(self, now: UnixMs) -> bool:
        """Whether this message is within the device's rate."""
        self.seen_at = now
        return self._rate.admit(DEVICE_MESSAGES_PER_S, DEVICE_MESSAGES_BURST, now)

    def admit_letter(self, now: UnixMs) -> bool:
        """Whether one more refusal of this device is still stored; beyond that refusals are only counted."""
        return self._letters.admit(DEAD_LETTERS_PER_DEVICE_PER_MIN / 60.0, DEAD_LETTERS_PER_DEVICE_PER_MIN, now)

    def notice_due(self, now: UnixMs) -> bool:
        """Whether a device over its rate is to be told so now (and notes that it is told)."""
        due = now - self._notice_at >= THROTTLE_NOTICE_S * 1000
        if due:
            self._notice_at = now
        return due

    def take_samples(
        self, message: Telemetry, now: UnixMs, arrived_at: UnixMs | None = None
    ) -> tuple[list[Row], BadInput | None]:
        """The rows to store, and what of the message was refused (the rest of it counts).

        Late samples become rows but never replace a newer live value, nor do those of other hardware that was here before;
        samples from the future are refused. A clock that is corrected is put right before that.
        arrived_at: when it came, if that was not now.
        Raises BadInput (too_many_samples) when nothing of the message is taken.
        """
        if len(message.samples) > SAMPLES_PER_MESSAGE_MAX:
            raise BadInput(
                "too_many_samples",
                f"{len(message.samples)} samples in one message; at most {SAMPLES_PER_MESSAGE_MAX} are taken",
            )
        rows: list[Row] = []
        refused: BadInput | None = None
        earliest, latest = now - _RETENTION_MS, now + FUTURE_SKEW_MAX_S * 1000
        arrived_at = now if arrived_at is None else arrived_at
        clock = self.corrector if self.corrector is not None and self.corrector.moves_time else None
        for sample in message.samples:
            shift_ms = None if clock is None else clock.shift_ms(sample.t, arrived_at) or None
            t = sample.t if shift_ms is None else sample.t + shift_ms
            if earliest <= t <= latest:
                readings, problem = self._readings(sample)
                refused = refused or problem
                if readings is not None:
                    rows.append(Row(self.id, t, readings, shift_ms))
                    if arrived_at >= self.replaced_at:
                        self._show(t, readings, arrived_at)
            elif t > latest:
                refused = refused or BadInput(
                    "future_time", f"sample of t={t} is {(t - now) / 1000:.0f} s ahead of the platform's clock"
                )
            else:
                refused = refused or BadInput("too_old", f"sample of t={t} is older than {RETENTION_DAYS} days")
        self.online = True
        self.snapshot_due = True
        return rows, refused

    def take_state(self, state: State) -> None:
        self.online = state.online
        if state.online:  # a last will knows nothing but that the device is gone
            self.info = state
        self.snapshot_due = True

    def spoke(self) -> None:
        """Something came from it that is about others."""
        self.online = True
        self.snapshot_due = True

    def note_stored(self) -> None:
        """All of its messages taken so far are committed: from now on a snapshot may say so."""
        self.sequence.settle()
        self.snapshot_due = True

    @property
    def memory(self) -> Memory:
        """What its messages have taught the codec of its profile; most devices never teach anything."""
        if self._memory is None:
            self._memory = Memory()
        return self._memory

    def learned(self) -> dict[str, bytes | None]:
        """See Memory.learned."""
        return {} if self._memory is None else self._memory.learned()

    @property
    def gone(self) -> bool:
        """It is not connected, and nothing of it has come since by another way, as from a file."""
        return not self.online and (self.sample_at or 0) < (self.seen_at or 0)

    @property
    def health(self) -> Health:
        return self.judged or _UNKNOWN

    def lived(self, at: UnixMs, now: UnixMs) -> None:
        """A sample of this instant came by another way than the device's own connection: it was alive then, and is no longer
        one whose first word is awaited; from now on its silence counts.
        """
        if self.seen_at is None and self.judged is not None and self.judged.reason == "never_seen":
            self.judged = Health("unknown", now, "not_heard_yet")
        self.seen_at = max(self.seen_at or 0, min(at, now)) or None

    def snapshot(self) -> Snapshot:
        return Snapshot(
            self.sequence.stored_stream,
            self.sequence.stored,
            self.seen_at,
            self.sample_at,
            self.readings,
            self.online,
            self.info,
            None if self.readings is self._told else self._told,
        )

    def relearn(self, registered: "DeviceTwin") -> None:
        """Takes over what the registry says of this device now: name, serial, profile, corrections. Keeps what it heard, but
        of other hardware than it has now; what it was taught is about those behind it, and stays.
        """
        self.name, self.serial, self.created_at = registered.name, registered.serial, registered.created_at
        self.profile, self.corrector = registered.profile, registered.corrector
        self._told = _fitted(self._told, len(self.profile.channels))
        self.snapshot_due = self.snapshot_due or self.sample_at is not None
        if self.replaced_at < registered.replaced_at:
            self.replaced_at = registered.replaced_at
            self._forget_told()
        self._correct()

    def tell_time(self, newest: UnixMs | None) -> None:
        """Its clock was corrected: the newest sample's time is this now, and what comes next is newer."""
        if newest is not None:
            self.sample_at = newest
            self._correct()
            self.snapshot_due = True

    @property
    def interval_s(self) -> float:
        """How often it reports when all is well."""
        return configuration.interval_s(self.profile, self.orders.config.reported if self.orders is not None else None)

    def reading(self, measure: str) -> float | None:
        """The newest value of a measure; None when unknown."""
        position = self.profile.index.get(measure)
        return None if position is None else self.readings[position]

    def _readings(self, sample: Sample) -> tuple[Readings | None, BadInput | None]:
        """The sample in channel order (None when it has nothing we can keep), and the first thing refused in it."""
        index = self.profile.index
        readings: Readings = [None] * len(index)
        refused: BadInput | None = None
        kept = False
        if len(sample.v) > MEASURES_PER_SAMPLE_MAX:
            return None, BadInput(
                "too_many_measures", f"{len(sample.v)} measures; at most {MEASURES_PER_SAMPLE_MAX} are taken"
            )
        for measure, value in sample.v.items():
            position = index.get(measure)
            if position is None:
                refused = BadInput("unknown_measure", f"profile {self.profile.id} has no measure {measure[:60]!r}")
            elif value is not None:
                if -READING_ABS_MAX <= value <= READING_ABS_MAX:  # false for NaN as well
                    readings[position] = value
                    kept = True
                else:
                    refused = BadInput("bad_value", f"{measure} = {value} is not a number within ±{READING_ABS_MAX:g}")
        return (readings if kept else None), refused

    def _show(self, t: UnixMs, readings: Readings, arrived_at: UnixMs) -> None:
        """Moves the live values forward in event time; a channel that says nothing keeps its last value."""
        if self.sample_at is not None and t < self.sample_at:
            return
        self.sample_at = t
        self._newest = (arrived_at, readings)
        told = self._told
        for position, value in enumerate(readings):
            if value is not None:
                told[position] = value
        if self.corrector is not None:
            self._correct()

    def _forget_told(self) -> None:
        """There is other hardware now. If it spoke before we learned of it, its newest sample is what we know."""
        arrived_at, readings = self._newest or (0, None)
        if arrived_at < self.replaced_at:
            self.sample_at, readings = None, None
        self._told = _fitted(readings, len(self.profile.channels))
        self.info = None

    def _correct(self) -> None:
        """The same list where nothing is corrected: told once and held once."""
        if self.corrector is None or self.sample_at is None:
            self.readings = self._told
        else:
            self.readings = self.corrector.readings(self.sample_at, self._told)


def _fitted(readings: Readings | None, channels: int) -> Readings:
    """Stored readings made as long as the profile is now: channels are only ever added at the end."""
    kept = (readings or [])[:channels]
    return kept + [None] * (channels - len(kept))
