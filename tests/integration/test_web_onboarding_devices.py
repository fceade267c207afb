"""Devices behind gateways, other hardware in their place, corrections, checks, revocation: by who may, and who may not."""

import asyncio
from typing import Any

import msgspec
import pytest

from tests.web_app import ALPHA, ALPHA_METER, BETA, BETA_METER, NOW, Web

GATEWAY = "gw-alpha"
FIX = {"kind": "sign", "measure": "grid_power_w", "value": -1, "from_at": NOW}


@pytest.fixture(autouse=True)
async def gateway(web: Web) -> None:
    await web.execute("UPDATE registry.device SET serial = CASE id WHEN $1 THEN 'A-1' ELSE 'B-1' END", ALPHA_METER)
    await web.execute(
        "INSERT INTO registry.device (id, site_id, profile_id, name) VALUES ($1, $2, 'gateway', 'Passerelle')",
        GATEWAY,
        ALPHA,
    )
    await web.execute(
        "INSERT INTO telemetry.waiting_source (site_id, gateway_id, serial, first_seen_at, last_seen_at, measures)"
        " VALUES ($1, $2, 'INV-9', now(), now(), '{pv_power_w}')",
        ALPHA,
        GATEWAY,
    )


async def attach(web: Web, headers: dict[str, str], site: str = ALPHA, **form: Any) -> Any:
    given = {"serial": "INV-9", "profile": "inverter"} | form
    return await web.client.post(f"/api/v1/sites/{site}/devices", json=given, headers=headers)


async def test_a_serial_that_waits_becomes_a_device(web: Web) -> None:
    headers = await web.token("ines@example.org")
    path = f"/api/v1/sites/{ALPHA}/waiting-sources"
    (waiting,) = (await web.client.get(path, headers=headers)).json()["items"]
    assert (waiting["serial"], waiting["gateway"], waiting["measures"]) == ("INV-9", GATEWAY, ["pv_power_w"])
    answers = await asyncio.gather(*(attach(web, headers, name="Toit") for _ in range(5)))
    assert {answer.status_code for answer in answers} == {201}, answers[0].text
    made = answers[0].json()
    assert {answer.json()["id"] for answer in answers} == {made["id"]}
    assert (made["serial"], made["gateway"], made["name"], made["enrolled_at"]) == ("INV-9", GATEWAY, "Toit", None)
    assert (await web.client.get(path, headers=headers)).json()["items"] == []
    assert len(await web.execute("SELECT FROM audit.entry WHERE action = 'device.attach'")) == 1
    await settled(web)
    assert web.twins.forgotten == [ALPHA]
    assert web.twins.placed == [(ALPHA, "INV-9")]
    other = await attach(web, headers, profile="meter")
    assert (other.status_code, other.json()["code"]) == (409, "serial_taken")
    assert made["id"] in other.json()["detail"]


@pytest.mark.parametrize(
    ("form", "status", "code"),
    [
        ({"profile": "no-such"}, 404, "unknown_profile"),
        ({"gateway": BETA_METER}, 404, "unknown_device"),
        ({"gateway": ALPHA_METER}, 409, "not_a_gateway"),
        ({"gateway": "Bad Id"}, 404, "unknown_device"),
        ({"serial": "A-1"}, 409, "serial_taken"),
        ({"serial": "?"}, 422, "bad_serial"),
        ({"serial": ""}, 422, "bad_serial"),
    ],
    ids=str,
)
async def test_what_cannot_be_attached(web: Web, form: dict[str, Any], status: int, code: str) -> None:
    answer = await attach(web, await web.token("ines@example.org"), **form)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert len(await web.execute("SELECT FROM registry.device")) == 3


async def test_a_meter_behind_an_inverter_is_attached_to_it(web: Web) -> None:
    """Many inverters with SunSpec show their meter under an address of their own."""
    await web.execute("UPDATE telemetry.waiting_source SET gateway_id = $1", ALPHA_METER)
    headers = await web.token("ines@example.org")
    answers = [await attach(web, headers) for _ in range(2)]
    assert {(answer.status_code, answer.json()["gateway"]) for answer in answers} == {(201, ALPHA_METER)}
    again = await attach(web, headers, gateway=ALPHA_METER)
    assert again.json()["id"] == answers[0].json()["id"]


async def test_a_site_without_one_gateway_has_to_name_it(web: Web) -> None:
    answer = await attach(web, await web.token("otto@example.org"), BETA)
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_device")


