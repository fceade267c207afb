"""The commissioning report, signed; the mail that follows; the owner who chooses a password, once; profiles by version."""

import asyncio
import hashlib
import re
from typing import Any

import msgspec
import pytest

from fleet.limits import REPORTS_PER_SITE_AND_DAY_MAX
from fleet.profiles import shipped
from fleet.storage import bootstrap
from fleet.storage.database import connect
from tests.web_app import ALPHA, ALPHA_METER, BETA, Web

METER: dict[str, Any] = msgspec.to_builtins(next(profile for profile in shipped() if profile.id == "meter"))
NEW_PASSWORD = "a password of her own"


@pytest.fixture
async def new_site(web: Web) -> str:
    """Made for Claire, who has no account yet, with a meter in it."""
    form = {
        "name": "Ferme #1 $x$",
        "owner_email": "claire@example.org",
        "owner_name": "Claire",
        "latitude": 44,
        "longitude": 5,
    }
    answer = await web.client.post("/api/v1/sites", json=form, headers=await web.token("ines@example.org"))
    await web.execute(
        "INSERT INTO registry.device (id, site_id, profile_id, name, serial, enrolled_at)"
        " VALUES ('met-claire', $1, 'meter', 'Compteur', 'C-1', now())",
        answer.json()["id"],
    )
    await web.execute(
        "INSERT INTO pki.certificate (serial, site_id, device_id, key_hash, intent_at, not_before, not_after, der)"
        " VALUES ('abcdef01', $1, 'met-claire', '', now(), now(), now() + interval '90 days', '')",
        answer.json()["id"],
    )
    return str(answer.json()["id"])


async def sign(web: Web, site: str, email: str = "ines@example.org", **form: Any) -> Any:
    given = {"signed_name": "Inès Martin"} | form
    return await web.client.post(f"/api/v1/sites/{site}/reports", json=given, headers=await web.token(email))


async def invited(web: Web) -> str:
    (mail,) = await web.execute("SELECT * FROM accounts.mail")
    assert mail["recipient"] == "claire@example.org"
    found = re.search(r"http://testserver\.local/invitation\?token=([\w-]{40,})\n", mail["body"])
    assert found, mail["body"]
    return found[1]


async def accept(web: Web, token: str, **form: Any) -> Any:
    return await web.client.post("/api/v1/invitations/accept", json={"token": token, "password": NEW_PASSWORD} | form)


async def test_a_report_is_drafted_signed_kept_and_read_by_the_owner(web: Web, new_site: str) -> None:
    headers = await web.token("ines@example.org")
    draft = (await web.client.get(f"/api/v1/sites/{new_site}/report-draft", headers=headers)).json()
    assert (draft["number"], draft["language"], draft["signed_name"], draft["site"]["owner"]) == (1, "fr", "", "Claire")
    (device,) = draft["devices"]
    assert (device["serial"], device["certificate"]["serial"], device["first_at"]) == ("C-1", "abcdef01", None)
    assert {check["code"] for check in device["checks"]} >= {"sign", "clock"}
    answer = await sign(web, new_site, notes="#panic() reste à poser le cache")
    assert answer.status_code == 201, answer.text
    row = answer.json()
    assert (row["number"], row["signed_by"], row["signed_name"]) == (1, "ines", "Inès Martin")
    document = await web.client.get(f"/api/v1/sites/{new_site}/reports/1.pdf", headers=headers)
    assert document.headers["content-type"] == "application/pdf"
    assert document.content.startswith(b"%PDF-")
    assert hashlib.sha256(document.content).hexdigest() == row["sha256"]
    (stored,) = await web.execute("SELECT content FROM registry.commissioning_report")
    assert stored["content"]["notes"] == "#panic() reste à poser le cache"
    again = await sign(web, new_site)
    assert again.json()["number"] == 2
    listed = (await web.client.get(f"/api/v1/sites/{new_site}/reports", headers=headers)).json()["items"]
    assert [each["number"] for each in listed] == [2, 1]
    for path in ("reports/3.pdf", "reports/x.pdf", "reports/1", "reports/-1.pdf"):
        assert (await web.client.get(f"/api/v1/sites/{new_site}/{path}", headers=headers)).json()["code"] == "unknown_report"
    for stranger in ("bob@example.org", "alice@example.org"):
        other = await web.client.get(f"/api/v1/sites/{new_site}/reports/1.pdf", headers=await web.token(stranger))
        assert (other.status_code, other.json()["code"]) == (404, "unknown_site")
    (entry, _) = await web.execute("SELECT * FROM audit.entry WHERE action = 'report.sign' ORDER BY id")
    assert entry["subject"] == new_site


