"""Rollouts by the API: looking ahead, making one, following and stopping it; what is refused, and for whom they exist."""

import asyncio
from typing import Any

import pytest

from fleet.limits import CONFIRM_TARGETS
from fleet.rollouts.lifecycle import STATES
from fleet.storage import notices, rollout_newcomers, rollout_targets, rollouts
from fleet.storage.database import connect
from tests.web_app import ALPHA, BETA, Web, listen

ROLLOUTS = "/api/v1/rollouts"
PROFILE = "gateway"
VALUES = {"report_interval_s": 30}
CANARY = ["gw-00", "gw-01"]


@pytest.fixture
async def ops(web: Web) -> dict[str, str]:
    """Of a fleet with gateways at both sites."""
    await add_gateways(web, 4)
    return await web.token("otto@example.org")


async def add_gateways(web: Web, count: int, first: int = 0) -> None:
    for number in range(first, first + count):
        await web.execute(
            "INSERT INTO registry.device (id, site_id, profile_id, name) VALUES ($1, $2, $3, $4)",
            f"gw-{number:02}", (ALPHA, BETA)[number % 2], PROFILE, f"Gateway {number}",
        )  # fmt: skip


def form(**changes: Any) -> dict[str, Any]:
    plain = {"name": "Slower", "profile": PROFILE, "query": {"kinds": ["gateway"], "devices": CANARY}, "values": VALUES}
    return {**plain, **changes}


async def make(web: Web, headers: dict[str, str], **changes: Any) -> Any:
    return await web.client.post(ROLLOUTS, json=form(**changes), headers=headers)


async def act(web: Web, headers: dict[str, str], rollout: str, action: str, body: Any = None) -> Any:
    given = (body or {}) if action in ("pause", "abort") else None
    return await web.client.post(f"{ROLLOUTS}/{rollout}/{action}", headers=headers, json=given)


async def group_of(web: Web, headers: dict[str, str], query: dict[str, Any]) -> str:
    answer = await web.client.post("/api/v1/groups", json={"name": "Gateways", "query": query}, headers=headers)
    return str(answer.json()["group"]["id"])


async def test_one_is_made_followed_and_audited(web: Web, ops: dict[str, str]) -> None:
    answer = await make(web, ops, why="Radio budget")
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert answer.headers["location"] == f"{ROLLOUTS}/{made['id']}"
    assert (made["state"], made["creator"], made["counts"], made["targets"]) == ("running", "Otto", {"waiting": 2}, 2)
    assert made["actions"] == ["pause", "abort"]
    assert [wave["planned"] for wave in made["waves"]] == [2, 0, 0, 0]
    assert (await web.client.get(answer.headers["location"], headers=ops)).json() == made
    targets = (await web.client.get(f"{ROLLOUTS}/{made['id']}/targets", headers=ops)).json()["items"]
    assert [(each["device"], each["state"], each["wave"]) for each in targets] == [(gw, "waiting", 0) for gw in CANARY]
    (entry,) = await web.execute("SELECT person_id, subject, detail FROM audit.entry WHERE action = 'rollout.make'")
    assert (entry["person_id"], entry["subject"], entry["detail"]["devices"]) == ("otto", made["id"], 2)


async def test_lists_come_in_pages(web: Web, ops: dict[str, str]) -> None:
    ids = [(await make(web, ops, name=f"No {number}")).json()["id"] for number in range(3)]
    first = (await web.client.get(ROLLOUTS, params={"limit": 2}, headers=ops)).json()
    rest = (await web.client.get(ROLLOUTS, params={"limit": 2, "cursor": first["next_cursor"]}, headers=ops)).json()
    assert [each["id"] for each in first["items"] + rest["items"]] == sorted(ids, reverse=True)
    assert rest["next_cursor"] is None
    await act(web, ops, ids[0], "pause")
    paused = await web.client.get(ROLLOUTS, params={"state": "paused"}, headers=ops)
    assert [each["id"] for each in paused.json()["items"]] == [ids[0]]
    path = f"{ROLLOUTS}/{ids[0]}/targets"
    one = (await web.client.get(path, params={"limit": 1}, headers=ops)).json()
    two = (await web.client.get(path, params={"limit": 1, "cursor": one["next_cursor"]}, headers=ops)).json()
    assert [each["device"] for each in one["items"] + two["items"]] == CANARY
    for narrowed, found in (("state=done", 0), ("wave=1", 0), ("state=waiting&wave=0", 2)):
        assert len((await web.client.get(f"{path}?{narrowed}", headers=ops)).json()["items"]) == found


