"""Sites made by installers for their owners: who may, twice the same form, what is disclosed, what can be changed."""

import asyncio
from typing import Any

import pytest

from tests.web_app import ALPHA, BETA, Web

FORM: dict[str, Any] = {
    "name": "École, toit sud",
    "owner_email": "Claire@Example.org",
    "owner_name": "Claire Martin",
    "address": "1 rue Haute, 26400 Crest",
    "latitude": 44.73,
    "longitude": 5.02,
    "arrays": [
        {"peak_power_w": 6000, "azimuth_deg": 180, "tilt_deg": 30},
        {"peak_power_w": 3000, "azimuth_deg": 90, "tilt_deg": 15},
    ],
    "pdl": "12345678901234",
    "request_id": "form-0001",
}


async def make(web: Web, headers: dict[str, str], **changes: Any) -> Any:
    return await web.client.post("/api/v1/sites", json=FORM | changes, headers=headers)


async def test_an_installer_makes_a_site_and_both_see_it(web: Web) -> None:
    headers = await web.token("ines@example.org")
    answer = await make(web, headers)
    assert answer.status_code == 201, answer.text
    site = answer.json()
    assert site["id"].startswith("ecole-toit-sud-")
    assert (site["peak_power_w"], site["department"], site["installer"]) == (9000, "26", "Inès PV")
    assert (site["customer"], site["pdl"], len(site["arrays"])) == ("Claire Martin", "12345678901234", 2)
    listed = (await web.client.get("/api/v1/sites", headers=headers)).json()["items"]
    assert {each["id"] for each in listed} == {ALPHA, site["id"]}
    assert next(each["pdl"] for each in listed if each["id"] == site["id"]) == "··········1234"
    for stranger in ("alice@example.org", "bob@example.org", "emma@example.org"):
        theirs = await web.client.get(f"/api/v1/sites/{site['id']}", headers=await web.token(stranger))
        assert theirs.status_code == 404
    (owner,) = await web.execute("SELECT * FROM accounts.person WHERE email = 'claire@example.org'")
    assert (owner["role"], owner["password_hash"], owner["locale"]) == ("customer", "", "fr")
    (entry,) = await web.execute("SELECT * FROM audit.entry WHERE action = 'site.make'")
    assert (entry["person_id"], entry["subject"]) == ("ines", site["id"])


async def test_the_same_form_twice_at_once_makes_one_site(web: Web) -> None:
    headers = await web.token("ines@example.org")
    answers = await asyncio.gather(*(make(web, headers) for _ in range(6)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    counts = await web.execute(
        "SELECT (SELECT count(*) FROM registry.site) AS sites,"
        " (SELECT count(*) FROM accounts.person WHERE email = 'claire@example.org') AS owners,"
        " (SELECT count(*) FROM audit.entry WHERE action = 'site.make') AS entries"
    )
    assert tuple(counts[0]) == (3, 1, 1)
    other = await make(web, await web.token("otto@example.org"))
    assert other.json()["id"] != answers[0].json()["id"], "somebody else's form is another form"


async def test_two_sites_at_once_for_one_new_owner_make_one_person(web: Web) -> None:
    headers = await web.token("ines@example.org")
    answers = await asyncio.gather(*(make(web, headers, request_id=f"form-{number:04}") for number in range(5)))
    assert len({answer.json()["id"] for answer in answers}) == 5
    rows = await web.execute("SELECT DISTINCT customer_organisation_id FROM registry.site WHERE owner_email <> ''")
    assert len(rows) == 1


async def test_a_known_owner_gets_the_site_and_nothing_of_him_is_told(web: Web) -> None:
    """The answers for a stranger and for somebody who has an account differ in what was typed only."""
    headers = await web.token("ines@example.org")
    known = (await make(web, headers, owner_email="bob@example.org", request_id=None)).json()
    unknown = (await make(web, headers, request_id=None)).json()
    changing = {"id", "created_at", "health"}
    assert {key: value for key, value in known.items() if key not in changing} == {
        key: value for key, value in unknown.items() if key not in changing
    }
    for path in (f"/api/v1/sites/{known['id']}", "/api/v1/sites"):
        assert "Beta" not in (await web.client.get(path, headers=headers)).text
    bobs = (await web.client.get("/api/v1/sites", headers=await web.token("bob@example.org"))).json()["items"]
    assert {site["id"]: site["customer"] for site in bobs} == {BETA: "Beta", known["id"]: "Beta"}
    assert all(site["health"]["status"] for site in bobs)


@pytest.mark.parametrize("email", ["otto@example.org", "ada@example.org", "ines@example.org", " INES@example.org "])
async def test_staff_own_no_sites_and_all_are_answered_alike(web: Web, email: str) -> None:
    answer = await make(web, await web.token("ines@example.org"), owner_email=email)
    assert (answer.status_code, answer.json()["code"]) == (409, "owner_email_unusable")
    assert "installer" not in answer.json()["detail"]
    assert len(await web.execute("SELECT FROM registry.site")) == 2


async def test_who_may_not_make_sites(web: Web) -> None:
    for email in ("alice@example.org", "emma@example.org"):
        answer = await make(web, await web.token(email))
        assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed")
    for email in ("otto@example.org", "ada@example.org"):
        answer = await make(web, await web.token(email), request_id=f"form-of-{email[:3]}")
        assert (answer.status_code, answer.json()["installer"]) == (201, None)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"owner_email": "not an address"}, "bad_recipient"),
        ({"owner_email": "a@b.c\nBcc: x@y.z"}, "bad_recipient"),
        ({"timezone": "Mars/Olympus"}, "unknown_timezone"),
        ({"arrays": [{"peak_power_w": 0, "azimuth_deg": 180, "tilt_deg": 30}]}, "bad_array"),
        ({"arrays": [{"peak_power_w": 1, "azimuth_deg": 361, "tilt_deg": 30}]}, "bad_array"),
        ({"arrays": [{"peak_power_w": 1, "azimuth_deg": 1, "tilt_deg": 1}] * 13}, "invalid_request"),
        ({"pdl": "1234"}, "invalid_request"),
        ({"latitude": 91}, "invalid_request"),
        ({"name": "a\nb"}, "invalid_request"),
        ({"name": ""}, "invalid_request"),
        ({"request_id": "short"}, "invalid_request"),
        ({"unknown": 1}, "invalid_request"),
    ],
    ids=str,
)
async def test_a_form_with_mistakes_makes_nothing(web: Web, change: dict[str, Any], code: str) -> None:
    answer = await make(web, await web.token("ines@example.org"), **change)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert len(await web.execute("SELECT FROM registry.site")) == 2


