"""A site that is shared with an installer of another company: he sees it, and changes nothing of it, whatever his role."""

from typing import Any

import asyncpg
import msgspec
import pytest

from fleet.storage import reports
from tests.web_app import ALPHA, ALPHA_METER, HASH, Web
from web.report_content import ReportContent

STRANGER = "victor@example.org"
NEVER = {"kind": "sign", "measure": "grid_power_w", "value": -1, "from_at": 1_763_800_000_000}
FORMS: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", f"/sites/{ALPHA}/claims", {"profile": "meter"}),
    ("POST", f"/sites/{ALPHA}/devices", {"profile": "meter", "serial": "NEW-1", "name": "x", "gateway": ALPHA_METER}),
    ("POST", f"/devices/{ALPHA_METER}/corrections", NEVER),
    ("POST", f"/devices/{ALPHA_METER}/serial", {"serial": "A-77"}),
    ("POST", f"/devices/{ALPHA_METER}/revoke", {"reason": "stolen"}),
    ("POST", f"/sites/{ALPHA}/reports", {"signed_name": "V. I."}),
    ("GET", f"/sites/{ALPHA}/report-draft", {}),
    ("PATCH", f"/sites/{ALPHA}", {"name": "Mine now"}),
]


@pytest.fixture
async def shared(web: Web) -> Web:
    await web.execute("INSERT INTO accounts.organisation (id, name, kind) VALUES ('other', 'Victor PV', 'installer')")
    await web.execute(
        "INSERT INTO accounts.person (id, organisation_id, email, name, role, password_hash)"
        " VALUES ('victor', 'other', $1, 'Victor', 'installer', $2)",
        STRANGER,
        HASH,
    )
    await web.execute("INSERT INTO registry.site_share (site_id, person_id) VALUES ($1, 'victor')", ALPHA)
    await web.execute("UPDATE registry.site SET pdl = '12345678901234'")
    return web


@pytest.mark.parametrize(("method", "path", "form"), FORMS, ids=lambda each: str(each)[:60])
async def test_an_installer_whom_a_site_is_shared_with_only_looks(
    shared: Web, method: str, path: str, form: dict[str, Any]
) -> None:
    headers = await shared.token(STRANGER)
    assert (await shared.client.get(f"/api/v1/sites/{ALPHA}", headers=headers)).status_code == 200
    given: dict[str, Any] = {} if method == "GET" else {"json": form}
    answer = await shared.client.request(method, f"/api/v1{path}", headers=headers, **given)
    assert (answer.status_code, answer.json()["code"]) in ((403, "not_allowed"), (403, "revoke_not_yours")), answer.text


async def test_what_the_sites_installer_made_is_not_his_to_undo(shared: Web) -> None:
    keeper, stranger = await shared.token("ines@example.org"), await shared.token(STRANGER)
    made = await shared.client.post(f"/api/v1/sites/{ALPHA}/claims", json={"profile": "meter"}, headers=keeper)
    fixed = await shared.client.post(f"/api/v1/devices/{ALPHA_METER}/corrections", json=NEVER, headers=keeper)
    assert (made.status_code, fixed.status_code) == (201, 201), fixed.text
    for path in (
        f"/claims/{made.json()['claim_id']}/cancel",
        f"/devices/{ALPHA_METER}/corrections/{fixed.json()['id']}/undo",
    ):
        answer = await shared.client.post(f"/api/v1{path}", headers=stranger)
        assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed"), path


async def test_the_database_itself_lets_him_write_nothing(shared: Web) -> None:
    """Whatever the API would let pass."""
    statements = (
        """INSERT INTO pki.claim (id, site_id, device_id, profile_id, device_name, code_hash, expires_at)
           VALUES ('00', $1, 'met-9', 'meter', 'x', '', now())""",
        "INSERT INTO registry.device (id, site_id, profile_id, name) VALUES ('met-9', $1, 'meter', 'x')",
        """INSERT INTO registry.correction (id, site_id, device_id, kind, value, from_time)
           VALUES ('c', $1, 'meter-alpha', 'sign', -1, now())""",
        """INSERT INTO registry.commissioning_report (site_id, number, signed_by, signed_name, content, pdf, sha256)
           VALUES ($1, 9, 'x', 'x', '{}', '', '')""",
    )
    for person, allowed in (("victor", False), ("alice", False), ("ines", True)):
        for statement in statements:
            async with shared.services.pool.acquire() as connection:
                turn = connection.transaction()
                await turn.start()
                await connection.execute("SELECT set_config('sp.person_id', $1, true)", person)
                try:
                    await connection.execute(statement, ALPHA)
                    passed = True
                except asyncpg.InsufficientPrivilegeError:
                    passed = False
                await turn.rollback()
            assert passed == allowed, (person, statement)
        async with shared.services.pool.acquire() as connection, connection.transaction():
            await connection.execute("SELECT set_config('sp.person_id', $1, true)", person)
            changed = await connection.execute("UPDATE registry.site SET name = 'Mairie' WHERE id = $1", ALPHA)
            assert changed == f"UPDATE {int(allowed)}", person