async def test_looking_ahead_tells_who_and_what(web: Web, ops: dict[str, str]) -> None:
    await web.execute("UPDATE registry.device SET revoked_at = now() WHERE id = 'gw-03'")
    await web.execute(
        'INSERT INTO remote.config_change (site_id, device_id, version, "values", own, layers, at, kind)'
        " VALUES ($1, 'gw-00', 1, $2, $2, '[]', now(), 'set')",
        ALPHA,
        {"report_interval_s": 5},
    )
    await web.execute(
        "INSERT INTO telemetry.device_latest (site_id, device_id, online, seen_at) VALUES ($1, 'gw-01', true, now())", BETA
    )
    group = await group_of(web, ops, {})
    plan = {"waves": [{"count": 1}, {"percent": 100}]}
    asked = {"profile": PROFILE, "group": group, "values": VALUES, "plan": plan}
    answer = await web.client.post(f"{ROLLOUTS}/preview", json=asked, headers=ops)
    assert answer.status_code == 200, answer.text
    seen = answer.json()
    assert (seen["devices"], seen["offline"], seen["waves"], seen["must_confirm"]) == (3, 2, [1, 2], True)
    assert seen["skipped"] == {"other_profile": 2, "device_revoked": 1}
    assert (seen["keep_own"], [each["device"] for each in seen["keepers"]]) == (1, ["gw-00"])
    (change,) = seen["changes"]
    assert (change["key"], change["after"]) == ("report_interval_s", 30)
    assert await web.execute("SELECT id FROM remote.rollout") == []


async def changed_on_site(web: Web, device: str, status: str = "drifted") -> None:
    await web.execute(
        "INSERT INTO remote.config (site_id, device_id, status, status_at, revision)"
        " SELECT site_id, id, $2, now(), 1 FROM registry.device WHERE id = $1"
        " ON CONFLICT (site_id, device_id) DO UPDATE SET status = excluded.status",
        device, status,
    )  # fmt: skip


async def test_what_was_changed_on_site_is_spared_unless_the_plan_overwrites_it(web: Web, ops: dict[str, str]) -> None:
    await changed_on_site(web, "gw-00")
    asked = {"profile": PROFILE, "query": {"devices": CANARY}, "values": VALUES}
    seen = (await web.client.post(f"{ROLLOUTS}/preview", json=asked, headers=ops)).json()
    assert (seen["devices"], seen["skipped"], seen["drifted"]) == (1, {"drifted": 1}, 1)
    assert [(each["device"], each["site"]) for each in seen["drifters"]] == [("gw-00", ALPHA)]
    made = (await make(web, ops)).json()
    assert [row["device_id"] for row in await web.execute("SELECT device_id FROM remote.rollout_target")] == ["gw-01"]
    over = {"overwrite_drift": True}
    seen = (await web.client.post(f"{ROLLOUTS}/preview", json=asked | {"plan": over}, headers=ops)).json()
    assert (seen["devices"], seen["skipped"], seen["drifted"]) == (2, {}, 1)
    also = (await make(web, ops, plan=over)).json()
    assert (made["targets"], made["plan"]["overwrite_drift"]) == (1, False)
    assert (also["targets"], also["plan"]["overwrite_drift"]) == (2, True)
    assert not await web.execute("SELECT FROM remote.rollout WHERE plan ? 'overwrite_drift'"), (
        "the release before reads plans"
    )
    await changed_on_site(web, "gw-01")
    none = await make(web, ops)
    assert (none.status_code, none.json()["code"]) == (422, "empty_selection")