async def test_the_same_signature_twice_at_once_is_one_report_and_one_mail(web: Web, new_site: str) -> None:
    answers = await asyncio.gather(*(sign(web, new_site, request_id="signature-1") for _ in range(3)))
    assert {answer.status_code for answer in answers} == {201}, answers[0].text
    assert {answer.json()["number"] for answer in answers} == {1}
    await invited(web)
    both = await asyncio.gather(sign(web, new_site), sign(web, new_site, "otto@example.org"))
    assert {answer.json()["number"] for answer in both} == {2, 3}


async def test_who_may_sign_and_what(web: Web) -> None:
    for email, site, status in (
        ("alice@example.org", ALPHA, 403),
        ("bob@example.org", ALPHA, 404),
        ("ines@example.org", BETA, 404),
    ):
        assert (await sign(web, site, email)).status_code == status
    await web.execute(
        "INSERT INTO registry.commissioning_report (site_id, number, signed_by, signed_name, content, pdf, sha256)"
        " SELECT $1, n, 'x', 'x', '{}', '', '' FROM generate_series(1, $2) n",
        ALPHA,
        REPORTS_PER_SITE_AND_DAY_MAX,
    )
    assert (await sign(web, ALPHA)).json()["code"] == "too_many_reports"
    await web.execute("UPDATE registry.device SET retired_at = now()")
    empty = await sign(web, ALPHA)
    assert (empty.status_code, empty.json()["code"]) == (409, "report_without_devices")
    assert await web.execute("SELECT FROM accounts.mail") == []


async def test_an_owner_with_an_account_is_told_and_not_invited(web: Web) -> None:
    await web.execute("UPDATE accounts.person SET locale = 'en' WHERE id IN ('alice', 'emma')")
    assert (await sign(web, ALPHA)).status_code == 201
    (mail,) = await web.execute("SELECT * FROM accounts.mail")
    assert mail["recipient"] in ("alice@example.org", "emma@example.org")
    assert mail["subject"].startswith("Your solar site")
    assert f"/sites/{ALPHA}" in mail["body"]
    assert "token" not in mail["body"]
    assert await web.execute("SELECT FROM accounts.invitation") == []


async def test_the_owner_chooses_a_password_once_and_is_signed_in(web: Web, new_site: str) -> None:
    await sign(web, new_site)
    token = await invited(web)
    (stored,) = await web.execute("SELECT * FROM accounts.invitation")
    assert token.encode() not in bytes(stored["token_hash"])
    short = await accept(web, token, password="short")
    assert (short.status_code, short.json()["code"]) == (422, "weak_password")
    answers = await asyncio.gather(*(accept(web, token, name="Claire M.", locale="en") for _ in range(3)))
    assert sorted(answer.status_code for answer in answers) == [200, 410, 410], [answer.text for answer in answers]
    granted = next(answer.json() for answer in answers if answer.status_code == 200)
    headers = {"Authorization": f"Bearer {granted['access_token']}"}
    me = (await web.client.get("/api/v1/me", headers=headers)).json()
    assert (me["name"], me["locale"], me["role"]) == ("Claire M.", "en", "customer")
    sites = (await web.client.get("/api/v1/sites", headers=headers)).json()["items"]
    assert [site["id"] for site in sites] == [new_site]
    assert (await web.client.get(f"/api/v1/sites/{new_site}/reports/1.pdf", headers=headers)).status_code == 200
    login = {"email": "claire@example.org", "password": NEW_PASSWORD}
    assert (await web.client.post("/api/v1/auth/login", json=login)).status_code == 200
    used = await accept(web, token)
    assert (used.status_code, used.json()["code"]) == (410, "invitation_used")
    await web.execute("DELETE FROM accounts.mail")
    await sign(web, new_site)
    (mail,) = await web.execute("SELECT * FROM accounts.mail")
    assert "token" not in mail["body"], "she can sign in by now"


async def test_a_browser_gets_its_session_as_cookies(web: Web, new_site: str) -> None:
    await sign(web, new_site)
    answer = await accept(web, await invited(web), cookies=True)
    assert "access_token" not in answer.json()
    assert any("HttpOnly" in header for header in answer.headers.get_list("set-cookie"))


async def test_invitations_that_open_nothing(web: Web, new_site: str) -> None:
    await sign(web, new_site)
    token = await invited(web)
    for wrong in ("x", token[:-1], token + "x", "\ud83d".encode("utf-16", "surrogatepass").decode("utf-16", "replace")):
        answer = await accept(web, wrong)
        assert (answer.status_code, answer.json()["code"]) == (404, "invitation_unknown")
    await web.execute("UPDATE accounts.invitation SET expires_at = now()")
    late = await accept(web, token)
    assert (late.status_code, late.json()["code"]) == (410, "invitation_expired")
    await web.execute("UPDATE accounts.invitation SET expires_at = now() + interval '1 day'")
    await web.execute("UPDATE accounts.person SET disabled_at = now() WHERE email = 'claire@example.org'")
    assert (await accept(web, token)).json()["code"] == "invitation_unknown"
    assert (await web.execute("SELECT password_hash FROM accounts.person WHERE email = 'claire@example.org'"))[0][0] == ""