async def test_the_signed_report_holds_the_grid_connection_and_a_strangers_copy_does_not(shared: Web) -> None:
    keeper = await shared.token("ines@example.org")
    signed = await shared.client.post(f"/api/v1/sites/{ALPHA}/reports", json={"signed_name": "Inès"}, headers=keeper)
    assert signed.status_code == 201, signed.text
    path = f"/api/v1/sites/{ALPHA}/reports/1.pdf"
    async with shared.services.pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT set_config('sp.person_id', 'ines', true)")
        content = msgspec.convert(await reports.content(connection, ALPHA, 1), ReportContent)
    assert content.site.pdl == "12345678901234"
    documents = {}
    for email in ("ines@example.org", "alice@example.org", "otto@example.org", STRANGER):
        answer = await shared.client.get(path, headers=await shared.token(email))
        assert answer.content.startswith(b"%PDF-"), answer.text
        documents[email] = answer.content
    stranger = documents.pop(STRANGER)
    assert len(set(documents.values())) == 1
    assert stranger not in documents.values()


async def test_a_form_that_comes_again_for_another_site_is_no_form_of_that_site(shared: Web) -> None:
    """Somebody's browser sends an old form number: nobody gets a code, or a report, of another place than he asked for."""
    headers = await shared.token("otto@example.org")
    form = {"profile": "meter", "request_id": "form-0001"}
    first = await shared.client.post(f"/api/v1/sites/{ALPHA}/claims", json=form, headers=headers)
    assert first.status_code == 201
    for path, again in (
        ("/api/v1/sites/site-beta/claims", form),
        (f"/api/v1/sites/{ALPHA}/claims", form | {"profile": "inverter"}),
    ):
        answer = await shared.client.post(path, json=again, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (409, "request_taken"), answer.text
    sign = {"signed_name": "O", "request_id": "sign-0001"}
    assert (await shared.client.post(f"/api/v1/sites/{ALPHA}/reports", json=sign, headers=headers)).status_code == 201
    other = await shared.client.post("/api/v1/sites/site-beta/reports", json=sign, headers=headers)
    assert (other.status_code, other.json()["code"]) == (409, "request_taken"), other.text


@pytest.mark.parametrize("claim", ["%00", "%FF", "a" * 5_000, "..%2f..", "%F0%9F%8C%9E", "%0d%0aX: y"])
@pytest.mark.parametrize("path", ["/api/v1/claims/{}", "/api/v1/claims/{}/cancel", "/api/v1/claims/{}/events"])
async def test_a_claim_with_an_odd_name_is_an_unknown_one(web: Web, path: str, claim: str) -> None:
    headers = await web.token("ines@example.org")
    method = "POST" if path.endswith("cancel") else "GET"
    answer = await web.client.request(method, path.format(claim), headers=headers)
    assert answer.status_code == 404, answer.text


@pytest.mark.parametrize(
    "name", ["École\u202f!", "Toit\u00a0sud", "\u200fבית\u202e", "\N{SUN WITH FACE} 𝔐airie", "</script><b>", "x" * 120]
)
async def test_the_owner_is_told_whatever_his_site_is_called(shared: Web, name: str) -> None:
    """French puts thin spaces before its signs: they are no line ends."""
    headers = await shared.token("ines@example.org")
    changed = await shared.client.patch(f"/api/v1/sites/{ALPHA}", json={"name": name}, headers=headers)
    assert changed.status_code == 200, changed.text
    signed = await shared.client.post(f"/api/v1/sites/{ALPHA}/reports", json={"signed_name": name[:60]}, headers=headers)
    assert signed.status_code == 201, signed.text
    (mail,) = await shared.execute("SELECT * FROM accounts.mail")
    assert mail["subject"].isprintable()
    assert name in mail["body"]


@pytest.mark.parametrize(
    "change",
    [{"name": "Mairie\n"}, {"name": "a\r\nBcc: x@y.z"}, {"name": "a\u2028b"}, {"name": "\0"}, {"name": "\x85"},
     {"pdl": "12345678901234\n"}, {"department": "26\n"}, {"address": "x\n"}],
    ids=str,
)  # fmt: skip
async def test_what_is_one_line_is_one_line(shared: Web, change: dict[str, str]) -> None:
    headers = await shared.token("ines@example.org")
    answer = await shared.client.patch(f"/api/v1/sites/{ALPHA}", json=change, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request"), answer.text
