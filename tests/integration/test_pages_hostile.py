"""The installer's pages against those who mean harm: the code's cookie, forms with odd characters, links used twice."""

import re
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from tests.portal import Portal, Seen, log_in, read
from tests.servers import Database
from tests.web_app import ALPHA, ALPHA_METER, Web, seed

HOSTILE = "</script><svg onload=x>\"' \u202eעברית\u200f 𝔐 &lt;"
NEW_PASSWORD = "a long new password"


@pytest.fixture
async def portal(database: Database, tmp_path: Path) -> AsyncIterator[Web]:
    await seed(database.owner)
    async with Portal(database, tmp_path) as running:
        await log_in(running, "ines@example.org")
        yield running


async def claim(portal: Web) -> tuple[str, Any]:
    answer = await portal.client.post(f"/sites/{ALPHA}/add", data={"profile": "meter", "request_id": "form-0001"})
    assert answer.status_code == 303, answer.text
    return answer.headers["location"], answer


async def test_the_codes_cookie_goes_to_its_own_page_alone_and_no_script_reads_it(portal: Web) -> None:
    path, answer = await claim(portal)
    (cookie,) = [each for each in answer.headers.get_list("set-cookie") if each.startswith("sp_claim_code=")]
    attributes = {each.strip().lower() for each in cookie.split(";")[1:]}
    assert {"httponly", f"path={path}", "samesite=lax"} <= attributes
    assert not any(each.startswith("domain") for each in attributes)
    assert re.search(r"max-age=(\d+)", cookie.lower())
    shown = await read(portal, path)
    assert 'data-testid="claim-code"' in shown.text
    assert "no-store" in shown.headers["cache-control"]


async def test_the_code_is_not_shown_to_who_comes_without_its_cookie_or_with_another(portal: Web) -> None:
    path, answer = await claim(portal)
    code = re.search(r"sp_claim_code=([^;]+)", str(answer.headers.get_list("set-cookie")))
    assert code is not None
    await log_in(portal, "otto@example.org")
    assert 'data-testid="claim-code"' not in (await read(portal, path)).text
    for email, status in (("alice@example.org", 404), ("bob@example.org", 404)):
        await log_in(portal, email)
        portal.client.cookies.set("sp_claim_code", code[1])
        assert (await read(portal, path)).status_code == status
    await log_in(portal, "otto@example.org")
    for wrong in ("x", "0" * 28, '"\\073"', "%C3%A9"):
        portal.client.cookies.set("sp_claim_code", wrong)
        answer = await read(portal, path)
        assert (answer.status_code, 'data-testid="claim-code"' in answer.text) == (200, False)


@pytest.mark.parametrize("text", ["a\0b", "a\x1bb", "x" * 30_000])
async def test_forms_with_odd_characters_are_complaints_and_no_failures(portal: Web, text: str) -> None:
    for path, fields in (
        (f"/sites/{ALPHA}/report", {"signed_name": text, "notes": ""}),
        (f"/sites/{ALPHA}/report", {"signed_name": "Inès", "notes": text}),
        (f"/sites/{ALPHA}/add", {"scanned": text}),
        (f"/sites/{ALPHA}/add", {"profile": text}),
        (f"/sites/{ALPHA}/add", {"profile": "meter", "name": text}),
        (f"/sites/{ALPHA}/add", {"profile": "meter", "serial": text}),
        (f"/sites/{ALPHA}/add", {"gateway": text, "serial": "A-9", "profile": "meter"}),
        (f"/sites/{ALPHA}/add", {"profile": "meter", "request_id": text}),
        ("/sites/new", {"name": text, "owner_email": text, "request_id": text}),
        (f"/devices/{ALPHA_METER}/correct", {"kind": text}),
        (f"/devices/{ALPHA_METER}/revoke", {"reason": "lost", "note": text}),
        ("/invitation", {"token": text, "password": text, "again": text, "name": text}),
    ):
        answer = await portal.client.post(path, data=fields)
        assert answer.status_code < 500, (path, fields.keys(), answer.text)
    headers = await portal.token("ines@example.org")
    some = text[:30]
    for path, form in (
        (f"sites/{ALPHA}/reports", {"signed_name": "Inès", "notes": some}),
        (f"sites/{ALPHA}/claims", {"profile": some}),
        (f"sites/{ALPHA}/claims", {"profile": "meter", "device": some}),
        (f"sites/{ALPHA}/devices", {"profile": some, "serial": "A-9", "name": "x", "gateway": some}),
        (f"devices/{ALPHA_METER}/corrections", {"kind": "sign", "measure": some, "value": -1, "from_at": 1}),
        (f"devices/{ALPHA_METER}/corrections", {"kind": "clock", "measure": "", "value": 1e300, "from_at": 2**62}),
        ("scanned", {"text": some}),
        ("invitations/accept", {"token": some, "password": some, "name": some}),
    ):
        answer = await portal.client.post(f"/api/v1/{path}", json=form, headers=headers)
        assert answer.status_code < 500, (path, form, answer.text)
    definition = {"id": "odd", "kind": "meter", "label_fr": some, "label_en": some, "channels": ["grid_power_w"],
                  "site_registers": [], "codec": "native", "interval_s": 10, "default_config": {some: some}}  # fmt: skip
    headers = await portal.token("otto@example.org")
    answer = await portal.client.post("/api/v1/profiles", json={"definition": definition}, headers=headers)
    assert answer.status_code < 500, answer.text


