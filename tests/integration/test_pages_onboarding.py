"""The installer's flow as forms: what a phone without scripts does, page by page, and what is refused in words."""

import re
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from fleet import claim_code
from tests.portal import Portal, Seen, log_in, read
from tests.servers import Database
from tests.web_app import ALPHA, ALPHA_METER, BASE_URL, Web, seed

SITE = {
    "name": "Martin, Crest", "owner_email": "claire@example.org", "owner_name": "Claire Martin", "owner_locale": "fr",
    "street": "12 rue des Alpes", "postcode": "26400", "town": "Crest", "latitude": "44,73", "longitude": "5.02",
    "timezone": "Europe/Paris", "pdl": "12 345 678 901 234", "request_id": "form-0001",
    "array-0-peak_kw": "6,02", "array-0-azimuth": "135", "array-0-tilt": "30",
}  # fmt: skip


@pytest.fixture
async def portal(database: Database, tmp_path: Path) -> AsyncIterator[Web]:
    await seed(database.owner)
    async with Portal(database, tmp_path) as running:
        await log_in(running, "ines@example.org")
        yield running


async def replaced(portal: Web, device: str) -> None:
    await portal.execute(
        "INSERT INTO registry.replacement (site_id, device_id, at) VALUES ($1, $2, clock_timestamp())", ALPHA, device
    )


async def gateway(portal: Web) -> None:
    """A gateway at alpha, which speaks for a serial that nobody has."""
    await portal.execute(
        "INSERT INTO registry.device (id, site_id, profile_id, name, serial)"
        " VALUES ('gw-1', $1, 'victron-gx', 'Cerbo', 'HQ2134')",
        ALPHA,
    )
    await portal.execute(
        "INSERT INTO telemetry.waiting_source (site_id, gateway_id, serial, first_seen_at, last_seen_at, measures)"
        " VALUES ($1, 'gw-1', 'HQ2211XYZ', now(), now(), '{pv_power_w}')",
        ALPHA,
    )


async def post(portal: Web, path: str, **fields: Any) -> Any:
    return await portal.client.post(path, data=fields)


def code_on(html: str) -> str:
    found = re.search(r'data-testid="claim-code" data-code="([^"]+)"', html)
    return found[1] if found else ""


async def test_a_new_site_leads_to_its_first_device(portal: Web) -> None:
    answer = await post(portal, "/sites/new", **SITE)
    assert answer.status_code == 303, answer.text
    again = await post(portal, "/sites/new", **SITE)
    assert again.headers["location"] == answer.headers["location"]
    (row,) = await portal.execute("SELECT * FROM registry.site WHERE name = 'Martin, Crest'")
    assert answer.headers["location"] == f"/sites/{row['id']}/add"
    assert (row["peak_power_w"], row["pdl"], row["department"]) == (6020.0, "12345678901234", "26")
    html = (await read(portal, answer.headers["location"])).text
    assert 'data-testid="profile-inverter"' in html
    assert 'data-testid="profile-victron-gx"' in html
    html = (await read(portal, f"/sites/{row['id']}")).text
    assert html.count('data-testid="add-device"') == 1


async def test_what_is_wrong_comes_back_with_everything_typed(portal: Web) -> None:
    answer = await post(portal, "/sites/new", **(SITE | {"postcode": "26", "pdl": "12", "array-1-peak_kw": "x"}))
    assert answer.status_code == 422
    for kept in (
        'value="Martin, Crest"',
        'value="6,02"',
        'value="form-0001"',
        "3 champs sont à corriger",
        'name="array-1-tilt"',
    ):
        assert kept in unescape(answer.text), kept
    assert answer.text.count('aria-invalid="true"') == 3
    refused = await post(portal, "/sites/new", **(SITE | {"owner_email": "ada@example.org"}))
    assert refused.status_code == 409
    assert 'data-code="owner_email_unusable"' in refused.text


async def test_one_more_roof_without_a_script(portal: Web) -> None:
    html = (await post(portal, "/sites/new", **(SITE | {"more": "array"}))).text
    assert 'name="array-1-peak_kw"' in html
    assert 'value="Martin, Crest"' in html


