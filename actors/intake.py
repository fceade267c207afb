"""One message's way in: topic → twin → codec → rows and refusals.

Nothing here waits, so a device's messages are applied in the order of their arrival.
"""

import msgspec

from actors.batch import Entry, at
from actors.broker_log import BrokerEvent
from actors.catalog import Catalog, Route
from actors.clock import now_ms
from actors.counters import Counters
from actors.manual_ack import Received
from actors.orders import Orders
from actors.sources import Kept, Sources
from fleet.codecs import native
from fleet.errors import BadInput
from fleet.ids import DeviceId, SiteId
from fleet.limits import DEAD_LETTER_HEAD_BYTES, DEAD_LETTERS_PER_DEVICE_PER_MIN, RAW_TOPIC_CHARS_MAX
from fleet.rate import TokenBucket
from fleet.site import SiteTwin
from fleet.storage.codec_memory import Lesson
from fleet.storage.intake import DeadLetter
from fleet.telemetry import RawMessage, Telemetry, UnixMs

_KEPT_WHOLE = frozenset(("future_time",))  # sound data that we cannot place yet: nothing of it is cut off
_RAW_CHANNEL = "up/raw/"
_ANSWERS = frozenset(("up/config", "up/result"))


class Intake:
    """Applies messages to the twins.

    The feeds take away what they tell: throttled, devices to be asked to slow down; changed, sites to show anew.
    sources: who is behind which gateway.
    """

    def __init__(self, catalog: Catalog, counters: Counters, orders: Orders) -> None:
        self._catalog = catalog
        self._orders = orders
        self._counters = counters
        self._strangers = TokenBucket(DEAD_LETTERS_PER_DEVICE_PER_MIN, 0)  # shared by whoever cannot be named
        self.sources = Sources()
        self.throttled: list[tuple[SiteId, DeviceId]] = []
        self.changed: dict[SiteId, SiteTwin] = {}

    def take(self, message: Received, now: UnixMs) -> Entry | None:
        """What is to be stored of this message; None when its device is over its rate (it holds it and sends it again)."""
        self._counters.messages += 1
        text = message.topic
        if text is None:
            return self._refuse("", message.payload, BadInput("bad_topic", "the topic is not UTF-8"), None, now)
        try:
            route = self._catalog.route(text)
        except BadInput as error:
            return self._refuse(text, message.payload, error, None, now)
        if not self._admit(route, now):
            self._throttle(route, now)
            return None
        route.site.heard_at = now
        try:
            return self._take_routed(text, message.payload, route, now)
        except BadInput as error:
            return self._refuse(text, message.payload, error, route, now)

    def take_at_once(self, text: str, payload: bytes) -> bool:
        """Past the batches, for what a device answers somebody who waits. False: its turn comes, with whatever is wrong."""
        now = now_ms()
        try:
            route = self._catalog.route(text)
            if not self._admit(route, now):
                return False
            route.site.heard_at = now
            self._take_answer(text, payload, route, now)
        except BadInput:
            return False
        self._counters.messages += 1
        return True

    def broker_letter(self, event: BrokerEvent, now: UnixMs) -> DeadLetter | None:
        """A refusal that only the broker saw; it names the client, not the site."""
        self._counters.refused(event.code)
        if not self._admit_stranger(now):
            return None
        return DeadLetter(at(now), None, DeviceId(event.client[:64]), "broker", event.code, event.line, 0, b"")

    def _take_routed(self, text: str, payload: bytes, route: Route, now: UnixMs) -> Entry:
        if route.channel == "up/telemetry":
            return self._take_telemetry(text, payload, route, now)
        if route.channel == "up/state":
            state = native.decode_state(payload)
            route.device.take_state(state)
            self.changed[route.site.record.id] = route.site
            if state.online:
                self._orders.connected(route, now)
            return Entry(text, route.site, None, [], [])
        if route.channel in _ANSWERS:
            self._take_answer(text, payload, route, now)
            return Entry(text, route.site, None, [], [])
        if route.channel.startswith(_RAW_CHANNEL):
            message = RawMessage(now, route.channel.removeprefix(_RAW_CHANNEL), payload)
            if len(message.topic) > RAW_TOPIC_CHARS_MAX:
                raise BadInput(
                    "bad_topic", f"a raw topic of {len(message.topic)} characters; {RAW_TOPIC_CHARS_MAX} are taken"
                )
            return self._take_decoded(text, payload, Telemetry([], raw=[message]), route, now)
        raise BadInput(
            "unexpected_channel", f"nothing listens to {route.channel[:40]!r} of profile {route.device.profile.id}"
        )

    def _take_answer(self, text: str, payload: bytes, route: Route, now: UnixMs) -> None:
        route.device.spoke()
        if route.channel == "up/config":
            self._orders.take_report(route, payload, now)
        else:
            self._orders.take_result(route, text, payload, now)

    def _take_telemetry(self, text: str, payload: bytes, route: Route, now: UnixMs) -> Entry:
        try:
            telemetry = native.decode_telemetry(payload)
        except BadInput as error:
            return self._pass_over(text, payload, error, route, now)
        return self._take_decoded(text, payload, telemetry, route, now)

    def _take_decoded(self, text: str, payload: bytes, telemetry: Telemetry, route: Route, now: UnixMs) -> Entry:
        was_away = not route.device.online
        entry = self._entry(text, payload, telemetry, route, now)
        if was_away and route.device.online:  # believed away: its word that it came was lost
            self._orders.connected(route, now)
        learned = route.device.learned()
        if learned:
            site, device = route.site.record.id, route.device.id
            return entry._replace(learned=tuple(Lesson(site, device, *lesson) for lesson in learned.items()))
        return entry

    def _entry(self, text: str, payload: bytes, telemetry: Telemetry, route: Route, now: UnixMs) -> Entry:
        try:
            rows, refused, kept = self.sources.take(route, telemetry, now)
        except BadInput as error:
            rows, refused, kept = [], error, []
        self.changed[route.site.record.id] = route.site
        letters: list[DeadLetter] = []
        if refused is not None:
            letters = self._letters(text, payload, refused, route, now)
            if refused.code in _KEPT_WHOLE and not letters:
                return Entry(text, route.site, None, rows, [])  # not kept, so not acked: the device holds it
        if kept:
            if not self.sources.admit_letter(route, now):
                return Entry(text, route.site, None, rows, letters)  # as above
            letters = letters + [self._kept(text, payload, telemetry, each, route, now) for each in kept]
        if telemetry.seq is not None:
            route.device.sequence.take(telemetry.stream, telemetry.seq, telemetry.oldest)
        return Entry(text, route.site, route.device, rows, letters)

    def _kept(self, text: str, payload: bytes, telemetry: Telemetry, kept: Kept, route: Route, now: UnixMs) -> DeadLetter:
        """Whole, as native telemetry."""
        code, detail = kept.problem.code, kept.problem.detail
        self._counters.refused(code)
        whole = payload if not telemetry.raw else msgspec.json.encode(Telemetry(kept.samples, source=kept.source))
        waits_for = kept.source if code == "unknown_source" else None
        site, device, topic = route.site.record.id, route.device.id, text.replace("\x00", "")[:500]
        return DeadLetter(at(now), site, device, topic, code, detail, len(whole), whole, waits_for)

    def _pass_over(self, text: str, payload: bytes, error: BadInput, route: Route, now: UnixMs) -> Entry:
        """Held under a number, this message would come again for ever, and nothing after it would ever be acked."""
        number = native.numbering(payload)
        if number is None:
            raise error
        route.device.sequence.take(number.stream, number.seq, number.oldest)
        return Entry(text, route.site, route.device, [], self._letters(text, payload, error, route, now))

    def _admit(self, route: Route, now: UnixMs) -> bool:
        """An answer is not sent again once the broker has it: a device's backlog must not keep it out."""
        if route.channel not in _ANSWERS:
            return route.device.admit(now)
        route.device.seen_at = now
        return self._orders.of(route.site.record.id, route.device).admit(now)

    def _throttle(self, route: Route, now: UnixMs) -> None:
        self._counters.throttled += 1
        if route.device.notice_due(now):
            self.throttled.append((route.site.record.id, route.device.id))

    def _refuse(self, text: str, payload: bytes, error: BadInput, route: Route | None, now: UnixMs) -> Entry:
        letters = self._letters(text, payload, error, route, now)
        return Entry(text, None if route is None else route.site, None, [], letters)

    def _letters(self, text: str, payload: bytes, error: BadInput, route: Route | None, now: UnixMs) -> list[DeadLetter]:
        """The dead letter to store, unless this device has had its share for now."""
        self._counters.refused(error.code)
        if not (self._admit_stranger(now) if route is None else route.device.admit_letter(now)):
            return []
        head = payload if error.code in _KEPT_WHOLE else payload[:DEAD_LETTER_HEAD_BYTES]
        site_id = None if route is None else route.site.record.id
        device_id = None if route is None else route.device.id
        detail = error.detail.replace("\x00", "\N{REPLACEMENT CHARACTER}")[:500]  # PostgreSQL's text holds no NUL
        return [
            DeadLetter(at(now), site_id, device_id, text.replace("\x00", "")[:500], error.code, detail, len(payload), head)
        ]

    def _admit_stranger(self, now: UnixMs) -> bool:
        return self._strangers.admit(DEAD_LETTERS_PER_DEVICE_PER_MIN / 60.0, DEAD_LETTERS_PER_DEVICE_PER_MIN, now)
