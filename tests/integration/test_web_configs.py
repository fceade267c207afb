"""A device's configuration over the API: with a real shard, a real broker and a device that answers."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.box_profile import DEFAULTS
from tests.config_rig import BETA_BOX, BOX, ConfigRig, config_rig, report, told
from tests.fleet_rig import Device, until
from tests.orders_rig import come
from tests.servers import Broker, Database, Pki
from tests.web_app import ALPHA, ALPHA_METER, BETA_METER, Web, listen


@pytest.fixture
async def rig(database: Database, broker: Broker, tmp_path: Path) -> AsyncIterator[ConfigRig]:
    async with config_rig(database, broker, tmp_path) as running:
        yield running


@pytest.fixture
async def box(rig: ConfigRig, broker: Broker, pki: Pki) -> AsyncIterator[Device]:
    async with Device(broker, pki, ALPHA, BOX) as connected:
        await come(rig.shard, connected)
        yield connected


async def test_before_anybody_wished_anything(rig: ConfigRig) -> None:
    answer = await rig.call("GET")
    found = answer.json()
    assert (answer.status_code, answer.headers["etag"]) == (200, '"0"')
    assert found["desired"] == {"version": 0, "values": DEFAULTS}
    assert (found["reported"], found["status"], found["own"], found["changed_at"]) == (None, "unknown", {}, None)
    assert {origin["kind"] for origin in found["origins"].values()} == {"profile"}
    assert [setting["key"] for setting in found["settings"]] == [*DEFAULTS, "country"]


async def test_a_change_goes_its_way(rig: ConfigRig, box: Device) -> None:
    put = await rig.put({"report_interval_s": 30}, 0, why="less data")
    assert (put.status_code, put.headers["etag"]) == (200, '"1"'), put.text
    assert put.json()["desired"]["values"] == DEFAULTS | {"report_interval_s": 30}
    sent = await told(box, 1)
    assert sent.values == DEFAULTS | {"report_interval_s": 30}
    applying = await rig.until_status("applying")
    assert applying["sent_at"] >= applying["changed_at"]
    await report(box, 1, sent.values)
    found = await rig.until_status("in_sync")
    assert (found["changed_by"], found["change"], found["why"]) == ("Otto", "set", "less data")
    assert found["origins"]["report_interval_s"]["kind"] == "device"
    assert found["own"] == {"report_interval_s": 30}
    assert found["inherited"]["report_interval_s"] == 10
    assert found["reported"]["version"] == 1
    receipts = (await rig.call("GET", f"/api/v1/devices/{BOX}/receipts")).json()["items"]
    assert [line["kind"] for line in receipts] == ["config.reported", "config.sent", "config.desired"]
    assert [line["seq"] for line in receipts] == [3, 2, 1]
    assert all(len(line["hash"]) == 64 for line in receipts)
    audited = await rig.web.execute("SELECT person_id, subject, detail FROM audit.entry WHERE action = 'config.change'")
    assert [tuple(row) for row in audited] == [
        ("otto", BOX, {"site": ALPHA, "version": 1, "why": "less data"}),
    ]


async def test_putting_back_what_was_read_changes_nothing(rig: ConfigRig) -> None:
    await rig.put({"report_interval_s": 30, "mode": "island"}, 0)
    found = (await rig.call("GET")).json()
    again = await rig.put(found["desired"]["values"] | {"country": "FR"}, 1)
    assert (again.status_code, again.headers["etag"]) == (200, '"1"'), again.text
    assert again.json()["own"] == {"report_interval_s": 30, "mode": "island"}
    back = await rig.put({"mode": "island", "report_interval_s": 10.0}, 1)
    assert (back.json()["own"], back.headers["etag"]) == ({"mode": "island"}, '"2"')


async def test_a_stale_version_is_told_the_current_one(rig: ConfigRig) -> None:
    await rig.put({"mode": "island"}, 0)
    for language, word in (("fr", "Quelqu'un"), ("en", "version 1")):
        headers = await rig.web.token("otto@example.org") | {"If-Match": '"0"', "Accept-Language": language}
        await rig.web.execute("UPDATE accounts.person SET locale = $1 WHERE id = 'otto'", language)
        answer = await rig.web.client.put(f"/api/v1/devices/{BOX}/config", headers=headers, json={"values": {}})
        problem = answer.json()
        assert (answer.status_code, problem["code"], answer.headers["etag"]) == (412, "stale_version", '"1"')
        assert problem["version"] == 1
        assert problem["desired"] == {"version": 1, "values": DEFAULTS | {"mode": "island"}}
        assert word in problem["detail"]
        assert answer.headers["content-type"].startswith("application/problem+json")


async def test_of_several_who_saw_the_same_version_one_wins(rig: ConfigRig) -> None:
    answers = await asyncio.gather(*(rig.put({"report_interval_s": 20 + number}, 0) for number in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 412, 412, 412, 412]
    found = (await rig.call("GET")).json()
    (won,) = (answer.json() for answer in answers if answer.status_code == 200)
    assert found["desired"] == won["desired"]
    for answer in answers:
        if answer.status_code == 412:
            assert (answer.json()["code"], answer.json()["desired"]) == ("stale_version", won["desired"])


async def test_a_change_says_which_version_it_has_seen(rig: ConfigRig) -> None:
    for given in (None, "", "*", '"x"', '"-1"', '"' + "9" * 30):
        headers = await rig.web.token("otto@example.org") | ({} if given is None else {"If-Match": given})
        answer = await rig.web.client.put(f"/api/v1/devices/{BOX}/config", headers=headers, json={"values": {}})
        assert answer.status_code == 422, given
        assert answer.json()["code"] in ("version_needed", "invalid_request"), given


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"report_interval_s": 0}, "report_interval_s", "1 … 3600 s"),
    ({"report_interval_s": 1.5}, "report_interval_s", "1, 2, 3"),
    ({"report_interval_s": "10"}, "report_interval_s", "123 s"),
    ({"report_interval_min": 1}, "report_interval_min", "report_interval_s"),
    ({"colour": "red"}, "colour", "mode"),
    ({"active_power_limit_pct": 80}, "active_power_limit_pct", "0 … 70 % (VDE-AR-N 4105)"),
    ({"export_limit_w": 500}, "export_limit_w", "export_limit_on = true"),
    ({"battery_low_pct": 95}, "battery_low_pct", "< battery_high_pct = 90"),
    ({"mode": "manual"}, "mode", "auto, island"),
    ({"name": "x" * 201}, "name", "200"),
    ({"country": "DE"}, "country", "se lit seulement"),
]


async def test_refused_values_are_named_with_what_would_be_right(rig: ConfigRig) -> None:
    for values, field, said in REFUSED:
        answer = await rig.put(values, 0)
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (422, "bad_config"), answer.text
        assert [error["field"] for error in problem["errors"]] == [field]
        assert said in problem["errors"][0]["message"]
        preview = await rig.call("POST", "/preview", json={"values": values})
        assert [error["field"] for error in preview.json()["problems"]] == [field]
    assert (await rig.call("GET")).headers["etag"] == '"0"'


async def test_a_preview_stores_nothing(rig: ConfigRig) -> None:
    await rig.put({"mode": "island", "name": "Nord"}, 0)
    answer = await rig.call("POST", "/preview", json={"values": {"report_interval_s": 20, "name": "Nord"}})
    found = answer.json()
    assert (answer.status_code, found["version"], found["problems"]) == (200, 1, [])
    assert [(each["key"], each["before"], each["after"]) for each in found["changes"]] == [
        ("report_interval_s", 10, 20),
        ("mode", "island", "auto"),
    ]
    assert [each["origin_before"]["kind"] for each in found["changes"]] == ["profile", "device"]
    assert [each["origin_after"]["kind"] for each in found["changes"]] == ["device", "profile"]
    assert len((await rig.call("GET", "/history")).json()["items"]) == 1


async def test_history_says_what_changed_and_takes_it_back(rig: ConfigRig) -> None:
    await rig.put({"report_interval_s": 30}, 0, why="first")
    await rig.put({"report_interval_s": 60, "mode": "island"}, 1)
    back = await rig.call("POST", "/return", version=2, json={"version": 1, "why": "too slow"})
    assert (back.status_code, back.headers["etag"]) == (200, '"3"')
    assert back.json()["own"] == {"report_interval_s": 30}
    first = (await rig.call("GET", "/history", params={"limit": 2})).json()
    assert [(item["version"], item["kind"], item["why"]) for item in first["items"]] == [
        (3, "return", "too slow"),
        (2, "set", ""),
    ]
    assert first["items"][0]["changes"] == {
        "report_interval_s": {"before": 60, "after": 30},
        "mode": {"before": "island", "after": "auto"},
    }
    rest = (await rig.call("GET", "/history", params={"cursor": first["next_cursor"]})).json()
    assert rest["next_cursor"] is None
    (item,) = rest["items"]
    assert (item["version"], item["person"], item["changes"]) == (
        1,
        "Otto",
        {"report_interval_s": {"before": 10, "after": 30}},
    )
    unknown = await rig.call("POST", "/return", version=3, json={"version": 99})
    assert (unknown.status_code, unknown.json()["code"]) == (409, "unknown_version")


async def test_a_refusal_of_the_device_is_told_with_its_reasons(rig: ConfigRig, box: Device) -> None:
    await rig.put({"mode": "island"}, 0)
    await told(box, 1)
    await report(box, 0, DEFAULTS, rejected={"version": 1, "errors": {"mode": "no relay"}})
    found = await rig.until_status("rejected")
    assert found["rejected"] == {"version": 1, "errors": {"mode": "no relay"}}
    again = await rig.call("POST", "/overwrite", version=1, json={"why": "relay fitted"})
    assert (again.status_code, again.headers["etag"]) == (200, '"2"')
    assert (await told(box, 2)).values == DEFAULTS | {"mode": "island"}


@pytest.mark.parametrize("way", ["accept-drift", "overwrite"])
async def test_what_was_changed_on_site_is_settled(rig: ConfigRig, box: Device, way: str) -> None:
    seen = {"reported_at": 0} if way == "accept-drift" else {}
    nothing = await rig.call("POST", f"/{way}", version=0, json=seen)
    assert (nothing.status_code, nothing.json()["code"]) == (409, "not_drifted")
    await rig.put({"report_interval_s": 30}, 0)
    await report(box, 1, (await told(box, 1)).values)
    await rig.until_status("in_sync")
    await report(box, 1, DEFAULTS | {"report_interval_s": 5})
    found = await rig.until_status("drifted")
    assert found["drift"] == {"report_interval_s": {"wished": 30, "reported": 5}}
    if seen:
        seen = {"reported_at": found["reported"]["at"]}
    settled = await rig.call("POST", f"/{way}", version=1, json=seen | {"why": "seen on site"})
    assert (settled.status_code, settled.headers["etag"]) == (200, '"2"'), settled.text
    assert (await told(box, 2)).values["report_interval_s"] == (5 if way == "accept-drift" else 30)
    actions = await rig.web.execute("SELECT action FROM audit.entry WHERE action LIKE 'config.%' ORDER BY id DESC LIMIT 1")
    assert actions[0]["action"] == f"config.{way.replace('-', '_')}"


async def test_only_the_drift_that_was_seen_is_accepted(rig: ConfigRig, box: Device) -> None:
    await report(box, 0, DEFAULTS | {"report_interval_s": 60})
    seen = (await rig.until_status("drifted"))["reported"]["at"]
    await report(box, 0, DEFAULTS | {"report_interval_s": 20})

    async def is_newer() -> int | None:
        at: int = (await rig.call("GET")).json()["reported"]["at"]
        return at if at != seen else None

    newer = await until(is_newer)
    stale = await rig.call("POST", "/accept-drift", version=0, json={"reported_at": seen})
    assert (stale.status_code, stale.json()["code"], stale.headers["etag"]) == (412, "stale_report", '"0"')
    assert (await rig.call("POST", "/accept-drift", version=0, json={})).status_code == 422
    assert (await rig.call("GET")).headers["etag"] == '"0"'
    accepted = await rig.call("POST", "/accept-drift", version=0, json={"reported_at": newer})
    assert accepted.json()["own"] == {"report_interval_s": 20}


async def test_a_drift_that_is_not_allowed_cannot_be_accepted(rig: ConfigRig, box: Device) -> None:
    await report(box, 0, DEFAULTS | {"active_power_limit_pct": 90})
    seen = (await rig.until_status("drifted"))["reported"]["at"]
    answer = await rig.call("POST", "/accept-drift", version=0, json={"reported_at": seen})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "active_power_limit_pct")


async def test_who_may_do_what(rig: ConfigRig) -> None:
    await rig.put({"mode": "island"}, 0, why="for all to see")
    for who in ("alice", "emma", "ines"):
        found = (await rig.call("GET", who=who)).json()
        assert (found["desired"]["version"], found["changed_by"], found["why"]) == (1, None, "for all to see")
        assert (await rig.call("GET", "/history", who=who)).json()["items"][0]["person"] is None
        assert (await rig.call("GET", f"/api/v1/devices/{BOX}/receipts", who=who)).json()["items"]
        for method, path, body in (
            ("PUT", "", {"values": {}}),
            ("POST", "/return", {"version": 1}),
            ("POST", "/accept-drift", {"reported_at": 0}),
            ("POST", "/overwrite", {}),
            ("POST", "/preview", {"values": {}}),
        ):
            answer = await rig.call(method, path, who=who, version=1, json=body)
            assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed"), (who, path)
            theirs = await rig.call(method, f"/api/v1/devices/{BETA_BOX}/config{path}", who=who, version=0, json=body)
            assert (theirs.status_code, theirs.json()["code"]) == (404, "unknown_device"), (who, path)
    assert (await rig.put({}, 1, who="ada")).status_code == 200


async def test_a_device_that_does_not_listen_is_not_told_anything(rig: ConfigRig) -> None:
    await rig.web.execute("UPDATE registry.device SET gateway_id = $1 WHERE id = $2", BOX, ALPHA_METER)
    answer = await rig.call("PUT", f"/api/v1/devices/{ALPHA_METER}/config", version=0, json={"values": {}})
    assert (answer.status_code, answer.json()["code"]) == (422, "behind_gateway")
    assert BOX in answer.json()["detail"]
    await rig.web.execute("UPDATE registry.device SET revoked_at = now() WHERE id = $1", BETA_METER)
    answer = await rig.call("PUT", f"/api/v1/devices/{BETA_METER}/config", version=0, json={"values": {}})
    assert (answer.status_code, answer.json()["code"]) == (409, "device_revoked")


async def test_each_step_is_heard_at_once(rig: ConfigRig, box: Device) -> None:
    events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    headers = await rig.web.token("alice@example.org")
    listening = asyncio.create_task(listen(rig.web, f"/api/v1/devices/{BOX}/config/events", headers, events))
    try:
        assert (await asyncio.wait_for(events.get(), 60))["status"] == "unknown"
        await rig.put({"mode": "island"}, 0)
        await report(box, 1, (await told(box, 1)).values)
        async with asyncio.timeout(60):
            while (news := await events.get())["status"] != "in_sync":
                assert news["desired"]["version"] == 1
    finally:
        listening.cancel()


async def test_the_fleet_by_status(rig: ConfigRig, box: Device) -> None:
    for device in (BOX, BETA_BOX):
        await rig.call("PUT", f"/api/v1/devices/{device}/config", version=0, json={"values": {"mode": "island"}})
    await told(box, 1)
    await rig.until_status("applying")
    waiting = (await rig.call("GET", "/api/v1/configs", params={"status": "pending"})).json()
    assert [(line["device"], line["site_name"], line["version"]) for line in waiting["items"]] == [(BETA_BOX, "École", 1)]
    first = (await rig.call("GET", "/api/v1/configs", params={"limit": 1})).json()
    second = (await rig.call("GET", "/api/v1/configs", params={"limit": 1, "cursor": first["next_cursor"]})).json()
    assert {first["items"][0]["device"], second["items"][0]["device"]} == {BOX, BETA_BOX}
    assert second["next_cursor"] is None
    assert (await rig.call("GET", "/api/v1/configs", who="ines")).status_code == 404


async def test_without_twins_nothing_is_changed(web: Web) -> None:
    web.twins.away = True
    await web.until_twins_are(connected=False)
    headers = await web.token("otto@example.org") | {"If-Match": '"0"'}
    answer = await web.client.put(f"/api/v1/devices/{ALPHA_METER}/config", headers=headers, json={"values": {}})
    assert (answer.status_code, answer.json()["code"]) == (503, "twins_away")
    assert await web.execute("SELECT FROM audit.entry WHERE action LIKE 'config.%'") == []
