"""The open alerts of one site: raised once, acknowledged by a person, resolved by themselves."""

from collections.abc import Collection, Iterable
from hashlib import blake2b
from typing import Final, Literal

import msgspec

from fleet.detectors import RULES, Finding, Key
from fleet.errors import Conflict
from fleet.ids import SiteId
from fleet.limits import ALERT_CLEAR_MAX_S, ALERT_CLEAR_S, ALERT_RECUR_S
from fleet.telemetry import UnixMs
from fleet.views import AlertState, AlertView

Move = Literal["acknowledge", "resolve"]

MOVES: Final[dict[tuple[AlertState, Move], AlertState]] = {
    ("raised", "acknowledge"): "acknowledged",
    ("raised", "resolve"): "resolved",
    ("acknowledged", "resolve"): "resolved",
}


class AlertRaised(msgspec.Struct, frozen=True):
    alert: AlertView


class AlertAcknowledged(msgspec.Struct, frozen=True):
    alert: AlertView


class AlertResolved(msgspec.Struct, frozen=True):
    alert: AlertView


AlertEvent = AlertRaised | AlertAcknowledged | AlertResolved


def state_of(alert: AlertView) -> AlertState:
    if alert.resolved_at is not None:
        return "resolved"
    return "raised" if alert.acked_at is None else "acknowledged"


def alert_id(site: SiteId, key: Key, raised_at: UnixMs) -> str:
    """The same for the same alert, so that storing it twice stores it once."""
    return blake2b("\n".join((site, *key, str(raised_at))).encode(), digest_size=12).hexdigest()


class OpenAlerts:
    """One per site. Made from the stored open alerts, it goes on where it stopped.

    A finding that flaps is told less and less often: each time it returns within ALERT_RECUR_S of its resolution, it has to
    stay away twice as long (up to ALERT_CLEAR_MAX_S) before its alert resolves again. A restart forgets that.
    """

    __slots__ = ("_open", "_recent", "_site")

    def __init__(self, site: SiteId, stored: Iterable[AlertView] = ()) -> None:
        self._site = site
        self._open = {(alert.rule, alert.device): _Open(alert, _clear_s(alert.rule)) for alert in stored}
        self._recent: dict[Key, _Resolved] = {}

    @property
    def open(self) -> list[AlertView]:
        return [entry.alert for entry in self._open.values()]

    @property
    def keys(self) -> Collection[Key]:
        """What is alerted already: `SiteFacts.open`."""
        return self._open.keys()

    def evaluate(self, findings: Iterable[Finding], now: UnixMs) -> list[AlertEvent]:
        """Raises what is new, resolves what stayed away for its time. `findings`: all of the site, from `detect`."""
        events: list[AlertEvent] = []
        present = set()
        for finding in findings:
            present.add(finding.key)
            if finding.key not in self._open and finding.raises:
                events.append(self._raise(finding, now))
        for key, entry in list(self._open.items()):
            if key in present:
                entry.absent_since = None
            elif entry.absent_since is None:
                entry.absent_since = now
            elif now - entry.absent_since >= entry.clear_s * 1000:
                events.append(self._resolve(key, entry, now))
        return events

    def acknowledgement(self, alert: str, person_id: str, now: UnixMs) -> AlertAcknowledged:
        """What acknowledging comes to; nothing changes before `acknowledge` is told that it is stored.

        Raises Conflict (alert_not_open, alert_move).
        """
        for entry in self._open.values():
            if entry.alert.id == alert:
                _check_move(entry.alert, "acknowledge")
                return AlertAcknowledged(msgspec.structs.replace(entry.alert, acked_at=now, acked_by=person_id))
        raise Conflict("alert_not_open", f"alert {alert} is not open at site {self._site}")

    def acknowledge(self, event: AlertAcknowledged) -> None:
        """An alert that has resolved meanwhile stays resolved."""
        for entry in self._open.values():
            if entry.alert.id == event.alert.id:
                entry.alert = event.alert

    def _raise(self, finding: Finding, now: UnixMs) -> AlertRaised:
        key = finding.key
        self._recent = {key: last for key, last in self._recent.items() if now - last.at < ALERT_RECUR_S * 1000}
        clear_s = _clear_s(finding.rule)
        if key in self._recent:
            clear_s = max(clear_s, min(self._recent[key].clear_s * 2, ALERT_CLEAR_MAX_S))
        raised = AlertView(
            id=alert_id(self._site, key, now),
            site=self._site,
            device=finding.device,
            rule=finding.rule,
            severity=finding.severity,
            raised_at=now,
            evidence=finding.evidence,
        )
        self._open[key] = _Open(raised, clear_s)
        return AlertRaised(raised)

    def _resolve(self, key: Key, entry: "_Open", now: UnixMs) -> AlertResolved:
        _check_move(entry.alert, "resolve")
        del self._open[key]
        self._recent[key] = _Resolved(now, entry.clear_s)
        return AlertResolved(msgspec.structs.replace(entry.alert, resolved_at=now))


class _Open(msgspec.Struct):
    alert: AlertView
    clear_s: float
    absent_since: UnixMs | None = None


class _Resolved(msgspec.Struct, frozen=True):
    at: UnixMs
    clear_s: float


def _clear_s(rule: str) -> float:
    """A stored alert may be of a rule that this version does not have any more; then it resolves soon."""
    return RULES[rule].clear_s if rule in RULES else ALERT_CLEAR_S


def _check_move(alert: AlertView, move: Move) -> None:
    if (state_of(alert), move) not in MOVES:
        raise Conflict("alert_move", f"alert {alert.id} is {state_of(alert)}; it cannot {move}")
