"""Tags and groups by the API: who may, what a query means, and that nothing is changed behind somebody's back."""

from typing import Any

import pytest

from tests.web_app import ALPHA, ALPHA_METER, BETA, BETA_METER, Web

GROUPS = "/api/v1/groups"


@pytest.fixture
async def ops(web: Web) -> dict[str, str]:
    return await web.token("otto@example.org")


async def make(web: Web, headers: dict[str, str], name: str = "Roof meters", **query: Any) -> Any:
    return await web.client.post(GROUPS, json={"name": name, "query": query}, headers=headers)


async def audited(web: Web) -> list[tuple[str, str | None, str]]:
    rows = await web.execute("SELECT action, person_id, subject FROM audit.entry WHERE action ~ 'tag|group' ORDER BY id")
    return [tuple(row.values()) for row in rows]


async def test_whoever_keeps_a_site_sorts_its_devices_by_tags(web: Web) -> None:
    headers = await web.token("ines@example.org")
    path = f"/api/v1/devices/{ALPHA_METER}/tags"
    for _ in range(2):
        answer = await web.client.put(f"{path}/roof", headers=headers)
        assert (answer.status_code, answer.json()["tags"]) == (200, ["roof"])
    assert (await web.client.put(f"{path}/lot-2", headers=headers)).json()["tags"] == ["lot-2", "roof"]
    assert (await web.client.delete(f"{path}/roof", headers=headers)).json()["tags"] == ["lot-2"]
    assert (await web.client.delete(f"{path}/roof", headers=headers)).json()["tags"] == ["lot-2"]
    assert (await web.client.get(f"/api/v1/devices/{ALPHA_METER}", headers=headers)).json()["tags"] == ["lot-2"]
    made = ("device.tag", "ines", ALPHA_METER)
    assert await audited(web) == [made, made, ("device.untag", "ines", ALPHA_METER)]


@pytest.mark.parametrize("tag", ["Roof", "-roof", "to it", "é", "a" * 32])
async def test_a_tag_is_a_short_plain_word(web: Web, ops: dict[str, str], tag: str) -> None:
    answer = await web.client.put(f"/api/v1/devices/{ALPHA_METER}/tags/{tag}", headers=ops)
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_tag")


async def test_a_device_has_few_tags(web: Web, ops: dict[str, str]) -> None:
    path = f"/api/v1/devices/{ALPHA_METER}/tags"
    for number in range(20):
        assert (await web.client.put(f"{path}/t{number}", headers=ops)).status_code == 200
    answer = await web.client.put(f"{path}/one-more", headers=ops)
    assert (answer.status_code, answer.json()["code"]) == (409, "too_many_tags")
    assert (await web.client.put(f"{path}/t7", headers=ops)).status_code == 200


@pytest.mark.parametrize(("email", "status"), [("alice@example.org", 403), ("bob@example.org", 404)])
async def test_others_do_not_tag(web: Web, email: str, status: int) -> None:
    """The owner sees the device and does not sort it; to others it does not exist. The database holds it as well."""
    headers = await web.token(email)
    for method in ("PUT", "DELETE"):
        answer = await web.client.request(method, f"/api/v1/devices/{ALPHA_METER}/tags/roof", headers=headers)
        assert answer.status_code == status
    async with web.services.pool.acquire() as connection:
        for site, device in ((ALPHA, ALPHA_METER), (BETA, BETA_METER), (ALPHA, BETA_METER)):
            transaction = connection.transaction()
            await transaction.start()
            await connection.execute("SELECT set_config('sp.person_id', $1, true)", email.partition("@")[0])
            with pytest.raises(Exception, match="row-level security"):
                await connection.execute("INSERT INTO registry.device_tag VALUES ($1, $2, 'x')", site, device)
            await transaction.rollback()


async def test_a_group_is_made_looked_at_changed_and_removed(web: Web, ops: dict[str, str]) -> None:
    await web.execute("INSERT INTO registry.device_tag VALUES ($1, $2, 'roof')", ALPHA, ALPHA_METER)
    answer = await make(web, ops, tags_any=["roof"])
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert (made["devices"], made["warning"]) == (1, None)
    group = made["group"]
    assert (group["name"], group["query"], group["revision"]) == ("Roof meters", {"tags_any": ["roof"]}, 1)
    path = f"{GROUPS}/{group['id']}"
    listed = await web.client.get(GROUPS, headers=ops)
    assert [each["id"] for each in listed.json()["items"]] == [group["id"]]
    devices = (await web.client.get(f"{path}/devices", headers=ops)).json()
    assert [(each["site"], each["device"]) for each in devices["items"]] == [(ALPHA, ALPHA_METER)]

    read = await web.client.get(path, headers=ops)
    assert read.headers["ETag"] == '"1"'
    changed = await web.client.patch(path, json={"query": {}}, headers=ops | {"If-Match": read.headers["ETag"]})
    assert changed.status_code == 200
    assert (changed.json()["devices"], changed.json()["warning"]) == (2, "matches_everything")
    assert (changed.json()["group"]["name"], changed.headers["ETag"]) == ("Roof meters", '"2"')
    assert [a for a, _, _ in await audited(web)] == ["group.make", "group.change"]

    assert (await web.client.delete(path, headers=ops)).status_code == 204
    for method, address in (("GET", path), ("DELETE", path), ("GET", f"{path}/devices")):
        gone = await web.client.request(method, address, headers=ops)
        assert (gone.status_code, gone.json()["code"]) == (404, "unknown_group")
    assert (await make(web, ops, tags_any=["roof"])).status_code == 201, "its name is free again"


