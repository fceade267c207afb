"""What one batch of messages comes to: rows, refusals and days to recompute, ready for one transaction."""

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from typing import NamedTuple

from fleet.calendar import local_day
from fleet.device import DeviceTwin, Row
from fleet.ids import DeviceId, SiteId
from fleet.limits import FUTURE_SKEW_MAX_S
from fleet.site import SiteTwin
from fleet.storage.codec_memory import Lesson
from fleet.storage.intake import DeadLetter, SampleRecord
from fleet.telemetry import UnixMs


class Entry(NamedTuple):
    """One message, taken in by its twin. `sender` is acked once the entry is stored; None when there is nobody to ack.

    arrived_at: when it came, if that was not with the batch. learned: what it taught its sender's codec.
    """

    topic: str
    site: SiteTwin | None
    sender: DeviceTwin | None
    rows: list[Row]
    letters: list[DeadLetter]
    arrived_at: UnixMs | None = None
    learned: tuple[Lesson, ...] = ()


class DirtyMark(NamedTuple):
    """A local day of a site that must be recomputed from this instant on."""

    site: SiteId
    day: date
    from_time: UnixMs


class Batch(NamedTuple):
    """samples: one per (device, time), whatever the messages repeated; lessons: the newest of each key."""

    samples: list[SampleRecord]
    letters: list[DeadLetter]
    marks: list[DirtyMark]
    lessons: list[Lesson]


def collect(entries: Iterable[Entry], now: UnixMs) -> Batch:
    samples: dict[tuple[DeviceId, UnixMs], SampleRecord] = {}
    letters: list[DeadLetter] = []
    marks: dict[tuple[SiteId, date], UnixMs] = {}
    lessons: dict[tuple[SiteId, DeviceId, str], Lesson] = {}
    for entry in entries:
        letters += entry.letters
        for lesson in entry.learned:
            lessons[lesson[:3]] = lesson
        if entry.site is None:
            continue
        site = entry.site.record
        received_at = at(now if entry.arrived_at is None else entry.arrived_at)
        for device, t, readings, shift_ms in _placed(entry, entry.site, now) if entry.site.relearned else entry.rows:
            known = samples.get((device, t))
            if known is None:
                samples[device, t] = (site.id, device, at(t), received_at, readings, shift_ms)
            else:  # what came first stands, what it left out is filled in: as the database merges
                merged = [new if old is None else old for old, new in zip(known[4], readings, strict=True)]
                samples[device, t] = (*known[:4], merged, known[5])
            key = (site.id, local_day(t, site.timezone))
            if t < marks.get(key, t + 1):
                marks[key] = t
    dirty = [DirtyMark(site, day, t) for (site, day), t in marks.items()]
    return Batch(list(samples.values()), letters, dirty, list(lessons.values()))


def _placed(entry: Entry, site: SiteTwin, now: UnixMs) -> Iterator[Row]:
    """With the times that the clocks' corrections give them now: they may have changed since the rows were taken in."""
    arrived_at = now if entry.arrived_at is None else entry.arrived_at
    for row in entry.rows:
        twin = site.devices.get(row.device)
        told = row.t - (row.shift_ms or 0)
        shift_ms = twin.corrector.shift_ms(told, arrived_at) if twin is not None and twin.corrector is not None else 0
        fits = told + shift_ms <= now + FUTURE_SKEW_MAX_S * 1000
        yield row._replace(t=told + shift_ms, shift_ms=shift_ms or None) if fits else row


def at(ms: UnixMs) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