async def test_a_newcomer_joins_once_what_was_changed_there_is_settled(web: Web, ops: dict[str, str]) -> None:
    made = await make(web, ops, query={"sites": [ALPHA]}, plan={"continuous": True})
    await add_gateways(web, 1, first=4)
    await changed_on_site(web, "gw-04")
    connection = await connect(web.owner)
    try:
        rollout = await rollouts.rollout(connection, made.json()["id"])
        assert await rollout_newcomers.add_newcomers(connection, rollout) == 0
        await changed_on_site(web, "gw-04", "in_sync")
        assert await rollout_newcomers.add_newcomers(connection, rollout) == 1
    finally:
        await connection.close()


async def test_whoever_widens_the_group_of_a_continuous_one_says_how_many_join(web: Web, ops: dict[str, str]) -> None:
    group = await group_of(web, ops, {"devices": CANARY})
    made = await make(web, ops, group=group, query=None, plan={"continuous": True})
    assert made.status_code == 201, made.text
    await add_gateways(web, CONFIRM_TARGETS + 3, first=4)
    path = f"/api/v1/groups/{group}"

    async def widen(**change: Any) -> Any:
        revision = (await web.client.get(path, headers=ops)).headers["etag"]
        return await web.client.patch(path, json=change, headers={**ops, "If-Match": revision})

    many = CONFIRM_TARGETS + 5  # gw-02 to gw-26
    for query, count in (({}, many), ({"kinds": ["gateway"]}, many), ({"silent_for_s": 1}, many)):
        refused = await widen(query=query)
        assert (refused.status_code, refused.json()["code"], refused.json()["count"]) == (409, "confirm_needed", count)
        assert (await widen(query=query, confirm_count=count - 1)).json()["code"] == "confirm_needed"
    assert (await widen(name="Other")).status_code == 200, "nobody joins by that"
    assert (await widen(query={"devices": [*CANARY, "gw-02"]})).status_code == 200, "one is not many"
    assert (await widen(query={"silent_for_s": 1}, confirm_count=many)).status_code == 200
    await act(web, ops, made.json()["id"], "abort")
    assert (await widen(query={})).status_code == 200, "no rollout waits for anybody"


async def test_one_that_its_profile_kept_out_is_asked_again_once_that_is_edited(web: Web, ops: dict[str, str]) -> None:
    made = await make(web, ops, plan={"continuous": True})
    await web.execute("UPDATE remote.rollout_target SET state = 'skipped', state_at = now() WHERE device_id = 'gw-00'")
    connection = await connect(web.owner)
    try:
        rollout = await rollouts.rollout(connection, made.json()["id"])
        assert await rollout_newcomers.add_newcomers(connection, rollout) == 0
        await web.execute("UPDATE registry.profile SET updated_at = now() WHERE id = $1", PROFILE)
        assert await rollout_newcomers.add_newcomers(connection, rollout) == 1
    finally:
        await connection.close()


async def test_whose_version_is_in_force_is_known(web: Web, ops: dict[str, str]) -> None:
    made = await make(web, ops)
    await web.execute("UPDATE remote.rollout_target SET state = 'pending', version = 1, told_at = now()")
    connection = await connect(web.owner)
    try:
        rollout = await rollouts.rollout(connection, made.json()["id"])
        found = {}
        for version, (kind, rollout_id) in enumerate(
            [("rollout", rollout.id), ("rollout_return", rollout.id), ("rollout", "another"), ("set", None)], 1
        ):
            await web.execute(
                'INSERT INTO remote.config_change (site_id, device_id, version, "values", own, layers, at, kind, rollout_id)'
                " VALUES ($1, 'gw-00', $2, '{}', '{}', '[]', now(), $3, $4)",
                ALPHA, version, kind, rollout_id,
            )  # fmt: skip
            await changed_on_site(web, "gw-00")
            await web.execute("UPDATE remote.config SET version = $1 WHERE device_id = 'gw-00'", version)
            watched = await rollout_targets.watched(connection, rollout, after="", limit=1, now=0)
            found[version] = [(each.target.device, each.facts.version, each.facts.ours) for each in watched]
    finally:
        await connection.close()
    assert found == {version: [("gw-00", version, version <= 2)] for version in range(1, 5)}