async def test_names_from_elsewhere_stay_text_on_every_page(portal: Web) -> None:
    await portal.execute("UPDATE registry.site SET name = $1, address = $1, owner_name = $1", HOSTILE)
    await portal.execute("UPDATE registry.device SET name = $1, serial = $1 WHERE id = $2", HOSTILE, ALPHA_METER)
    await portal.execute(
        "INSERT INTO telemetry.waiting_source (site_id, gateway_id, serial, first_seen_at, last_seen_at, measures)"
        " VALUES ($1, $2, $3, now(), now(), ARRAY[$3])",
        ALPHA,
        ALPHA_METER,
        HOSTILE,
    )
    path, _ = await claim(portal)
    for address in (path, f"/sites/{ALPHA}", f"/sites/{ALPHA}/add", f"/sites/{ALPHA}/checks", f"/sites/{ALPHA}/report",
                    f"/devices/{ALPHA_METER}"):  # fmt: skip
        answer = await read(portal, address)
        assert answer.status_code == 200, (address, answer.text)
        seen = Seen(answer.text)
        assert seen.inline == [], address
        assert HOSTILE in unescape(answer.text) or address == path
        assert "</script><svg" not in answer.text


async def invite(portal: Web, *, expired: bool = False) -> str:
    """An owner without a password, and the token of his mail."""
    await portal.execute(
        "INSERT INTO accounts.person (id, organisation_id, email, name, role, password_hash)"
        " VALUES ('claire', 'alpha', 'claire@example.org', $1, 'customer', '') ON CONFLICT DO NOTHING",
        HOSTILE,
    )
    await portal.execute("UPDATE registry.site SET owner_email = 'claire@example.org' WHERE id = $1", ALPHA)
    headers = await portal.token("ines@example.org")
    signed = await portal.client.post(f"/api/v1/sites/{ALPHA}/reports", json={"signed_name": "Inès"}, headers=headers)
    assert signed.status_code == 201, signed.text
    (mail,) = await portal.execute("SELECT body FROM accounts.mail ORDER BY id DESC LIMIT 1")
    if expired:
        await portal.execute("UPDATE accounts.invitation SET expires_at = now()")
    found = re.search(r"token=([\w-]+)", mail["body"])
    assert found is not None
    return found[1]


@pytest.mark.parametrize("language", ["fr", "en"])
async def test_a_link_that_was_used_leads_on_to_the_log_in(portal: Web, language: str) -> None:
    token = await invite(portal)
    portal.client.cookies.clear()
    assert (await read(portal, f"/invitation?token={token}", language)).status_code == 200
    fields = {"token": token, "password": NEW_PASSWORD, "again": NEW_PASSWORD, "name": "Cla\0ire", "locale": language}
    assert (await portal.client.post("/invitation", data=fields)).status_code == 303
    portal.client.cookies.clear()
    again = await read(portal, f"/invitation?token={token}", language)
    assert again.status_code == 410
    assert 'data-code="invitation_used"' in again.text
    assert "/login" in Seen(again.text).links
    twice = await portal.client.post("/invitation", data=fields)
    assert (twice.status_code, "/login" in Seen(twice.text).links) == (410, True)


async def test_a_link_that_ran_out_says_whom_to_ask(portal: Web) -> None:
    token = await invite(portal, expired=True)
    portal.client.cookies.clear()
    late = await read(portal, f"/invitation?token={token}", "fr")
    assert (late.status_code, 'data-code="invitation_expired"' in late.text) == (410, True)
    assert "installateur" in late.text
    assert (await portal.execute("SELECT password_hash FROM accounts.person WHERE id = 'claire'"))[0][0] == ""
    fresh = await invite(portal)  # the installer signs once more: that sends another one
    portal.client.cookies.clear()
    assert (await read(portal, f"/invitation?token={fresh}")).status_code == 200


async def test_a_session_that_ended_makes_nothing(portal: Web) -> None:
    await portal.execute("UPDATE accounts.session SET revoked_at = now()")
    for path in (f"/sites/{ALPHA}/add", f"/sites/{ALPHA}/report", f"/devices/{ALPHA_METER}/revoke", "/sites/new"):
        answer = await portal.client.post(path, data={"profile": "meter", "signed_name": "x", "reason": "lost"})
        assert (answer.status_code, answer.headers["location"][:18]) == (303, "/api/v1/auth/renew"), path
    assert await portal.execute("SELECT FROM pki.claim") == []