async def test_a_person_without_a_password_cannot_sign_in(web: Web) -> None:
    """Not by anything, and not by what the hash is compared with when there is none."""
    await make(web, await web.token("ines@example.org"))
    for password in ("nobody has this password", "x", " "):
        answer = await web.client.post("/api/v1/auth/login", json={"email": "claire@example.org", "password": password})
        assert (answer.status_code, answer.json()["code"]) == (401, "bad_credentials")


async def test_a_site_is_changed(web: Web) -> None:
    headers = await web.token("ines@example.org")
    change = {"address": "97410 Saint-Pierre", "arrays": FORM["arrays"][:1], "pdl": "00000000001111", "latitude": -21.3,
              "longitude": 55.5, "timezone": "Indian/Reunion"}  # fmt: skip
    answer = await web.client.patch(f"/api/v1/sites/{ALPHA}", json=change, headers=headers)
    assert answer.status_code == 200, answer.text
    site = answer.json()
    assert {key: site[key] for key in change} == change
    assert (site["department"], site["peak_power_w"], site["name"]) == ("974", 6000, "Mairie")
    assert ALPHA in web.twins.forgotten
    for bad, code in (
        ({"timezone": "x"}, "unknown_timezone"),
        ({"arrays": [{"peak_power_w": -1, "azimuth_deg": 0, "tilt_deg": 0}]}, "bad_array"),
    ):
        assert (await web.client.patch(f"/api/v1/sites/{ALPHA}", json=bad, headers=headers)).json()["code"] == code
    await web.execute(
        "INSERT INTO telemetry.site_day VALUES"
        " ($1, '2026-11-22', 'Indian/Reunion', 1, 1, 1, 1, 1, '{}', '{}', '{}', '{}', '{}', '{}', now())",
        ALPHA,
    )
    late = await web.client.patch(f"/api/v1/sites/{ALPHA}", json={"timezone": "Europe/Paris"}, headers=headers)
    assert (late.status_code, late.json()["code"]) == (409, "timezone_in_use")
    same = await web.client.patch(f"/api/v1/sites/{ALPHA}", json={"timezone": "Indian/Reunion"}, headers=headers)
    assert same.status_code == 200


async def test_the_grid_connection_is_masked_for_those_it_is_shared_with(web: Web) -> None:
    await web.execute("UPDATE registry.site SET pdl = '12345678901234' WHERE id = $1", ALPHA)
    await web.execute("INSERT INTO registry.site_share (site_id, person_id) VALUES ($1, 'bob')", ALPHA)
    shown = {}
    for person in ("alice", "emma", "ines", "otto", "bob"):
        answer = await web.client.get(f"/api/v1/sites/{ALPHA}", headers=await web.token(f"{person}@example.org"))
        shown[person] = answer.json()["pdl"]
    assert shown.pop("bob") == "··········1234"
    assert set(shown.values()) == {"12345678901234"}


async def test_the_database_itself_lets_nobody_else_make_a_site(web: Web) -> None:
    """Whatever the API would let pass: the function looks up who acts."""
    call = (
        "SELECT outcome FROM registry.create_site('x', 0::smallint, 'x', 'Europe/Paris', 0, 0, 0, NULL, '', NULL, '[]',"
        " NULL, 'p', 'o', 'x@example.org', 'X', 'fr')"
    )
    for person, outcome in (("alice", "not_allowed"), ("", "not_allowed"), ("ines", "made")):
        async with web.services.pool.acquire() as connection, connection.transaction():
            await connection.execute("SELECT set_config('sp.person_id', $1, true)", person)
            assert await connection.fetchval(call) == outcome
