import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.alerts import AlertAcknowledged, AlertRaised, AlertResolved, OpenAlerts, alert_id, state_of
from fleet.detectors import Finding
from fleet.errors import Conflict
from fleet.ids import SiteId
from fleet.limits import ALERT_CLEAR_MAX_S, ALERT_CLEAR_S
from fleet.views import AlertView

SITE = SiteId("site-1")
NOW = 1_790_000_000_000
CLEAR_MS = int(ALERT_CLEAR_S * 1000)
OFFLINE = Finding("device_offline", "inv-1", "warning", {"reason": "silent"})
OTHER = Finding("device_offline", "meter-1", "warning", {})
UNJUDGED = Finding("total_outage", "", "info", {}, raises=False)


def raised(alerts: OpenAlerts, now: int = NOW) -> AlertView:
    (event,) = alerts.evaluate([OFFLINE], now)
    assert isinstance(event, AlertRaised)
    return event.alert


def test_a_finding_raises_one_alert_however_long_it_stays() -> None:
    alerts = OpenAlerts(SITE)
    alert = raised(alerts)
    assert (alert.site, alert.device, alert.rule, alert.severity) == (SITE, "inv-1", "device_offline", "warning")
    assert (alert.raised_at, alert.evidence, state_of(alert)) == (NOW, {"reason": "silent"}, "raised")
    for second in range(100):
        assert alerts.evaluate([OFFLINE], NOW + second * 1000) == []
    assert alerts.open == [alert]


def test_it_resolves_after_its_finding_stayed_away() -> None:
    alerts = OpenAlerts(SITE)
    alert = raised(alerts)
    assert alerts.evaluate([], NOW + 1000) == []
    assert alerts.evaluate([], NOW + 1000 + CLEAR_MS - 1) == []
    (event,) = alerts.evaluate([], NOW + 1000 + CLEAR_MS)
    assert isinstance(event, AlertResolved)
    assert event.alert.id == alert.id
    assert state_of(event.alert) == "resolved"
    assert alerts.open == []


def test_a_finding_that_returns_in_time_keeps_its_alert() -> None:
    alerts = OpenAlerts(SITE)
    raised(alerts)
    for step in range(20):
        assert alerts.evaluate([OFFLINE] if step % 2 else [], NOW + step * (CLEAR_MS - 1)) == []


def test_findings_are_told_apart_by_device() -> None:
    alerts = OpenAlerts(SITE)
    raised(alerts)
    (event,) = alerts.evaluate([OFFLINE, OTHER], NOW + 1)
    assert event.alert.device == "meter-1"
    assert len(alerts.open) == 2


def test_what_cannot_be_judged_raises_nothing_and_resolves_nothing() -> None:
    stored = AlertView("a1", SITE, "", "total_outage", "critical", NOW)
    assert OpenAlerts(SITE).evaluate([UNJUDGED], NOW) == []
    alerts = OpenAlerts(SITE, [stored])
    for hour in range(14):
        assert alerts.evaluate([UNJUDGED], NOW + hour * 3_600_000) == []
    assert alerts.open == [stored]


def test_a_restart_goes_on_where_it_stopped() -> None:
    before = OpenAlerts(SITE)
    alert = raised(before)
    before.acknowledge(before.acknowledgement(alert.id, "ops-1", NOW + 1))
    after = OpenAlerts(SITE, before.open)
    assert after.evaluate([OFFLINE], NOW + 2) == []
    assert after.open == before.open
    assert after.evaluate([], NOW + 3) == []
    (event,) = after.evaluate([], NOW + 3 + CLEAR_MS)
    assert (event.alert.id, event.alert.acked_by) == (alert.id, "ops-1")


def test_a_stored_alert_of_a_rule_that_is_gone_resolves() -> None:
    alerts = OpenAlerts(SITE, [AlertView("a1", SITE, "", "rule_of_old", "info", NOW)])
    assert alerts.evaluate([], NOW) == []
    (event,) = alerts.evaluate([], NOW + CLEAR_MS)
    assert isinstance(event, AlertResolved)


