"""Which devices' silence is put down to the rollout: fleet.rollouts.silence says why not all of them."""

from collections.abc import Sequence

import structlog

from fleet.ids import DeviceId
from fleet.limits import ROLLOUT_SILENCE_LOOK_S, ROLLOUT_SILENCE_PUT_OFF_S_MAX
from fleet.rollouts.facts import gone_since
from fleet.rollouts.lifecycle import Rollout
from fleet.rollouts.silence import is_common
from fleet.storage.database import Connection
from fleet.storage.rollout_absences import absences
from fleet.storage.rollout_targets import Watched
from fleet.telemetry import UnixMs

log = structlog.get_logger("rollouts")


class Silences:
    """Of one rollout. What it remembers may get lost: then it looks once more."""

    def __init__(self) -> None:
        self._looked_at: UnixMs = 0
        self._put_off_at: UnixMs = 0

    async def put_off(
        self, connection: Connection, rollout: Rollout, silent: Sequence[Watched], now: UnixMs
    ) -> set[DeviceId]:
        """Those of the silent ones that are not counted now, but judged again."""
        since = {each.target.device: gone_since(each.target, each.facts) for each in silent}
        doubtful = {device for device, at in since.items() if now - at < ROLLOUT_SILENCE_PUT_OFF_S_MAX * 1000}
        if not doubtful:
            return set()
        if now - self._looked_at >= ROLLOUT_SILENCE_LOOK_S * 1000:
            self._looked_at = now
            found = await absences(connection, rollout, min(since[device] for device in doubtful))
            if not is_common(found):
                return set()
            log.info("silence_is_common", rollout=rollout.id, silent=len(doubtful), others_gone=found.others_gone)
        self._put_off_at = now
        return doubtful

    def is_undecided(self, now: UnixMs) -> bool:
        """Somebody's silence was put off in the last looks: until it is judged, no wave is over."""
        return now - self._put_off_at < 2 * ROLLOUT_SILENCE_LOOK_S * 1000
