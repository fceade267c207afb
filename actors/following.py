"""One reading followed from MQTT to its row: what writer, intake and feeds are where traces are asked for.

A followed message is one trace: receive → decode → twin → transaction → platform ack, and the live feed beside it. The
transaction is shared by a batch, so it is also a trace of its own, which links to the messages that it stored.

    following = Following(tracing)
    writer, intake, feeds = following.parts()   # in place of the plain classes
"""

import random
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, set_span_in_context

from actors.batch import Entry
from actors.catalog import Route
from actors.feeds import Feeds
from actors.intake import Intake
from actors.manual_ack import ManualAckSession, Received
from actors.writer import Writer
from fleet.ids import SiteId
from fleet.placement import slot_of
from fleet.runtime.tracing import Tracing
from fleet.telemetry import Telemetry, UnixMs

_FOLLOWED_MAX: Final = 64  # at once; while as many are under way none is added
_GIVEN_UP_S: Final = 60.0  # nobody may be connected to tell of it
ACK, LIVE = "platform ack", "live feed"


class Followed:
    """One message under way. waits: for what it is still followed. ack_due: it is stored, its sender is told next."""

    def __init__(self, tracing: Tracing, message: Received, arrived_at: UnixMs) -> None:
        self._tracer = tracing.tracer
        attributes: dict[str, str | int] = {
            "messaging.destination.name": (message.topic or "")[:200],
            "solarperform.bytes": len(message.payload),
        }
        began_ns = arrived_at * 1_000_000
        self.root: Span = self._tracer.start_span("reading", Context(), SpanKind.CONSUMER, attributes, start_time=began_ns)
        self._context = set_span_in_context(self.root, Context())
        self.began_s = time.monotonic()
        self.decoding_ns: int | None = None
        self.entry: Entry | None = None
        self.site: SiteId | None = None
        self.waits = {"transaction"}
        self.ack_due = False
        self.step("receive", began_ns, time.time_ns())

    def step(self, name: str, began_ns: int, ended_ns: int, links: Sequence[Link] = ()) -> None:
        self._tracer.start_span(name, self._context, links=links, start_time=began_ns).end(ended_ns)

    def over(self, outcome: str) -> None:
        self.root.set_attribute("solarperform.outcome", outcome)
        self.root.end()


class Following:
    """current: the message that the intake is at, if it is followed."""

    def __init__(self, tracing: Tracing) -> None:
        self.tracing = tracing
        self.current: Followed | None = None
        self._under_way: list[Followed] = []

    def parts(self) -> tuple[Callable[..., Writer], Callable[..., Intake], Callable[..., Feeds]]:
        return partial(FollowingWriter, self), partial(FollowingIntake, self), partial(FollowingFeeds, self)

    def begin(self, message: Received, arrived_at: UnixMs) -> Followed | None:
        """None: this one is not followed."""
        if random.random() >= self.tracing.sample_ratio:  # noqa: S311 - a sample is no secret
            return None
        if len(self._under_way) >= _FOLLOWED_MAX:
            self._give_up()
            if len(self._under_way) >= _FOLLOWED_MAX:
                return None
        return Followed(self.tracing, message, arrived_at)

    def taken(self, followed: Followed, entry: Entry | None, *, shown: bool) -> None:
        """entry: what the twin made of it. shown: its site's live view changes."""
        followed.entry = entry
        if entry is None:
            followed.over("throttled")
            return
        if entry.site is not None:
            site = followed.site = entry.site.record.id
            followed.root.set_attributes({"solarperform.site": site, "solarperform.slot": slot_of(site)})
        if entry.letters:
            followed.root.set_attribute("solarperform.refused", entry.letters[0].code)
        followed.root.set_attribute("solarperform.rows", len(entry.rows))
        if entry.sender is not None:
            followed.waits.add(ACK)
        if shown:
            followed.waits.add(LIVE)
        self._under_way.append(followed)

    def stored(self, entries: Sequence[Entry], began_ns: int) -> None:
        """Their transaction is committed."""
        known = {id(entry) for entry in entries}
        stored = [each for each in self.waiting("transaction") if id(each.entry) in known]
        if not stored:
            return
        ended_ns, links = time.time_ns(), [Link(each.root.get_span_context()) for each in stored]
        batch = self.tracing.tracer.start_span(
            "batch", Context(), attributes={"solarperform.messages": len(entries)}, links=links, start_time=began_ns
        )
        batch.end(ended_ns)
        self.told(stored, "transaction", began_ns, ended_ns, [Link(batch.get_span_context())])

    def waiting(self, step: str) -> list[Followed]:
        return [each for each in self._under_way if step in each.waits]

    def told(self, all_: list[Followed], step: str, began_ns: int, ended_ns: int, links: Sequence[Link] = ()) -> None:
        """That step is done; who waits for no other is over. Who was given up while it was done is over already."""
        for each in all_:
            if each not in self._under_way:
                continue
            each.step(step, began_ns, ended_ns, links)
            each.waits.discard(step)
            if not each.waits:
                self._under_way.remove(each)
                each.over("told")

    def _give_up(self) -> None:
        old = [each for each in self._under_way if time.monotonic() - each.began_s > _GIVEN_UP_S]
        for each in old:
            self._under_way.remove(each)
            each.over(f"no {', '.join(sorted(each.waits))}")


