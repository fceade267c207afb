"""What a shard tells the world: platform acks, requests to slow down, and the live view of changed sites.

All of it is cumulative or replaced by the next one, so it is sent once (QoS 0) and never queued for somebody absent.
"""

import asyncio
from collections.abc import Iterable

import msgspec

from actors.batch import Entry
from actors.catalog import Catalog
from actors.clock import now_ms
from actors.counters import Counters
from actors.intake import Intake
from actors.manual_ack import ManualAckSession
from fleet import topics
from fleet.ids import DeviceId, SiteId
from fleet.limits import DEVICE_MESSAGES_PER_S, LIVE_PERIOD_S, LIVE_SITES_PER_S, SLICE_PUBLISHES_MAX
from fleet.telemetry import PlatformAck, RateNotice

_encoder = msgspec.json.Encoder()


class Feeds:
    def __init__(self, catalog: Catalog, intake: Intake, counters: Counters) -> None:
        self._catalog = catalog
        self._intake = intake
        self._counters = counters
        self._due: dict[DeviceId, tuple[SiteId, PlatformAck]] = {}

    def stored(self, entries: Iterable[Entry]) -> None:
        """These messages are committed: from now on their senders may be told so.

        Called before the next batch reaches the twins, so a sequence number here never covers an uncommitted message.
        """
        for entry in entries:
            if entry.sender is not None and entry.site is not None:
                entry.sender.note_stored()
                sequence = entry.sender.sequence
                self._due[entry.sender.id] = (entry.site.record.id, PlatformAck(sequence.stored, sequence.stored_stream))

    async def publish_acks(self, session: ManualAckSession) -> None:
        due, self._due = self._due, {}
        for sent, (device, (site, ack)) in enumerate(due.items()):
            session.publish(topics.down(site, device).ack, _encoder.encode(ack))
            if sent % SLICE_PUBLISHES_MAX == 0:
                await asyncio.sleep(0)
        self._counters.platform_acks += len(due)
        throttled, self._intake.throttled = self._intake.throttled, []
        for site, device in throttled:
            session.publish(topics.down(site, device).rate, _encoder.encode(RateNotice(1.0 / DEVICE_MESSAGES_PER_S)))

    async def publish_live(self, session: ManualAckSession) -> None:
        """At most LIVE_SITES_PER_S a second; the sites that wait longest come first."""
        changed = self._intake.changed
        for sent in range(min(len(changed), round(LIVE_SITES_PER_S * LIVE_PERIOD_S))):
            site = next(iter(changed), None)
            if site is None:
                return
            twin = changed.pop(site)
            session.publish(topics.live(site), _encoder.encode(twin.live(now_ms())))
            if sent % SLICE_PUBLISHES_MAX == 0:
                await asyncio.sleep(0)
