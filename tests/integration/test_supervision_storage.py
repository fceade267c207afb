"""Health and alerts in a real PostgreSQL, under the roles that use them."""

from collections.abc import AsyncIterator

import pytest

from fleet.alerts import AlertEvent, AlertRaised, OpenAlerts
from fleet.detectors import Finding
from fleet.errors import NotFound
from fleet.ids import SiteId
from fleet.limits import ALERT_CLEAR_S
from fleet.storage.database import DirectConnection, connect
from fleet.storage.supervision import (
    AlertCursor,
    HealthChange,
    find_alert,
    list_alerts,
    load_health,
    load_open_alerts,
    save_alerts,
    save_health,
)
from fleet.views import AlertView, Health
from tests.servers import Database

MINE, THEIRS = SiteId("mine"), SiteId("theirs")
NOW = 1_790_000_000_123
CLEAR_MS = int(ALERT_CLEAR_S * 1000)
OUTAGE = Finding("total_outage", "", "critical", {"cause": "no_power", "pv_power_w": 0.5, "sun_elevation_deg": None})
OFFLINE = Finding("device_offline", "inv-1", "warning", {})


@pytest.fixture
async def twins(database: Database) -> AsyncIterator[DirectConnection]:
    owner = await connect(database.owner)
    await owner.execute("""
        INSERT INTO accounts.organisation (id, name, kind) VALUES ('a', 'A', 'customer'), ('b', 'B', 'customer');
        INSERT INTO accounts.person (id, organisation_id, email, name, role, password_hash)
            VALUES ('owner', 'a', 'owner@example.org', 'Owner', 'customer', '-'),
                   ('ops', 'b', 'ops@example.org', 'Ops', 'ops', '-');
        INSERT INTO registry.site (id, slot, name, latitude, longitude, peak_power_w, customer_organisation_id)
            VALUES ('mine', 1, 'Mine', 45, 5, 6000, 'a'), ('theirs', 2, 'Theirs', 45, 5, 6000, 'b');
    """)
    await owner.close()
    connection = await connect(database.sp_twins)
    yield connection
    await connection.close()


@pytest.fixture
async def web(database: Database, twins: DirectConnection) -> AsyncIterator[DirectConnection]:
    connection = await connect(database.sp_web)
    yield connection
    await connection.close()


async def act_as(web: DirectConnection, person: str) -> None:
    await web.execute("SELECT set_config('sp.person_id', $1, false)", person)


async def listed(web: DirectConnection, **filters: object) -> list[AlertView]:
    given = {"state": None, "severity": None, "site": None, "limit": 50, "cursor": None} | filters
    return (await list_alerts(web, **given))[0]  # type: ignore[arg-type]


def raised(site: SiteId, *findings: Finding, now: int = NOW) -> tuple[OpenAlerts, list[AlertEvent]]:
    alerts = OpenAlerts(site)
    return alerts, alerts.evaluate(findings, now)


async def test_open_alerts_come_back_as_they_were(twins: DirectConnection) -> None:
    mine, events = raised(MINE, OUTAGE, OFFLINE)
    mine_acked = mine.acknowledgement(events[1].alert.id, "ops", NOW + 1)
    mine.acknowledge(mine_acked)
    theirs, more = raised(THEIRS, OUTAGE)
    await save_alerts(twins, [*events, mine_acked, *more])
    loaded = await load_open_alerts(twins, [MINE, THEIRS, SiteId("none")])
    assert {site: sorted(alerts, key=lambda alert: alert.rule) for site, alerts in loaded.items()} == {
        MINE: sorted(mine.open, key=lambda alert: alert.rule),
        THEIRS: theirs.open,
    }


async def test_an_alerts_whole_life_in_one_batch(twins: DirectConnection) -> None:
    alerts, events = raised(MINE, OUTAGE)
    events = [
        *events,
        *alerts.evaluate([], NOW),
        *alerts.evaluate([], NOW + CLEAR_MS),
        *alerts.evaluate([OUTAGE], NOW + CLEAR_MS + 1),
    ]
    assert len(events) == 3
    await save_alerts(twins, events)
    await save_alerts(twins, events)  # as after a commit whose answer was lost
    assert await load_open_alerts(twins, [MINE]) == {MINE: alerts.open}
    assert await twins.fetchval("SELECT count(*) FROM supervision.alert WHERE resolved_at IS NOT NULL") == 1


async def test_saving_again_after_a_failed_answer_changes_nothing(twins: DirectConnection) -> None:
    _, events = raised(MINE, OUTAGE, OFFLINE)
    await save_alerts(twins, events)
    before = await twins.fetch("SELECT * FROM supervision.alert ORDER BY id")
    await save_alerts(twins, events)
    assert await twins.fetch("SELECT * FROM supervision.alert ORDER BY id") == before


