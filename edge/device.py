"""A simulated device: what its model would show, under its faults, through its spool, over its own connection."""

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from edge.channels import DeviceModel
from edge.curtailment import Curtailment
from edge.faults import FaultLabel, transform
from edge.limits import RATE_NOTICE_LASTS_S
from edge.link import Link
from edge.obedience import Obedience
from edge.outbox import Outbox
from fleet.telemetry import RateNotice, Sample, UnixMs

FIRMWARE = "1.0.0"


class Device:
    """Reports when told to. The simulator keeps the time."""

    def __init__(
        self,
        model: DeviceModel,
        outbox: Outbox,
        link: Link,
        labels: Sequence[FaultLabel],
        *,
        interval_s: float,
        monotonic: Callable[[], float],
        curtailment: Curtailment | None = None,
        obedience: Obedience | None = None,
        seed: int = 0,
    ) -> None:
        self.outbox = outbox
        self.link = link
        self.unsent = False  # something was measured since the last pump
        self.repaced = asyncio.Event()  # it shall report at another pace than before
        self._model = model
        self._labels = [label for label in labels if label.concerns(model.site.id, model.profile.kind)]
        self._interval_s = interval_s
        self._curtailment = curtailment
        self._obedience = obedience
        self._seed = seed
        self._monotonic = monotonic
        if obedience is not None:
            obedience.on_pace = self.repaced.set
            obedience.measure = self._measured
        self._slow_interval_s = 0.0
        self._slow_until = 0.0
        self._last_at: UnixMs = 0
        self._remembered: dict[UnixMs, Sample] = {}
        outbox.on_rate = self._slow_down

    @property
    def interval_s(self) -> float:
        """Time between two reports: as it was told to, or the profile's; with regard to the platform's latest request."""
        told_s = self._obedience.interval_s if self._obedience is not None else None
        own_s = self._interval_s if told_s is None else told_s
        return max(own_s, self._slow_interval_s) if self._monotonic() < self._slow_until else own_s

    def report(self, now: UnixMs) -> None:
        """Measures and holds one sample. Two reports never carry the same time, whatever the clock does."""
        at = self._last_at = max(now, self._last_at + 1)
        self.outbox.offer(msgspec.json.encode([self._measured(at)]))
        if self._obedience is not None:
            self._obedience.keep_withheld()
        self.unsent = True

    def pump(self) -> None:
        """To be called once the spool has committed."""
        if self.unsent:
            self.unsent = False
            self.outbox.pump()

    def sweep(self, now: UnixMs) -> None:
        """Call every few seconds: cuts or allows the connection as the faults say, sends again what got lost."""
        self.link.hold(any(label.kind == "comms_loss" and label.active(now) for label in self._labels))
        self.outbox.check()
        if self._obedience is not None:
            for label in self._labels:
                if label.kind == "local_change" and label.active(now):
                    self._obedience.change_on_site(label.from_at, self._seed)
            self._obedience.sweep()

    # Called by the session

    def ready(self) -> None:
        self.outbox.ready()
        if self._obedience is not None:
            self._obedience.ready()

    def room_again(self) -> None:
        self.outbox.room_again()

    def message(self, topic: str, payload: bytes) -> None:
        if self._obedience is None or not self._obedience.message(topic, payload):
            self.outbox.message(topic, payload)

    def _measured(self, at: UnixMs) -> Sample:
        return transform(self._labels, self._read, at) if self._labels else self._model.sample(at, self._curtailment)

    def _read(self, at: UnixMs) -> Sample:
        """Faults compare with their first and last moment, over and over: those are remembered."""
        fixed = any(at in (label.from_at, label.until_at) for label in self._labels)
        if not fixed:
            return self._model.sample(at, self._curtailment)
        if at not in self._remembered:
            self._remembered[at] = self._model.sample(at, self._curtailment)
        return self._remembered[at]

    def _slow_down(self, notice: RateNotice) -> None:
        self._slow_interval_s = notice.min_interval_s
        self._slow_until = self._monotonic() + RATE_NOTICE_LASTS_S