async def test_nobody_overwrites_what_he_has_not_read(web: Web, ops: dict[str, str]) -> None:
    path = f"{GROUPS}/{(await make(web, ops)).json()['group']['id']}"
    assert (await web.client.patch(path, json={"name": "A"}, headers=ops | {"If-Match": '"1"'})).status_code == 200
    late = await web.client.patch(path, json={"name": "B"}, headers=ops | {"If-Match": '"1"'})
    assert (late.status_code, late.json()["code"], late.json()["version"]) == (412, "group_changed", 2)
    blind = await web.client.patch(path, json={"name": "B"}, headers=ops)
    assert (blind.status_code, blind.json()["code"]) == (422, "version_needed")
    assert (await web.client.get(path, headers=ops)).json()["group"]["name"] == "A"


async def test_names_are_unique(web: Web, ops: dict[str, str]) -> None:
    assert (await make(web, ops, name="Lot 2")).status_code == 201
    again = await make(web, ops, name="lot 2")
    assert (again.status_code, again.json()["code"]) == (409, "group_name_taken")
    other = (await make(web, ops, name="Lot 3")).json()["group"]["id"]
    taken = await web.client.patch(f"{GROUPS}/{other}", json={"name": "LOT 2"}, headers=ops | {"If-Match": '"1"'})
    assert (taken.status_code, taken.json()["code"]) == (409, "group_name_taken")


async def test_a_group_that_a_rollout_works_on_stays(web: Web, ops: dict[str, str]) -> None:
    group = (await make(web, ops)).json()["group"]["id"]
    await web.execute(
        'INSERT INTO remote.rollout (id, name, profile_id, group_id, query, "values", plan, state)'
        " VALUES ('r1', 'March', 'meter', $1, '{}', '{}', '{}', 'running')",
        group,
    )
    busy = await web.client.delete(f"{GROUPS}/{group}", headers=ops)
    assert (busy.status_code, busy.json()["code"]) == (409, "group_in_use")
    await web.execute("UPDATE remote.rollout SET state = 'completed', ended_at = now()")
    assert (await web.client.delete(f"{GROUPS}/{group}", headers=ops)).status_code == 204


@pytest.mark.parametrize(
    ("query", "devices", "warning"),
    [
        ({}, 2, "matches_everything"),
        ({"kinds": ["meter"]}, 2, "matches_everything"),
        ({"sites": [ALPHA]}, 1, None),
        ({"tags_all": ["nobody"]}, 0, "matches_nothing"),
        ({"firmware_below": "2.0"}, 0, "matches_nothing"),
    ],
)
async def test_a_query_says_what_it_means_before_it_is_kept(
    web: Web, ops: dict[str, str], query: dict[str, Any], devices: int, warning: str | None
) -> None:
    answer = await web.client.post(f"{GROUPS}/preview", json={"query": query}, headers=ops)
    assert answer.status_code == 200
    found = answer.json()
    assert (found["devices"], len(found["first"]), found["warning"]) == (devices, devices, warning)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"colour": "red"}, "invalid_request"),
        ({"kinds": ["toaster"]}, "invalid_request"),
        ({"health": ["ill"]}, "invalid_request"),
        ({"devices": ["sp-web"]}, "bad_id"),
        ({"devices": [f"d-{number}" for number in range(1_001)]}, "bad_query"),
        ({"models": ["x"] * 201}, "bad_query"),
        ({"models": [""]}, "bad_query"),
        ({"firmware_below": "newest"}, "bad_firmware"),
        ({"silent_for_s": -1}, "bad_query"),
        ({"tags_any": ["Roof!"]}, "bad_tag"),
    ],
)
async def test_what_is_no_query_is_refused_with_a_reason(
    web: Web, ops: dict[str, str], query: dict[str, Any], code: str
) -> None:
    for method, path, form in (
        ("POST", f"{GROUPS}/preview", {"query": query}),
        ("POST", GROUPS, {"name": "G", "query": query}),
    ):
        answer = await web.client.request(method, path, json=form, headers=ops)
        assert answer.status_code in (400, 422), answer.text
        assert answer.json()["code"] == code, answer.text


@pytest.mark.parametrize("email", ["alice@example.org", "ines@example.org"])
async def test_groups_are_for_operations(web: Web, email: str) -> None:
    headers = await web.token(email)
    for method, path in (("GET", GROUPS), ("POST", GROUPS), ("POST", f"{GROUPS}/preview"), ("GET", f"{GROUPS}/x")):
        answer = await web.client.request(method, path, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_route")
