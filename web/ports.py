"""What the web needs of the twins: actors.client.Twins is one, a test's own another."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from fleet.ids import DeviceId, SiteId
from fleet.orders import CommandAnswer, CommandWish, ConfigAnswer, ConfigWish
from fleet.telemetry import UnixMs
from fleet.views import AlertView, ShardStats, SiteLive, SiteSummary


class Twins(Protocol):
    """Every call raises Unavailable when the twin's shard does not answer in time."""

    async def site_live(self, site: SiteId) -> SiteLive:
        """Raises NotFound."""
        ...

    async def site_summaries(self, sites: Sequence[SiteId]) -> list[SiteSummary]:
        """Sites that no shard knows are left out."""
        ...

    async def shard_stats(self) -> list[ShardStats]: ...

    async def acknowledge_alert(self, site: SiteId, alert_id: str, person_id: str) -> AlertView:
        """Raises NotFound, Conflict."""
        ...

    async def forget_site(self, site: SiteId) -> None: ...

    async def place_waiting(self, site: SiteId, serial: str) -> int:
        """What was kept for this serial becomes samples of the device that has it now. Raises NotFound."""
        ...

    async def corrected(self, site: SiteId, device: DeviceId, since: UnixMs, clock_shift_s: float = 0.0) -> None:
        """After a correction or a replacement was stored or undone; today's energy counts it when this returns.

        since: from when on it counts. clock_shift_s: by how much a clock correction moves (undone: moved) times. Twice
        changes nothing. Raises NotFound.
        """
        ...

    async def change_configs(self, wishes: Sequence[ConfigWish]) -> list[ConfigAnswer]:
        """Each stored, with its receipt, when this returns, and sent if the device is there; one answer a wish, in order."""
        ...

    async def issue_commands(self, wishes: Sequence[CommandWish]) -> list[CommandAnswer]:
        """As above. The same key again is the same command, not a second one."""
        ...

    async def cancel_command(self, site: SiteId, device: DeviceId, command_id: str, person_id: str) -> None:
        """Raises NotFound (unknown_command_id), Conflict (illegal_move) once it was sent."""
        ...

    async def close(self) -> None: ...


ConnectTwins = Callable[[], Awaitable[Twins]]  # raises Unavailable


class Follower(Protocol):
    """What traces requests: fleet.runtime.tracing.Tracing, which nobody imports who is not told to."""

    def request(self, method: str, request_id: str) -> AbstractContextManager[Any]:
        """Around one request; yields its OpenTelemetry span."""