async def test_customers_neither_attach_nor_correct_nor_replace(web: Web) -> None:
    headers = await web.token("alice@example.org")
    device = f"/api/v1/devices/{ALPHA_METER}"
    tries = [
        (f"/api/v1/sites/{ALPHA}/devices", {"serial": "INV-9", "profile": "inverter"}),
        (f"{device}/corrections", FIX),
        (f"{device}/serial", {"serial": "A-2"}),
        (f"/api/v1/sites/{ALPHA}/reports", {"signed_name": "Alice"}),
        ("/api/v1/profiles", {"definition": PROFILE}),
    ]
    for path, form in tries:
        answer = await web.client.post(path, json=form, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed"), path
    assert (await web.client.get(f"/api/v1/sites/{ALPHA}/report-draft", headers=headers)).status_code == 403
    assert await web.execute("SELECT FROM registry.correction") == []


async def test_the_database_itself_refuses_what_is_not_theirs(web: Web) -> None:
    """Row-level security, whatever the API would let pass."""
    statements = [
        "INSERT INTO registry.device (id, site_id, profile_id, name) VALUES ('x', 'site-alpha', 'meter', 'x')",
        (
            "INSERT INTO registry.correction (id, site_id, device_id, kind, value, from_time)"
            " VALUES ('x', 'site-alpha', 'meter-alpha', 'clock', 1, now())"
        ),
        "INSERT INTO registry.replacement (site_id, device_id, at) VALUES ('site-alpha', 'meter-alpha', now())",
        (
            "INSERT INTO registry.commissioning_report (site_id, number, signed_by, signed_name, content, pdf, sha256)"
            " VALUES ('site-alpha', 1, 'x', 'x', '{}', '', '')"
        ),
        (
            "INSERT INTO pki.claim (id, site_id, device_id, profile_id, device_name, code_hash, expires_at)"
            " VALUES ('x', 'site-alpha', 'x', 'meter', 'x', '', now())"
        ),
    ]
    for person in ("alice", "emma", "bob", ""):
        for statement in statements:
            with pytest.raises(Exception, match="row-level security"):
                await as_person(web, person, statement)
    for statement in statements:
        await as_person(web, "ines", statement)
        await web.execute(statement)
    for table in ("registry.correction", "registry.replacement", "registry.commissioning_report", "telemetry.waiting_source",
                  "pki.claim", "registry.device"):  # fmt: skip
        assert await as_person(web, "bob", f"SELECT count(*) FROM {table} WHERE site_id = 'site-alpha'") == 0  # noqa: S608 - names of our own
        assert await as_person(web, "alice", f"SELECT count(*) FROM {table} WHERE site_id = 'site-alpha'") >= 1  # noqa: S608 - names of our own
    with pytest.raises(Exception, match="permission denied"):
        await as_person(web, "ada", "SELECT count(*) FROM accounts.invitation")


async def test_a_fix_is_applied_once_told_to_the_twins_and_taken_back(web: Web) -> None:
    headers = await web.token("ines@example.org")
    path = f"/api/v1/devices/{ALPHA_METER}/corrections"
    answers = await asyncio.gather(*(web.client.post(path, json=FIX, headers=headers) for _ in range(4)))
    assert {answer.status_code for answer in answers} == {201}, answers[0].text
    made = answers[0].json()
    assert {answer.json()["id"] for answer in answers} == {made["id"]}
    assert (ALPHA, ALPHA_METER, NOW, 0.0) in web.twins.corrections
    assert [each["id"] for each in (await web.client.get(path, headers=headers)).json()["items"]] == [made["id"]]
    undone = await web.client.post(f"{path}/{made['id']}/undo", headers=headers)
    assert undone.json()["undone_at"] is not None
    again = await web.client.post(f"{path}/{made['id']}/undo", headers=headers)
    assert (again.status_code, again.json()["code"]) == (409, "already_undone")
    clock = await web.client.post(path, json=FIX | {"kind": "clock", "measure": "", "value": 3600}, headers=headers)
    assert web.twins.corrections[-1] == (ALPHA, ALPHA_METER, NOW, 3600.0)
    other = f"/api/v1/devices/{GATEWAY}/corrections/{clock.json()['id']}/undo"
    assert (await web.client.post(other, headers=headers)).json()["code"] == "unknown_correction"
    await web.client.post(f"{path}/{clock.json()['id']}/undo", headers=headers)
    assert web.twins.corrections[-1] == (ALPHA, ALPHA_METER, NOW, -3600.0)
    actions = [row["action"] for row in await web.execute("SELECT action FROM audit.entry WHERE action LIKE 'correction%'")]
    assert {"correction.make", "correction.undo"} == set(actions)


@pytest.mark.parametrize(
    "change",
    [{"measure": "pv_power_w"}, {"value": 2}, {"kind": "factor", "value": 0}, {"from_at": NOW * 2}, {"kind": "magic"}],
    ids=str,
)
async def test_a_fix_that_does_not_suit_is_refused(web: Web, change: dict[str, Any]) -> None:
    headers = await web.token("ines@example.org")
    answer = await web.client.post(f"/api/v1/devices/{ALPHA_METER}/corrections", json=FIX | change, headers=headers)
    assert answer.status_code == 422, answer.text
    assert await web.execute("SELECT FROM registry.correction") == []


async def test_a_fix_stands_when_the_twins_are_away(web: Web) -> None:
    web.twins.away = True
    await web.until_twins_are(connected=False)
    answer = await web.client.post(
        f"/api/v1/devices/{ALPHA_METER}/corrections", json=FIX, headers=await web.token("ines@example.org")
    )
    assert answer.status_code == 201


async def test_checks_come_with_their_fix_and_with_what_is_corrected(web: Web) -> None:
    """The meter's clamp is the wrong way round: production beside it, and yet the house consumes less than nothing."""
    headers = await web.token("ines@example.org")
    path = f"/api/v1/sites/{ALPHA}/checks"
    found = (await web.client.get(path, headers=headers)).json()["items"]
    assert {each["device"] for each in found} == {ALPHA_METER, GATEWAY}
    meter = next(each for each in found if each["device"] == ALPHA_METER)
    assert meter["kind"] == "meter"
    assert {check["code"] for check in meter["checks"]} >= {"sign", "unit", "clock"}
    await web.client.post(f"/api/v1/devices/{ALPHA_METER}/corrections", json=FIX, headers=headers)
    found = (await web.client.get(path, headers=headers)).json()["items"]
    meter = next(each for each in found if each["device"] == ALPHA_METER)
    assert [each["kind"] for each in meter["corrections"]] == ["sign"]
    web.twins.away = True
    assert (await web.client.get(path, headers=headers)).status_code == 200


async def test_other_hardware_is_checked_by_what_it_says_itself(web: Web) -> None:
    headers = await web.token("ines@example.org")
    path = f"/api/v1/devices/{ALPHA_METER}/corrections"
    await web.client.post(path, json=FIX, headers=headers)
    await refuse_the_future(web)
    await web.execute(
        "INSERT INTO registry.replacement (site_id, device_id, at) VALUES ($1, $2, clock_timestamp())", ALPHA, ALPHA_METER
    )
    (ended,) = (await web.client.get(path, headers=headers)).json()["items"]
    assert ended["undone_at"] is None
    assert ended["ended_at"] > ended["created_at"]
    found = (await web.client.get(f"/api/v1/sites/{ALPHA}/checks", headers=headers)).json()["items"]
    meter = next(each for each in found if each["device"] == ALPHA_METER)
    assert meter["corrections"] == []
    assert {check["state"] for check in meter["checks"]} <= {"waiting", "later", "not_applicable"}, meter["checks"]
    again = await web.client.post(path, json=FIX, headers=headers)
    assert (again.json()["id"] != ended["id"], again.json()["ended_at"]) == (True, None)


async def refuse_the_future(web: Web) -> None:
    await web.execute(
        "INSERT INTO telemetry.dead_letter (received_at, site_id, device_id, topic, code, detail, size_bytes, head)"
        " SELECT now(), $1, $2, '', 'future_time', format('sample of t=%s is 7200 s ahead of the platform''s clock',"
        " ((extract(epoch FROM now()) + 7200) * 1000)::bigint), 1, ''",
        ALPHA,
        ALPHA_METER,
    )


async def test_a_clock_that_is_wrong_shows_in_what_was_refused(web: Web) -> None:
    await refuse_the_future(web)
    live = web.twins.sites[ALPHA]
    silent = [msgspec.structs.replace(device, sample_at=None, seen_at=None, readings={}) for device in live.devices]
    web.twins.sites[ALPHA] = msgspec.structs.replace(live, devices=silent)
    answer = await web.client.get(f"/api/v1/sites/{ALPHA}/checks", headers=await web.token("ines@example.org"))
    meter = next(each for each in answer.json()["items"] if each["device"] == ALPHA_METER)
    clock = next(check for check in meter["checks"] if check["code"] == "clock")
    assert clock["state"] == "failed", clock
    assert clock["fix"]["kind"] == "clock"
    assert clock["fix"]["value"] == pytest.approx(-7200, abs=30)


async def test_another_serial_in_the_same_place(web: Web) -> None:
    headers = await web.token("ines@example.org")
    device = (await attach(web, headers)).json()["id"]
    path = f"/api/v1/devices/{device}/serial"
    for serial, code in (("A-1", "serial_taken"), ("?", "bad_serial")):
        assert (await web.client.post(path, json={"serial": serial}, headers=headers)).json()["code"] == code
    answers = await asyncio.gather(*(web.client.post(path, json={"serial": "INV-10"}, headers=headers) for _ in range(4)))
    assert {(answer.status_code, answer.json()["serial"]) for answer in answers} == {(200, "INV-10")}
    (replaced,) = (await web.client.get(f"/api/v1/devices/{device}/replacements", headers=headers)).json()["items"]
    assert (replaced["old_serial"], replaced["new_serial"]) == ("INV-9", "INV-10")
    await settled(web)
    assert [(site, which) for site, which, _, _ in web.twins.corrections] == [(ALPHA, device)]
    alone = await web.client.post(f"/api/v1/devices/{ALPHA_METER}/serial", json={"serial": "A-3"}, headers=headers)
    assert (alone.status_code, alone.json()["code"]) == (409, "no_gateway")


async def test_the_owner_and_operations_revoke_and_nobody_else(web: Web) -> None:
    path = f"/api/v1/devices/{ALPHA_METER}/revoke"
    form = {"reason": "stolen", "note": "vol dans la nuit"}
    refused = await web.client.post(path, json=form, headers=await web.token("ines@example.org"))
    assert (refused.status_code, refused.json()["code"]) == (403, "revoke_not_yours")
    await web.execute("INSERT INTO registry.site_share (site_id, person_id) VALUES ($1, 'bob')", ALPHA)
    shared = await web.client.post(path, json=form, headers=await web.token("bob@example.org"))
    assert shared.status_code == 403
    assert [row["revoked_at"] for row in await web.execute("SELECT revoked_at FROM registry.device")] == [None] * 3
    headers = await web.token("alice@example.org")
    answers = await asyncio.gather(*(web.client.post(path, json=form, headers=headers) for _ in range(4)))
    assert {answer.status_code for answer in answers} == {202}, answers[0].text
    assert len({answer.json()["id"] for answer in answers}) == 1
    listed = (await web.client.get(f"/api/v1/devices/{ALPHA_METER}/revocations", headers=headers)).json()["items"]
    assert [(each["reason"], each["note"], each["done"]) for each in listed] == [("stolen", "vol dans la nuit", False)]
    assert (await web.client.get(f"/api/v1/devices/{ALPHA_METER}", headers=headers)).json()["revoked_at"] is not None
    entries = await web.execute("SELECT * FROM audit.entry WHERE action = 'device.revoke_requested'")
    assert 1 <= len(entries) <= 4
    assert {entry["person_id"] for entry in entries} == {"alice"}
    operator = await web.client.post(
        f"/api/v1/devices/{BETA_METER}/revoke", json={"reason": "other"}, headers=await web.token("otto@example.org")
    )
    assert operator.status_code == 202
    odd = await web.client.post(path, json={"reason": "boredom"}, headers=headers)
    assert odd.status_code == 422


async def test_operations_see_alarms(web: Web) -> None:
    await web.execute("INSERT INTO pki.alarm (code, detail) VALUES ('crl_overdue', 'x')")
    found = (await web.client.get("/api/v1/alarms", headers=await web.token("otto@example.org"))).json()["items"]
    assert [(each["code"], each["times"]) for each in found] == [("crl_overdue", 1)]


async def test_what_a_camera_read_is_answered_in_words(web: Web) -> None:
    headers = await web.token("ines@example.org")
    read = await web.client.post("/api/v1/scanned", json={"text": "S/N: HQ2134"}, headers=headers)
    assert (read.status_code, read.json()["serial"]) == (200, "HQ2134")
    wrong = await web.client.post("/api/v1/scanned", json={"text": "WIFI:S:x;;"}, headers=headers)
    assert (wrong.status_code, wrong.json()["code"], wrong.json()["title"]) == (422, "scanned_wifi", "C'est un code Wi-Fi")


PROFILE: dict[str, Any] = {
    "id": "my-meter", "kind": "meter", "label_fr": "Compteur", "label_en": "Meter", "channels": ["grid_power_w"],
    "site_registers": [], "interval_s": 10,
}  # fmt: skip


async def settled(web: Web) -> None:
    """What the requests left to be done has been done."""
    async with asyncio.timeout(60):
        while web.services.background:
            await asyncio.gather(*web.services.background, return_exceptions=True)


async def as_person(web: Web, person: str, statement: str) -> Any:
    """Rolled back."""
    async with web.services.pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        try:
            await connection.execute("SELECT set_config('sp.person_id', $1, true)", person)
            if statement.startswith("SELECT"):
                return await connection.fetchval(statement)
            return await connection.execute(statement)
        finally:
            await transaction.rollback()