async def test_a_claim_stays_on_the_phone_that_made_it(portal: Web) -> None:
    answer = await post(portal, f"/sites/{ALPHA}/add", profile="inverter", request_id="form-0002")
    path = answer.headers["location"]
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert f"Path={path}" in cookie
    html = (await read(portal, path)).text
    code = claim_code.parse(code_on(html))
    assert path == f"/claims/{code.id}"
    assert "<svg" in html.split('data-testid="claim-qr"')[1][:400]
    assert f"--claim {code.typed}" in unescape(html)
    assert Seen(html).inline == []
    assert code_on((await read(portal, path)).text) == code.typed
    again = await post(portal, f"/sites/{ALPHA}/add", profile="inverter", request_id="form-0002")
    assert again.headers["location"] == path
    await log_in(portal, "otto@example.org")  # another phone
    elsewhere = (await read(portal, path)).text
    assert code_on(elsewhere) == ""
    assert 'data-testid="code-gone"' in elsewhere
    assert code.typed not in elsewhere
    await log_in(portal, "alice@example.org")
    assert (await read(portal, path)).status_code == 404


async def test_a_new_code_ends_the_old_one(portal: Web) -> None:
    old = (await post(portal, f"/sites/{ALPHA}/add", profile="meter")).headers["location"]
    new = (await post(portal, f"{old}/again")).headers["location"]
    assert new != old
    assert 'data-testid="claim-cancelled"' in (await read(portal, old)).text
    assert code_on((await read(portal, new)).text)
    assert (await post(portal, f"{new}/cancel")).headers["location"] == f"/sites/{ALPHA}/add"


@pytest.mark.parametrize(
    ("change", "sign"),
    [
        ("problem_code = 'claim_wrong_code', problem_at = now()", 'data-code="claim_wrong_code"'),
        ("locked_at = now()", 'data-testid="claim-locked"'),
        ("expires_at = now() - interval '1 s'", 'data-testid="claim-expired"'),
        ("used_at = now()", 'data-testid="awaiting-reading"'),
    ],
)
async def test_the_page_says_how_far_the_device_is(portal: Web, change: str, sign: str) -> None:
    path = (await post(portal, f"/sites/{ALPHA}/add", profile="meter")).headers["location"]
    await portal.execute(f"UPDATE pki.claim SET {change}")  # noqa: S608 - of this test
    for language in ("fr", "en"):
        html = (await read(portal, path, language)).text
        assert sign in html
        assert ('data-testid="claim-qr"' in html) == ("problem" in change)


async def test_a_serial_behind_a_gateway_is_one_tap(portal: Web) -> None:
    await gateway(portal)
    assert 'data-serial="HQ2211XYZ"' in (await read(portal, f"/sites/{ALPHA}")).text
    assert 'data-testid="attach-HQ2211XYZ"' in (await read(portal, f"/sites/{ALPHA}/add")).text
    answer = await post(portal, f"/sites/{ALPHA}/add", scanned="S/N: HQ2211XYZ")
    device = answer.headers["location"].removeprefix("/devices/").removesuffix("?new=1")
    html = (await read(portal, answer.headers["location"])).text
    assert 'data-testid="device-added"' in html
    assert 'href="/devices/gw-1"' in html
    (row,) = await portal.execute("SELECT * FROM registry.device WHERE id = $1", device)
    assert (row["serial"], row["gateway_id"], row["profile_id"]) == ("HQ2211XYZ", "gw-1", "victron-pv")
    assert "data-serial" not in (await read(portal, f"/sites/{ALPHA}")).text
    replaced = await post(portal, f"/devices/{device}/replace", serial="HQ2299NEW")
    assert replaced.headers["location"] == f"/devices/{device}?new=1"
    assert "HQ2211XYZ remplacé par HQ2299NEW" in (await read(portal, f"/devices/{device}")).text


async def test_an_unknown_serial_asks_what_it_is(portal: Web) -> None:
    answer = await post(portal, f"/sites/{ALPHA}/add", scanned="https://example.org/?sn=ABC-12345")
    assert answer.headers["location"] == f"/sites/{ALPHA}/add?serial=ABC-12345#profiles"
    html = (await read(portal, answer.headers["location"])).text
    assert 'data-testid="serial-read"' in html
    made = await post(portal, f"/sites/{ALPHA}/add", profile="inverter", serial="ABC-12345")
    assert "ABC-12345" in (await read(portal, made.headers["location"])).text


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("WIFI:S:Livebox;T:WPA;P:secret;;", "scanned_wifi"),
        ("https://example.org/manual", "scanned_web_address"),
        pytest.param(claim_code.make().typed, "scanned_enrolment_code", id="a code of ours"),
        ("4006381333931", "scanned_product_code"),
        ("", "not_a_device_code"),
    ],
)
async def test_a_code_of_something_else_is_called_by_its_name(portal: Web, text: str, code: str) -> None:
    answer = await post(portal, f"/sites/{ALPHA}/add", scanned=text)
    assert answer.status_code == 422
    assert f'data-code="{code}"' in answer.text
    assert 'data-testid="profile-inverter"' in answer.text  # and the way on