async def test_an_alert_left_open_gives_way_to_its_successor(twins: DirectConnection) -> None:
    await save_alerts(twins, raised(MINE, OUTAGE)[1])
    forgetful, events = raised(MINE, OUTAGE, now=NOW + 1000)
    await save_alerts(twins, events)
    assert await load_open_alerts(twins, [MINE]) == {MINE: forgetful.open}


@pytest.mark.parametrize("acknowledged_first", [True, False])
async def test_acknowledging_and_resolving_at_once_keeps_both(twins: DirectConnection, acknowledged_first: bool) -> None:
    alerts, events = raised(MINE, OUTAGE)
    await save_alerts(twins, events)
    acknowledged = [alerts.acknowledgement(events[0].alert.id, "ops", NOW + 1)]
    resolved = [
        *alerts.evaluate([], NOW),
        *alerts.evaluate([], NOW + CLEAR_MS),
        *alerts.evaluate([OUTAGE], NOW + CLEAR_MS + 1),
    ]
    for batch in (acknowledged, resolved) if acknowledged_first else (resolved, acknowledged):
        await save_alerts(twins, batch)
    stored = await find_alert(twins, events[0].alert.id)
    assert (stored.acked_at, stored.acked_by, stored.resolved_at) == (NOW + 1, "ops", NOW + CLEAR_MS)
    assert await load_open_alerts(twins, [MINE]) == {MINE: alerts.open}


async def test_nothing_to_save_is_no_statement(twins: DirectConnection) -> None:
    await save_alerts(twins, [])
    await save_health(twins, [])
    assert await load_open_alerts(twins, []) == {}


async def test_health_keeps_the_last_change(twins: DirectConnection) -> None:
    first, last, site = (
        Health("offline", NOW, "silent"),
        Health("ok", NOW + 5, "reporting"),
        Health("offline", NOW, "silent:inv-1"),
    )
    await save_health(
        twins, [HealthChange(MINE, "inv-1", first), HealthChange(MINE, "", site), HealthChange(MINE, "inv-1", last)]
    )
    assert await load_health(twins, [MINE, THEIRS]) == {MINE: {"inv-1": last, "": site}}
    await save_health(twins, [HealthChange(MINE, "inv-1", first)])
    assert (await load_health(twins, [MINE]))[MINE]["inv-1"] == first


async def test_alerts_are_filtered(twins: DirectConnection, web: DirectConnection) -> None:
    mine, events = raised(MINE, OUTAGE, OFFLINE)
    events.append(mine.acknowledgement(events[0].alert.id, "ops", NOW + 1))
    theirs, more = raised(THEIRS, OFFLINE)
    theirs.evaluate([], NOW)
    await save_alerts(twins, [*events, *more, *theirs.evaluate([], NOW + CLEAR_MS)])
    await act_as(web, "ops")
    assert len(await listed(web)) == 3
    assert {alert.site for alert in await listed(web, state="open")} == {MINE}
    assert [alert.rule for alert in await listed(web, state="acknowledged")] == ["total_outage"]
    assert [alert.rule for alert in await listed(web, state="raised")] == ["device_offline"]
    assert [alert.site for alert in await listed(web, state="resolved")] == [THEIRS]
    assert [alert.rule for alert in await listed(web, severity="critical")] == ["total_outage"]
    assert [alert.site for alert in await listed(web, site=THEIRS)] == [THEIRS]


async def test_a_customer_sees_the_alerts_of_own_sites_only(twins: DirectConnection, web: DirectConnection) -> None:
    _, mine = raised(MINE, OUTAGE)
    _, theirs = raised(THEIRS, OUTAGE)
    await save_alerts(twins, [*mine, *theirs])
    assert await listed(web) == []
    await act_as(web, "owner")
    assert await listed(web) == [mine[0].alert]
    assert await listed(web, site=THEIRS) == []
    assert await find_alert(web, mine[0].alert.id) == mine[0].alert
    with pytest.raises(NotFound):
        await find_alert(web, theirs[0].alert.id)


async def test_pages_hold_each_alert_once_also_of_one_instant(twins: DirectConnection, web: DirectConnection) -> None:
    alerts = OpenAlerts(MINE)
    events = alerts.evaluate([Finding("device_offline", f"d-{number}", "info", {}) for number in range(25)], NOW)
    await save_alerts(twins, events)
    await act_as(web, "ops")
    seen: list[AlertView] = []
    cursor: AlertCursor | None = None
    while True:
        page, cursor = await list_alerts(web, state="open", severity=None, site=None, limit=7, cursor=cursor)
        seen += page
        if not seen[7:]:  # what is raised meanwhile does not shift the pages
            await save_alerts(twins, [AlertRaised(AlertView("newest", MINE, "", "total_outage", "critical", NOW + 9))])
        if cursor is None:
            break
    assert sorted(alert.id for alert in seen) == sorted(event.alert.id for event in events)