async def test_what_a_groups_template_loses_is_told(web: Web, ops: dict[str, str]) -> None:
    group = await group_of(web, ops, {"profiles": [PROFILE]})
    before = {"report_interval_s": 30, "active_power_limit_pct": 60}
    await web.execute('UPDATE remote.device_group SET "values" = $1 WHERE id = $2', before, group)
    asked = {"profile": PROFILE, "group": group, "values": VALUES}
    seen = (await web.client.post(f"{ROLLOUTS}/preview", json=asked, headers=ops)).json()
    assert seen["changes"] == [{"key": "active_power_limit_pct", "before": 60, "after": None}]


async def test_many_or_all_are_confirmed_with_their_number(web: Web, ops: dict[str, str]) -> None:
    everything = await make(web, ops, query={})
    assert (everything.status_code, everything.json()["code"], everything.json()["count"]) == (409, "confirm_needed", 4)
    assert (await make(web, ops, query={}, confirm_count=3)).status_code == 409
    assert (await make(web, ops, confirm_count=5)).status_code == 409, "a number that was given is held to"
    await add_gateways(web, CONFIRM_TARGETS, first=4)
    many = {"sites": [ALPHA, BETA]}
    assert (await make(web, ops, query=many)).json()["count"] == CONFIRM_TARGETS + 4
    assert (await make(web, ops, query=many, confirm_count=CONFIRM_TARGETS + 4)).status_code == 201


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"values": {}}, 422, "no_values"),
        ({"values": {"report_interval_s": 0}}, 422, "bad_config"),
        ({"values": {"report_interval_min": 5}}, 422, "bad_config"),
        ({"query": {"sites": ["no-such"]}}, 422, "empty_selection"),
        ({"query": {"kinds": ["meter"]}}, 422, "empty_selection"),
        ({"query": {"seen_within_s": 0}}, 422, "bad_query"),
        ({"query": None}, 422, "bad_target"),
        ({"group": "abc", "query": {}}, 422, "bad_target"),
        ({"group": "abc", "query": None}, 404, "unknown_group"),
        ({"profile": "no-such"}, 404, "unknown_profile"),
        ({"profile": "a\0b"}, 422, "invalid_request"),
        ({"plan": {"waves": [{"count": 5}]}}, 422, "bad_plan"),
        ({"plan": {"per_minute": 0}}, 422, "bad_plan"),
        ({"plan": {"per_hour": 1}}, 422, "invalid_request"),
        ({"name": ""}, 422, "invalid_request"),
        ({"name": "a\nb"}, 422, "invalid_request"),
    ],
)
async def test_what_cannot_be_is_refused(
    web: Web, ops: dict[str, str], changes: dict[str, Any], status: int, code: str
) -> None:
    for language in ("fr", "en"):
        answer = await web.client.post(ROLLOUTS, json=form(**changes), headers={**ops, "Accept-Language": language})
        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert await web.execute("SELECT id FROM remote.rollout") == []


async def test_refused_values_are_named_with_what_would_be_right(web: Web, ops: dict[str, str]) -> None:
    answer = await make(web, ops, values={"report_interval_s": 0, "no_such": 1})
    assert {error["field"] for error in answer.json()["errors"]} == {"report_interval_s", "no_such"}
    assert all(error["message"] for error in answer.json()["errors"])