async def test_a_correction_and_back(portal: Web) -> None:
    path = f"/devices/{ALPHA_METER}"
    fix = {"kind": "sign", "measure": "grid_power_w", "value": "-1.0", "from_at": "1763800000000"}
    answer = await post(portal, f"{path}/corrections", **fix, next=f"/sites/{ALPHA}/checks")
    assert answer.headers["location"] == f"/sites/{ALPHA}/checks"
    html = (await read(portal, path)).text
    assert "inverser le sens de « Réseau »".replace("« ", "«\u00a0").replace(" »", "\u00a0»") in unescape(html)
    (action,) = [action for action in Seen(html).actions if action.endswith("/undo")]
    assert (await post(portal, action, next="//evil.example")).headers["location"] == path
    assert 'data-undone="yes"' in (await read(portal, path)).text
    assert 'data-ended="no"' in (await read(portal, path)).text
    await post(portal, f"{path}/corrections", **fix)
    await replaced(portal, ALPHA_METER)
    html = (await read(portal, path)).text
    assert html.count('data-ended="yes"') == 2
    assert html.count("Terminée avec le remplacement") == 1  # the one that was taken back says only that
    assert (await post(portal, f"{path}/corrections", **(fix | {"value": "7"}))).status_code == 422
    await log_in(portal, "alice@example.org")
    assert (await post(portal, f"{path}/corrections", **fix)).status_code == 404


async def test_revoking_is_for_owners_and_operations_and_needs_a_reason(portal: Web) -> None:
    path = f"/devices/{ALPHA_METER}"
    await portal.execute("UPDATE registry.device SET enrolled_at = now() WHERE id = $1", ALPHA_METER)
    assert 'data-testid="revoke-open"' not in (await read(portal, path)).text
    assert (await post(portal, f"{path}/revoke", reason="stolen")).status_code == 403
    await log_in(portal, "alice@example.org")
    assert 'data-testid="revoke-open"' in (await read(portal, path)).text
    refused = await post(portal, f"{path}/revoke", reason="boredom")
    assert (refused.status_code, 'data-code="no_reason"' in refused.text) == (422, True)
    assert (await post(portal, f"{path}/revoke", reason="stolen", note="Garage")).status_code == 303
    html = (await read(portal, path)).text
    assert 'data-testid="revocation-step-refused" data-at=""' in html
    await portal.execute("UPDATE pki.revocation SET denied_at = now(), problem = 'broker_away'")
    assert "Le courtier ne répond pas" in (await read(portal, path)).text
    await portal.execute(
        "UPDATE pki.revocation SET signed_at = now(), installed_at = now(), kicked_at = now(),"
        " refused_at = '2026-11-23 13:03:07+00', problem = NULL"
    )
    html = (await read(portal, path)).text
    assert 'data-testid="revocation-step-refused" data-at="1795438987000"' in html
    assert "14:03:07" in html
    assert 'data-testid="revocation-done"' in html


async def test_the_report_from_draft_to_the_owner(portal: Web) -> None:
    path = f"/sites/{ALPHA}/report"
    html = (await read(portal, path)).text
    assert 'data-testid="report-missing"' in html
    assert 'data-code="no_signature"' in (await post(portal, path, signed_name=" ")).text
    form = {"signed_name": "Inès Durand", "request_id": "form-0003"}
    answer = await post(portal, path, **form)
    assert answer.headers["location"] == f"{path}?signed=1#signed"
    assert (await post(portal, path, **form)).headers["location"] == answer.headers["location"]
    html = (await read(portal, f"{path}?signed=1")).text
    assert 'data-testid="report-signed"' in html
    document = await portal.client.get(f"/api/v1/sites/{ALPHA}/reports/1.pdf")
    assert document.content.startswith(b"%PDF")


