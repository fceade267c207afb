"""What the API tells of sites, devices, energy, alerts and the fleet."""

import csv
import io
from datetime import date

from fleet.calendar import day_bounds, quarter_starts
from fleet.energy.day import Recomputed, SiteDay
from fleet.measures import REGISTERS
from fleet.placement import slot_of
from fleet.profiles import shipped
from fleet.storage import audit
from fleet.storage.database import connect
from fleet.storage.energy import save_days
from fleet.views import AlertView
from tests.web_app import ALPHA, ALPHA_METER, BASE_URL, NOW, Web

ZONE = "Europe/Paris"


async def test_lists_are_walked_page_by_page_without_gap_or_repeat(web: Web) -> None:
    names = ["B", "A", "A", "é", "a", "Zz", "10", "9"]
    for number, name in enumerate(names):
        await web.execute(
            "INSERT INTO registry.site (id, slot, name, latitude, longitude, peak_power_w, customer_organisation_id)"
            " VALUES ($1, $2, $3, 45, 5, 0, 'beta')",
            f"more-{number}",
            slot_of(ALPHA),
            name,
        )
    headers = await web.token("otto@example.org")
    found: list[str] = []
    cursor = None
    while True:
        parameters = {"limit": "3"} | ({"cursor": cursor} if cursor else {})
        page = (await web.client.get("/api/v1/sites", params=parameters, headers=headers)).json()
        assert len(page["items"]) <= 3
        found += [site["id"] for site in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(found) == len(set(found)) == len(names) + 2


async def test_a_search_takes_signs_of_the_pattern_language_literally(web: Web) -> None:
    headers = await web.token("otto@example.org")

    async def search(text: str) -> list[str]:
        answer = await web.client.get("/api/v1/sites", params={"q": text}, headers=headers)
        return [site["name"] for site in answer.json()["items"]]

    assert await search("mair") == ["Mairie"]
    assert await search("%") == []
    assert await search("_") == []
    assert await search("\\") == []
    assert await search("beta") == ["École"]


async def test_a_site_changes_by_its_installer_and_its_twin_is_told(web: Web) -> None:
    headers = await web.token("ines@example.org")
    answer = await web.client.patch(f"/api/v1/sites/{ALPHA}", json={"name": "Mairie, toit sud"}, headers=headers)
    assert (answer.status_code, answer.json()["name"], answer.json()["peak_power_w"]) == (200, "Mairie, toit sud", 9_000)
    assert web.twins.forgotten == [ALPHA]
    (entry,) = await web.execute("SELECT person_id, subject, detail FROM audit.entry WHERE action = 'site.change'")
    assert tuple(entry) == ("ines", ALPHA, {"name": "Mairie, toit sud"})


async def test_devices_tell_what_was_last_heard_of_them(web: Web) -> None:
    headers = await web.token("alice@example.org")
    path = f"/api/v1/sites/{ALPHA}/devices"
    (silent,) = (await web.client.get(path, headers=headers)).json()["items"]
    assert (silent["kind"], silent["online"], silent["readings"]) == ("meter", False, {})
    assert silent["health"]["status"] == "unknown"
    await web.execute(
        "INSERT INTO telemetry.device_latest (site_id, device_id, seen_at, sample_time, readings, online, info)"
        ' VALUES ($1, $2, to_timestamp(1763800000), to_timestamp(1763799990), $3, true, \'{"firmware": "1.2"}\')',
        ALPHA,
        ALPHA_METER,
        [-500.0, None, 12.5],
    )
    await web.execute(
        "INSERT INTO supervision.health VALUES ($1, $2, 'ok', to_timestamp(1763700000), 'reporting')", ALPHA, ALPHA_METER
    )
    (heard,) = (await web.client.get(path, headers=headers)).json()["items"]
    channels = meter_channels()
    assert heard["readings"] == {channels[0]: -500.0, channels[2]: 12.5}
    assert (heard["online"], heard["seen_at"], heard["sample_at"]) == (True, 1_763_800_000_000, 1_763_799_990_000)
    assert heard["health"] == {"status": "ok", "since": 1_763_700_000_000, "reason": "reporting"}
    assert heard["info"] == {"firmware": "1.2"}
    assert (await web.client.get(f"/api/v1/devices/{ALPHA_METER}", headers=headers)).json() == heard


async def test_samples_come_as_they_were_sent_in_pages(web: Web) -> None:
    start, end = day_bounds(date(2026, 11, 22), ZONE)
    for day in (date(2026, 11, 21), date(2026, 11, 22)):
        await web.execute("SELECT telemetry.create_sample_partition($1)", day)
    times = [start - 1, start, start + 1_000, start + 2_000, end - 1, end]
    for at in times:
        await web.execute(
            "INSERT INTO telemetry.sample VALUES ($1, $2, to_timestamp($3::float8 / 1000), now(), $4)",
            ALPHA,
            ALPHA_METER,
            at,
            [float(at % 7), None],
        )
    headers = await web.token("alice@example.org")
    path = f"/api/v1/devices/{ALPHA_METER}/samples"
    parameters = {"from": "2026-11-22", "to": "2026-11-23", "limit": "3"}
    first = (await web.client.get(path, params=parameters, headers=headers)).json()
    assert [sample["t"] for sample in first["items"]] == times[1:4]
    assert first["items"][0]["v"] == {meter_channels()[0]: float(start % 7)}
    rest = (await web.client.get(path, params={**parameters, "cursor": first["next_cursor"]}, headers=headers)).json()
    assert ([sample["t"] for sample in rest["items"]], rest["next_cursor"]) == ([end - 1], None)


async def test_energy_of_the_day_the_clock_goes_back(web: Web) -> None:
    day = date(2026, 10, 25)
    await store_day(web, day, wh_per_quarter=100.0)
    headers = await web.token("alice@example.org")
    path = f"/api/v1/sites/{ALPHA}/energy"
    range_ = {"from": "2026-10-25", "to": "2026-10-26"}
    quarters = (await web.client.get(path, params={**range_, "step": "15m"}, headers=headers)).json()
    assert len(quarters["steps"]) == 100
    assert quarters["timezone"] == ZONE
    whole = (await web.client.get(path, params={**range_, "step": "1d"}, headers=headers)).json()
    (step,) = whole["steps"]
    assert step["registers"] == {"pv_energy_wh": 10_000.0, "import_energy_wh": 10_000.0}
    assert (step["start"], step["end"]) == day_bounds(day, ZONE)
    assert dict(zip(whole["quality_order"], step["quality"], strict=True)) == {
        "missing": 0, "measured": 100, "estimated": 0, "corrected": 0,
    }  # fmt: skip
    year = (
        await web.client.get(path, params={"from": "2026-01-01", "to": "2027-01-01", "step": "1mo"}, headers=headers)
    ).json()
    assert len(year["steps"]) == 12
    assert sum(entry["registers"]["pv_energy_wh"] or 0 for entry in year["steps"]) == 10_000.0


async def test_energy_as_a_table_for_spreadsheets(web: Web) -> None:
    await store_day(web, date(2026, 10, 25), wh_per_quarter=100.0)
    headers = await web.token("alice@example.org")
    parameters = {"from": "2026-10-25", "to": "2026-10-26", "step": "1h", "format": "csv"}
    answer = await web.client.get(f"/api/v1/sites/{ALPHA}/energy", params=parameters, headers=headers)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="site-alpha-2026-10-25-1h.csv"'
    header, *rows = csv.reader(io.StringIO(answer.content.decode("utf-8-sig")))
    assert header == ["start", "end", *REGISTERS, "missing", "measured", "estimated", "corrected"]
    assert len(rows) == 25
    assert [row[0] for row in rows[2:4]] == ["2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00"]
    assert rows[0][2:5] == ["400", "400", ""]


async def test_an_alert_is_acknowledged_by_its_twin_and_audited(web: Web) -> None:
    await web.execute(
        "INSERT INTO supervision.alert (id, site_id, device_id, rule, severity, raised_at) VALUES"
        " ('a1', $1, $2, 'offline', 'warning', to_timestamp(1763800000)),"
        " ('a2', $1, '', 'outage', 'critical', to_timestamp(1763900000))",
        ALPHA,
        ALPHA_METER,
    )
    web.twins.alerts["a1"] = AlertView("a1", ALPHA, ALPHA_METER, "offline", "warning", NOW)
    headers = await web.token("alice@example.org")
    listed = (await web.client.get("/api/v1/alerts", params={"state": "open", "limit": "1"}, headers=headers)).json()
    assert [alert["id"] for alert in listed["items"]] == ["a2"]
    older = await web.client.get("/api/v1/alerts", params={"cursor": listed["next_cursor"]}, headers=headers)
    assert [alert["id"] for alert in older.json()["items"]] == ["a1"]
    warnings = await web.client.get("/api/v1/alerts", params={"severity": "warning"}, headers=headers)
    assert [alert["id"] for alert in warnings.json()["items"]] == ["a1"]
    acknowledged = await web.client.post("/api/v1/alerts/a1/ack", headers=headers)
    assert (acknowledged.status_code, acknowledged.json()["acked_by"]) == (200, "alice")
    (entry,) = await web.execute("SELECT person_id, subject, address FROM audit.entry WHERE action = 'alert.ack'")
    assert tuple(entry) == ("alice", "a1", "192.0.2.7")
    gone = await web.client.post("/api/v1/alerts/a2/ack", headers=headers)
    assert (gone.status_code, gone.json()["code"]) == (404, "unknown_alert")


async def test_dead_letters_are_listed_and_counted_by_reason(web: Web) -> None:
    for number, code in enumerate(["bad_json", "bad_json", "future"]):
        await web.execute(
            "INSERT INTO telemetry.dead_letter (received_at, site_id, device_id, topic, code, detail, size_bytes, head)"
            " VALUES (now(), $1, NULL, 'sp/v1/00/x/y/up/telemetry', $2, 'why', 3, $3)",
            ALPHA if number else None,
            code,
            b"{\xff<script>",
        )
    headers = await web.token("otto@example.org")
    letters = (await web.client.get("/api/v1/dead-letters", params={"limit": "2"}, headers=headers)).json()
    assert [letter["code"] for letter in letters["items"]] == ["future", "bad_json"]
    assert letters["items"][0]["head"] == "{\\xff<script>"
    more = await web.client.get("/api/v1/dead-letters", params={"cursor": letters["next_cursor"]}, headers=headers)
    assert [letter["site"] for letter in more.json()["items"]] == [None]
    counts = (await web.client.get("/api/v1/dead-letters/counts", headers=headers)).json()["items"]
    assert [(count["code"], count["count"]) for count in counts] == [("bad_json", 2), ("future", 1)]


async def test_the_fleet_in_figures(web: Web) -> None:
    stats = (await web.client.get("/api/v1/fleet/stats", headers=await web.token("otto@example.org"))).json()
    assert (stats["devices_online"], stats["messages"], stats["lag_ms"]) == (2, 100, 12.5)
    assert stats["dead_letters_by_code"] == {"bad_json": 2}


async def test_the_audit_log_by_actor_action_and_time(web: Web) -> None:
    headers = await web.token("ada@example.org")
    await web.token("alice@example.org")
    owner = await connect(web.owner)
    await audit.record(owner, "long_ago", person_id="alice")
    await owner.execute("UPDATE audit.entry SET at = '2020-01-01' WHERE action = 'long_ago'")
    await owner.close()

    async def actions(**parameters: str) -> list[str]:
        answer = await web.client.get("/api/v1/audit", params=parameters, headers=headers)
        return [entry["action"] for entry in answer.json()["items"]]

    assert sorted(await actions(actor="alice")) == ["login", "long_ago"]
    assert await actions(action="login") == ["login", "login"]
    assert await actions(to="2020-01-02") == ["long_ago"]
    assert await actions(**{"from": "2020-01-02"}) == ["login", "login"]


async def test_sessions_and_prices_of_others_are_out_of_reach_below_the_api(web: Web) -> None:
    """The database role itself: without an acting person it sees no tenant's row."""
    tables = ("registry.site", "registry.device", "telemetry.device_latest", "supervision.alert", "accounts.person")
    async with web.services.pool.acquire() as connection:
        for table in tables:
            assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 0, table  # noqa: S608 - a name from above


async def test_me_and_its_language(web: Web) -> None:
    headers = await web.token("alice@example.org")
    me = (await web.client.get("/api/v1/me", headers=headers)).json()
    assert me == {
        "id": "alice", "organisation_id": "alpha", "email": "alice@example.org", "name": "Alice", "role": "customer",
        "locale": "fr",
    }  # fmt: skip
    changed = await web.client.patch("/api/v1/me", json={"name": "Alice B.", "locale": "en"}, headers=headers)
    assert (changed.json()["name"], changed.json()["locale"]) == ("Alice B.", "en")
    bad = await web.client.patch("/api/v1/me", json={"locale": "de"}, headers={**headers, "Origin": BASE_URL})
    assert bad.status_code == 422


async def store_day(web: Web, day: date, *, wh_per_quarter: float) -> None:
    quarters = len(quarter_starts(day, ZONE))
    values = (wh_per_quarter,) * quarters
    site_day = SiteDay(ALPHA, day, ZONE, {"pv_energy_wh": values, "import_energy_wh": values}, (1,) * quarters)
    owner = await connect(web.owner)
    await save_days(owner, [Recomputed(site_day, day_bounds(day, ZONE), [])], NOW)
    await owner.close()


def meter_channels() -> tuple[str, ...]:
    return next(profile for profile in shipped() if profile.id == "meter").channels