async def test_accepting_is_limited_in_rate(web: Web) -> None:
    web.services.rate._per_min = 3
    codes = [(await accept(web, "x")).status_code for _ in range(5)]
    assert codes == [404, 404, 404, 429, 429]


async def test_profiles_change_by_version(web: Web) -> None:
    headers = await web.token("otto@example.org")
    found = await web.client.get("/api/v1/profiles/meter", headers=headers)
    assert found.headers["etag"] == '"1"'
    path = "/api/v1/profiles/meter"
    longer = {
        "definition": METER | {"channels": [*METER["channels"], "ac_frequency_hz"], "interval_s": 5},
        "note": "plus vite",
    }
    for match, code in ((None, "version_needed"), ("x", "version_needed"), ('"2"', "profile_changed")):
        given = headers | ({"If-Match": match} if match else {})
        assert (await web.client.put(path, json=longer, headers=given)).json()["code"] == code
    answers = await asyncio.gather(
        *(web.client.put(path, json=longer, headers=headers | {"If-Match": '"1"'}) for _ in range(3))
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409]
    now = (await web.client.get(path, headers=headers)).json()
    assert (now["profile"]["version"], now["profile"]["devices"], now["versions"][0]["note"]) == (2, 2, "plus vite")
    assert now["versions"][0]["created_by"] == "otto"
    async with asyncio.timeout(60):
        while web.services.background:
            await asyncio.gather(*web.services.background)
    assert set(web.twins.forgotten) == {ALPHA, BETA}
    shorter = {"definition": METER | {"channels": METER["channels"][:2]} | {"site_registers": []}}
    refused = await web.client.put(path, json=shorter, headers=headers | {"If-Match": '"2"'})
    assert (refused.status_code, refused.json()["code"]) == (409, "profile_channels")
    device = (await web.client.get(f"/api/v1/devices/{ALPHA_METER}", headers=headers)).json()
    assert device["interval_s"] == 5


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"id": "other"}, "bad_profile"),
        ({"kind": "inverter"}, "profile_identity"),
        ({"channels": [*METER["channels"], "gold_kg"]}, "unknown_measure"),
        ({"site_registers": ["pv_energy_wh"]}, "unknown_measure"),
        ({"codec": "klingon"}, "unknown_codec"),
        ({"interval_s": 0}, "bad_profile"),
        ({"interval_s": "soon"}, "invalid_request"),
        ({"surprise": 1}, "invalid_request"),
    ],
    ids=str,
)
async def test_a_profile_with_mistakes_changes_nothing(web: Web, change: dict[str, Any], code: str) -> None:
    headers = await web.token("otto@example.org") | {"If-Match": '"1"'}
    answer = await web.client.put("/api/v1/profiles/meter", json={"definition": METER | change}, headers=headers)
    assert answer.json()["code"] == code, answer.text
    assert answer.status_code in (409, 422)
    assert (await web.execute("SELECT version FROM registry.profile WHERE id = 'meter'"))[0][0] == 1


async def test_new_profiles_and_who_may_make_them(web: Web) -> None:
    form = {"definition": METER | {"id": "my-meter"}}
    for email, status in (
        ("ines@example.org", 403),
        ("alice@example.org", 403),
        ("ada@example.org", 201),
        ("ada@example.org", 409),
    ):
        answer = await web.client.post("/api/v1/profiles", json=form, headers=await web.token(email))
        assert answer.status_code == status, answer.text
    listed = (await web.client.get("/api/v1/profiles", headers=await web.token("alice@example.org"))).json()["items"]
    assert "my-meter" in {each["id"] for each in listed}


async def test_a_new_release_leaves_what_people_changed(web: Web) -> None:
    headers = await web.token("otto@example.org") | {"If-Match": '"1"'}
    change = {"definition": METER | {"interval_s": 5}}
    assert (await web.client.put("/api/v1/profiles/meter", json=change, headers=headers)).status_code == 200
    connection = await connect(web.owner)
    try:
        for _ in range(2):
            newer = [msgspec.structs.replace(profile, interval_s=profile.interval_s + 1) for profile in shipped()]
            await bootstrap.store_profiles(connection, newer)
    finally:
        await connection.close()
    found = {row["id"]: row for row in await web.execute("SELECT * FROM registry.profile")}
    assert (found["meter"]["version"], found["meter"]["definition"]["interval_s"]) == (2, 5)
    assert found["inverter"]["version"] == 2
    kept = await web.execute(
        "SELECT version, created_by FROM registry.profile_version WHERE profile_id = 'inverter' ORDER BY 1"
    )
    assert [tuple(row) for row in kept] == [(1, None), (2, None)]