async def test_it_pauses_goes_on_and_aborts(web: Web, ops: dict[str, str]) -> None:
    made = (await make(web, ops)).json()["id"]
    paused = await act(web, ops, made, "pause", {"why": "Storm ahead"})
    assert (paused.status_code, paused.json()["state"]) == (200, "paused")
    assert (paused.json()["stopped"]["code"], paused.json()["stopper"]) == ("person", "Otto")
    assert "Otto" in paused.json()["reason"]
    assert "Storm ahead" in paused.json()["reason"]
    assert (await act(web, ops, made, "pause")).json()["code"] == "illegal_move"
    assert (await act(web, ops, made, "resume")).json()["state"] == "running"
    assert (await act(web, ops, made, "resume")).status_code == 409
    assert (await act(web, ops, made, "end")).json()["code"] == "not_finished"
    aborted = await act(web, ops, made, "abort")
    assert aborted.json()["state"] == "aborted", "nobody was told: there is nothing to give back"
    for action in ("pause", "resume", "abort", "end"):
        answer = await act(web, ops, made, action)
        assert (answer.status_code, answer.json()["code"]) == (409, "illegal_move"), action
    actions = await web.execute("SELECT action FROM audit.entry WHERE action LIKE 'rollout.%' ORDER BY id")
    assert [row["action"] for row in actions] == [f"rollout.{each}" for each in ("make", "pause", "resume", "abort")]


@pytest.mark.parametrize(
    ("planned", "asked", "state"),
    [(True, None, "returning"), (True, False, "aborted"), (False, None, "aborted"), (False, True, "returning")],
)
async def test_an_abort_gives_back_as_planned_or_as_it_is_told(
    web: Web, ops: dict[str, str], planned: bool, asked: bool | None, state: str
) -> None:
    made = (await make(web, ops, plan={"return_on_abort": planned})).json()["id"]
    await web.execute("UPDATE remote.rollout_target SET state = 'done' WHERE device_id = 'gw-00'")
    body = {} if asked is None else {"return": asked}
    assert (await act(web, ops, made, "abort", body)).json()["state"] == state
    if state == "returning":
        assert (await act(web, ops, made, "abort")).json()["state"] == "aborted"


async def test_one_that_waits_for_new_devices_is_ended(web: Web, ops: dict[str, str]) -> None:
    made = (await make(web, ops, plan={"continuous": True})).json()["id"]
    await web.execute("UPDATE remote.rollout SET wave = 4 WHERE id = $1", made)
    assert (await web.client.get(f"{ROLLOUTS}/{made}", headers=ops)).json()["actions"] == ["pause", "abort", "end"]
    assert (await act(web, ops, made, "end")).json()["state"] == "completed"


async def test_one_rollout_of_a_group_at_a_time(web: Web, ops: dict[str, str]) -> None:
    group = await group_of(web, ops, {"profiles": [PROFILE]})
    to_group = {"group": group, "query": None, "confirm_count": 4}
    first = await make(web, ops, **to_group)
    assert (first.status_code, first.json()["group_name"]) == (201, "Gateways")
    assert (await make(web, ops, **to_group)).json()["code"] == "rollout_running"
    await act(web, ops, first.json()["id"], "abort")
    assert (await make(web, ops, **to_group)).status_code == 201


async def test_its_news_come_by_themselves(web: Web, ops: dict[str, str]) -> None:
    made = (await make(web, ops)).json()["id"]
    for path in (f"{ROLLOUTS}/{made}/events", f"{ROLLOUTS}/events"):
        events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        viewer = asyncio.create_task(listen(web, path, ops, events))
        async with asyncio.timeout(60):
            first = await events.get()
            assert first.get("state", first.get("items", [{}])[0].get("state")) in STATES
            await web.execute("UPDATE remote.rollout SET name = name || '!' WHERE id = $1", made)
            await web.execute("SELECT pg_notify($1, $2)", notices.ROLLOUT, made)
            then = await events.get()
        assert (then.get("name") or then["items"][0]["name"]).endswith("!")
        viewer.cancel()


async def test_for_others_they_do_not_exist(web: Web, ops: dict[str, str]) -> None:
    made = (await make(web, ops)).json()["id"]
    for email in ("alice@example.org", "emma@example.org", "ines@example.org"):
        headers = await web.token(email)
        for path in (ROLLOUTS, f"{ROLLOUTS}/events", f"{ROLLOUTS}/{made}", f"{ROLLOUTS}/{made}/targets"):
            assert (await web.client.get(path, headers=headers)).status_code == 404, path
        assert (await make(web, headers)).status_code == 404
        for action in ("pause", "resume", "abort", "end"):
            assert (await act(web, headers, made, action)).status_code == 404