async def test_the_invitation_lets_the_owner_in_once(portal: Web) -> None:
    site = (await post(portal, "/sites/new", **SITE)).headers["location"].split("/")[2]
    await portal.execute("UPDATE registry.device SET site_id = $1 WHERE id = $2", site, ALPHA_METER)
    assert (await post(portal, f"/sites/{site}/report", signed_name="Inès")).status_code == 303
    (mail,) = await portal.execute("SELECT body FROM accounts.mail WHERE recipient = 'claire@example.org'")
    found = re.search(rf"{BASE_URL}(/invitation\?token=\S+)", mail["body"])
    assert found is not None
    portal.client.cookies.clear()
    html = (await read(portal, found[1])).text
    assert "Claire Martin" in html
    form = {"token": found[1].partition("=")[2], "name": "Claire", "locale": "en", "password": "long enough to count"}
    differ = await post(portal, "/invitation", **form, again="something else")
    assert (differ.status_code, 'data-code="passwords_differ"' in differ.text) == (422, True)
    assert (await post(portal, "/invitation", **form, again=form["password"])).headers["location"] == "/"
    assert (await portal.client.get("/sites")).headers["location"] == f"/sites/{site}"
    assert (await read(portal, found[1])).status_code == 410
    assert (await read(portal, "/invitation?token=guessed")).status_code == 404


async def test_profiles_are_kept_with_their_reasons(portal: Web) -> None:
    await log_in(portal, "otto@example.org")
    html = (await read(portal, "/profiles/meter")).text
    channels = unescape(html.split('id="channels"')[1].split(">", 1)[1].split("</textarea>")[0])
    form = {
        "version": "1", "kind": "meter", "label_fr": "Compteur", "label_en": "Meter", "interval_s": "15",
        "counter_step_wh": "1", "site_registers": "import_energy_wh\nexport_energy_wh", "default_config": "{}",
        "settings": unescape(html.split('id="settings"')[1].split(">", 1)[1].split("</textarea>")[0]),
        "commands": "blink\nrestart", "note": "Plus lent", "channels": channels,
    }  # fmt: skip
    assert (await post(portal, "/profiles/meter", **form)).headers["location"] == "/profiles/meter"
    html = (await read(portal, "/profiles/meter")).text
    assert "report_interval_s" in html
    assert "Plus lent" in html.split('data-testid="profile-versions"')[1]
    stale = await post(portal, "/profiles/meter", **form)
    assert (stale.status_code, 'data-code="profile_changed"' in stale.text) == (409, True)
    unsound = {**form, "version": "2", "settings": '[{"key": "limit_w", "kind": "number"}]'}
    refused = await post(portal, "/profiles/meter", **unsound)
    assert (refused.status_code, 'data-code="bad_profile"' in refused.text) == (422, True)
    assert "setting 'limit_w'" in unescape(refused.text)
    assert "limit_w" in unescape(refused.text).split('id="settings"')[1].split("</textarea>")[0]  # what was typed is kept
    copy = {**form, "id": "meter-2", "note": ""}
    assert (await post(portal, "/profiles/new", **copy)).headers["location"] == "/profiles/meter-2"
    assert 'data-code="profile_exists"' in (await post(portal, "/profiles/new", **copy)).text


async def test_alarms_of_revocation_come_first(portal: Web) -> None:
    await portal.execute("INSERT INTO pki.alarm (code, detail) VALUES ('crl_expired', 'list 7')")
    await log_in(portal, "otto@example.org")
    html = (await read(portal, "/ops")).text
    assert html.index('data-code="crl_expired"') < html.index('data-testid="ops-online"')
    assert "le courtier ne laisse plus entrer personne" in html


async def test_an_installer_whom_a_site_is_shared_with_is_offered_nothing(portal: Web) -> None:
    await portal.execute("UPDATE registry.site SET installer_organisation_id = NULL")
    await portal.execute("INSERT INTO registry.site_share (site_id, person_id) VALUES ($1, 'ines')", ALPHA)
    for path in (f"/sites/{ALPHA}", f"/sites/{ALPHA}/checks", f"/devices/{ALPHA_METER}"):
        answer = await read(portal, path)
        assert answer.status_code == 200
        for offer in ("add-device", "to-report", "replace-open"):
            assert f'data-testid="{offer}"' not in answer.text, (path, offer)
    for path in (f"/sites/{ALPHA}/add", f"/sites/{ALPHA}/report"):
        assert (await read(portal, path)).status_code == 403