def test_acknowledging() -> None:
    alerts = OpenAlerts(SITE)
    alert = raised(alerts)
    event = alerts.acknowledgement(alert.id, "ops-1", NOW + 5)
    assert isinstance(event, AlertAcknowledged)
    assert alerts.open == [alert]  # until it is stored
    alerts.acknowledge(event)
    assert (event.alert.acked_at, event.alert.acked_by, state_of(event.alert)) == (NOW + 5, "ops-1", "acknowledged")
    assert alerts.open == [event.alert]


def test_an_illegal_move_is_refused_and_changes_nothing() -> None:
    alerts = OpenAlerts(SITE)
    alert = raised(alerts)
    alerts.acknowledge(alerts.acknowledgement(alert.id, "ops-1", NOW + 5))
    before = alerts.open
    with pytest.raises(Conflict):
        alerts.acknowledgement(alert.id, "ops-2", NOW + 6)
    with pytest.raises(Conflict):
        alerts.acknowledgement("unheard-of", "ops-2", NOW + 6)
    assert alerts.open == before


def test_a_resolved_alert_cannot_be_acknowledged() -> None:
    alerts = OpenAlerts(SITE)
    alert = raised(alerts)
    alerts.evaluate([], NOW)
    alerts.evaluate([], NOW + CLEAR_MS)
    with pytest.raises(Conflict):
        alerts.acknowledgement(alert.id, "ops-1", NOW + CLEAR_MS)


def test_an_alert_that_resolves_while_its_acknowledgement_is_stored_stays_resolved() -> None:
    alerts = OpenAlerts(SITE)
    event = alerts.acknowledgement(raised(alerts).id, "ops-1", NOW)
    alerts.evaluate([], NOW)
    alerts.evaluate([], NOW + CLEAR_MS)
    alerts.acknowledge(event)
    assert alerts.open == []


def test_the_same_alert_has_the_same_id_everywhere() -> None:
    assert raised(OpenAlerts(SITE)).id == raised(OpenAlerts(SITE)).id == alert_id(SITE, OFFLINE.key, NOW)
    assert raised(OpenAlerts(SITE), NOW + 1).id != alert_id(SITE, OFFLINE.key, NOW)


@given(st.lists(st.integers(5, 1_800), min_size=20, max_size=300))
def test_a_flapping_finding_does_not_flood(spells_s: list[int]) -> None:
    """A finding that keeps coming back within the hour is, after a warm-up, raised at most once an hour."""
    alerts, now, raises = OpenAlerts(SITE), NOW, []
    for number, spell_s in enumerate(spells_s):
        for _ in range(0, spell_s, 5):
            now += 5_000
            events = alerts.evaluate([OFFLINE] if number % 2 == 0 else [], now)
            raises += [now for event in events if isinstance(event, AlertRaised)]
    hours = (now - NOW) / 3_600_000
    doublings = 5  # from ALERT_CLEAR_S to ALERT_CLEAR_MAX_S
    assert ALERT_CLEAR_S * 2**doublings >= ALERT_CLEAR_MAX_S
    assert len(raises) <= doublings + 1 + hours


@given(st.lists(st.sets(st.sampled_from([OFFLINE.key, OTHER.key])), max_size=200), st.integers(0, 199))
def test_a_restart_at_any_time_raises_nothing_twice(present: list[set[tuple[str, str]]], restart_at: int) -> None:
    alerts, open_ids = OpenAlerts(SITE), set[str]()
    for number, keys in enumerate(present):
        if number == restart_at:
            alerts = OpenAlerts(SITE, alerts.open)
        findings = [finding for finding in (OFFLINE, OTHER) if finding.key in keys]
        for event in alerts.evaluate(findings, NOW + number * 10_000):
            if isinstance(event, AlertRaised):
                assert event.alert.id not in open_ids
                open_ids.add(event.alert.id)
            else:
                open_ids.remove(event.alert.id)
        assert {alert.id for alert in alerts.open} == open_ids
        assert {(alert.rule, alert.device) for alert in alerts.open} >= keys
