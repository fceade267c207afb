"""web.ports.Twins on shards of this process, without Ray: for tests of the web with real twins behind it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from actors.shard import TwinShard
from fleet.ids import DeviceId, SiteId
from fleet.orders import CommandAnswer, CommandWish, ConfigAnswer, ConfigWish
from fleet.placement import shard_of, slot_of
from fleet.views import AlertView, ShardStats, SiteLive, SiteSummary


@dataclass
class LocalTwins:
    """shards: by number, all of them; `shards[0] = another` after one was killed."""

    shards: list[TwinShard] = field(default_factory=list)

    async def site_live(self, site: SiteId) -> SiteLive:
        return await self._shard(site).site_live(site)

    async def site_summaries(self, sites: Sequence[SiteId]) -> list[SiteSummary]:
        return [summary for site in sites for summary in await self._shard(site).site_summaries([site])]

    async def shard_stats(self) -> list[ShardStats]:
        return [await shard.stats() for shard in self.shards]

    async def acknowledge_alert(self, site: SiteId, alert_id: str, person_id: str) -> AlertView:
        return await self._shard(site).acknowledge_alert(site, alert_id, person_id)

    async def forget_site(self, site: SiteId) -> None:
        await self._shard(site).forget_site(site)

    async def place_waiting(self, site: SiteId, serial: str) -> int:
        return await self._shard(site).place_waiting(site, serial)

    async def corrected(self, site: SiteId, device: DeviceId, since: int, clock_shift_s: float = 0.0) -> None:
        await self._shard(site).corrected(site, device, since, clock_shift_s)

    async def change_configs(self, wishes: Sequence[ConfigWish]) -> list[ConfigAnswer]:
        """One shard for all, or one wish at a time."""
        if len(self.shards) == 1:
            return await self.shards[0].change_configs(wishes)
        return [answer for wish in wishes for answer in await self._shard(wish.site).change_configs([wish])]

    async def issue_commands(self, wishes: Sequence[CommandWish]) -> list[CommandAnswer]:
        if len(self.shards) == 1:
            return await self.shards[0].issue_commands(wishes)
        return [answer for wish in wishes for answer in await self._shard(wish.site).issue_commands([wish])]

    async def cancel_command(self, site: SiteId, device: DeviceId, command_id: str, person_id: str) -> None:
        await self._shard(site).cancel_command(site, device, command_id, person_id)

    async def close(self) -> None:
        pass

    def _shard(self, site: SiteId) -> TwinShard:
        return self.shards[shard_of(slot_of(site), len(self.shards))]