class FollowingIntake(Intake):
    def __init__(self, following: Following, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._following = following

    def take(self, message: Received, now: UnixMs) -> Entry | None:
        followed = self._following.begin(message, now)
        if followed is None:
            return super().take(message, now)
        self._following.current = followed
        try:
            entry = super().take(message, now)
        finally:
            self._following.current = None
        shown = entry is not None and entry.site is not None and entry.site.record.id in self.changed
        self._following.taken(followed, entry, shown=shown)
        return entry

    def _take_telemetry(self, text: str, payload: bytes, route: Route, now: UnixMs) -> Entry:
        """Decodes, and hands over to _take_decoded: the step ends there, or here for what cannot be read."""
        followed = self._following.current
        if followed is not None:
            followed.decoding_ns = time.time_ns()
        return super()._take_telemetry(text, payload, route, now)

    def _take_decoded(self, text: str, payload: bytes, telemetry: Telemetry, route: Route, now: UnixMs) -> Entry:
        followed = self._following.current
        if followed is None:
            return super()._take_decoded(text, payload, telemetry, route, now)
        began_ns = time.time_ns()
        if followed.decoding_ns is not None:  # what passes through raw is decoded by its twin's codec
            followed.step("decode", followed.decoding_ns, began_ns)
        followed.root.set_attribute("solarperform.device", route.device.id)
        if telemetry.seq is not None:
            followed.root.set_attribute("solarperform.seq", telemetry.seq)
        try:
            return super()._take_decoded(text, payload, telemetry, route, now)
        finally:
            followed.step("twin", began_ns, time.time_ns())


class FollowingWriter(Writer):
    def __init__(self, following: Following, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._following = following

    async def commit(self, entries: Sequence[Entry], now: UnixMs) -> None:
        began_ns = time.time_ns()
        await super().commit(entries, now)
        self._following.stored(entries, began_ns)


class FollowingFeeds(Feeds):
    def __init__(self, following: Following, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._following = following

    def stored(self, entries: Iterable[Entry]) -> None:
        listed = list(entries)
        super().stored(listed)
        known = {id(entry) for entry in listed}
        for followed in self._following.waiting(ACK):
            followed.ack_due = followed.ack_due or id(followed.entry) in known

    async def publish_acks(self, session: ManualAckSession) -> None:
        due = [each for each in self._following.waiting(ACK) if each.ack_due]
        began_ns = time.time_ns()
        await super().publish_acks(session)
        self._following.told(due, ACK, began_ns, time.time_ns())

    async def publish_live(self, session: ManualAckSession) -> None:
        waiting = self._following.waiting(LIVE)
        began_ns = time.time_ns()
        await super().publish_live(session)
        shown = [each for each in waiting if each.site not in self._intake.changed]
        self._following.told(shown, LIVE, began_ns, time.time_ns())
