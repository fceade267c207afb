"""Claims: the code and its QR, twice the same form, replacing, who may, and what an open page is told."""

import asyncio
import hashlib
import re
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from fleet import claim_code
from fleet.limits import CLAIMS_OPEN_PER_SITE_MAX
from fleet.views import DeviceLive, Health
from tests.web_app import ALPHA, ALPHA_METER, BETA, BETA_METER, EST_URL, Web, listen


@pytest.fixture(autouse=True)
async def labelled(web: Web) -> None:
    """Serials as they stand on type plates."""
    await web.execute("UPDATE registry.device SET serial = CASE id WHEN $1 THEN 'A-1' ELSE 'B-1' END", ALPHA_METER)


async def claim(web: Web, headers: dict[str, str], site: str = ALPHA, **form: Any) -> Any:
    return await web.client.post(f"/api/v1/sites/{site}/claims", json={"profile": "inverter"} | form, headers=headers)


async def test_a_claim_shows_its_code_once(web: Web) -> None:
    headers = await web.token("ines@example.org")
    answer = await claim(web, headers, name="Onduleur garage", serial=" HQ2134ABC ", expires_in_h=2)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    code = claim_code.parse(made["code"])
    assert (made["claim_id"], made["site"], made["server"]) == (code.id, ALPHA, EST_URL)
    assert re.fullmatch(r"inv-[2-9a-z]{6}", made["device"])
    (file,) = [web.services.settings.est_ca_file]
    assert file is not None
    der = x509.load_pem_x509_certificate(file.read_bytes()).public_bytes(Encoding.DER)
    assert made["fingerprint"] == hashlib.sha256(der).hexdigest()[:32]
    assert made["link"] == f"{EST_URL}/#{code.code}.{made['fingerprint']}"
    assert made["command"] == (
        f"solarperform-agent enrol --server {EST_URL} --claim {code.typed} --fingerprint {made['fingerprint']}"
    )
    svg = ElementTree.fromstring(made["qr_svg"])  # noqa: S314 - our own
    assert svg.tag.endswith("svg")
    assert "viewBox" in svg.attrib
    assert "width" not in svg.attrib
    state = (await web.client.get(f"/api/v1/claims/{code.id}", headers=headers)).json()
    assert (state["state"], state["device"], state["serial"], state["problem"]) == (
        "waiting",
        made["device"],
        "HQ2134ABC",
        None,
    )
    assert state["device_name"] == "Onduleur garage"
    (row,) = await web.execute("SELECT * FROM pki.claim")
    assert row["code_hash"] == code.hash
    everything = str(dict(row)) + str([dict(entry) for entry in await web.execute("SELECT * FROM audit.entry")])
    assert code.code not in everything
    assert code.typed not in everything


async def test_the_same_form_twice_at_once_is_one_claim_with_one_code(web: Web) -> None:
    headers = await web.token("ines@example.org")
    form = {"serial": "HQ-1", "request_id": "form-0001"}
    answers = await asyncio.gather(*(claim(web, headers, **form) for _ in range(6)))
    assert {answer.status_code for answer in answers} == {201}, [answer.text for answer in answers]
    assert len({(answer.json()["claim_id"], answer.json()["code"]) for answer in answers}) == 1
    assert len(await web.execute("SELECT FROM pki.claim")) == 1
    assert len(await web.execute("SELECT FROM audit.entry WHERE action = 'claim.make'")) == 1
    web.services.codes = type(web.services.codes)()  # the web was restarted in between
    late = await claim(web, headers, **form)
    assert (late.status_code, late.json()["code"]) == (409, "claim_code_gone")
    assert len(await web.execute("SELECT FROM pki.claim")) == 1


async def test_two_devices_with_one_serial_are_refused_by_name(web: Web) -> None:
    headers = await web.token("ines@example.org")
    taken = await claim(web, headers, serial="A-1")
    assert (taken.status_code, taken.json()["code"]) == (409, "serial_taken")
    assert ALPHA_METER in taken.json()["detail"]
    french = await claim(web, headers | {"Accept-Language": "fr"}, serial="A-1")
    assert f"Compteur, {ALPHA_METER}" in french.json()["detail"]
    first = await claim(web, headers, serial="NEW-1")
    assert first.status_code == 201
    second = await claim(web, headers, serial="NEW-1")
    assert (second.status_code, second.json()["code"]) == (409, "serial_taken")
    foreign = await claim(web, headers, serial="B-1")
    assert foreign.status_code == 201, "a site that one does not see says nothing about its serials"
    everywhere = await claim(web, await web.token("otto@example.org"), serial="B-1", site=ALPHA)
    assert (everywhere.status_code, everywhere.json()["code"]) == (409, "serial_taken"), "by the claim at this site"
    elsewhere = await claim(web, await web.token("otto@example.org"), serial="A-1", site=BETA)
    assert (elsewhere.status_code, elsewhere.json()["code"]) == (409, "serial_elsewhere")
    assert ALPHA in elsewhere.json()["detail"]


@pytest.mark.parametrize(
    ("form", "status", "code"),
    [
        ({"profile": "no-such"}, 404, "unknown_profile"),
        ({"profile": None}, 404, "unknown_profile"),
        ({"serial": "??"}, 422, "bad_serial"),
        ({"device": BETA_METER, "profile": None}, 404, "unknown_device"),
        ({"device": "no-such", "profile": None}, 404, "unknown_device"),
        ({"device": ALPHA_METER, "profile": "inverter"}, 409, "replacement_profile"),
        ({"expires_in_h": 0}, 422, "invalid_request"),
        ({"expires_in_h": 1e9}, 422, "invalid_request"),
    ],
    ids=str,
)
async def test_a_claim_with_mistakes_is_none(web: Web, form: dict[str, Any], status: int, code: str) -> None:
    answer = await claim(web, await web.token("ines@example.org"), **form)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert await web.execute("SELECT FROM pki.claim") == []


async def test_who_may_make_claims_and_where(web: Web) -> None:
    for email, site, status, code in (
        ("alice@example.org", ALPHA, 403, "not_allowed"),
        ("emma@example.org", ALPHA, 403, "not_allowed"),
        ("bob@example.org", ALPHA, 404, "unknown_site"),
        ("ines@example.org", BETA, 404, "unknown_site"),
    ):
        answer = await claim(web, await web.token(email), site)
        assert (answer.status_code, answer.json()["code"]) == (status, code), email
    assert (await claim(web, await web.token("otto@example.org"), BETA)).status_code == 201


async def test_there_are_only_so_many_open_claims(web: Web) -> None:
    await web.execute(
        "INSERT INTO pki.claim (id, site_id, device_id, profile_id, device_name, code_hash, expires_at)"
        " SELECT 'c' || n, $1, 'd' || n, 'meter', 'x', '', now() + interval '1 day' FROM generate_series(1, $2) n",
        ALPHA,
        CLAIMS_OPEN_PER_SITE_MAX,
    )
    headers = await web.token("ines@example.org")
    answer = await claim(web, headers)
    assert (answer.status_code, answer.json()["code"]) == (409, "too_many_claims")
    assert len((await web.client.get(f"/api/v1/sites/{ALPHA}/claims", headers=headers)).json()["items"]) == 50
    assert (await web.client.post("/api/v1/claims/c1/cancel", headers=headers)).json()["state"] == "cancelled"
    assert (await claim(web, headers)).status_code == 201


async def test_replacing_keeps_the_place(web: Web) -> None:
    headers = await web.token("ines@example.org")
    made = (await claim(web, headers, device=ALPHA_METER, profile=None, serial="A-2")).json()
    assert made["device"] == ALPHA_METER
    state = (await web.client.get(f"/api/v1/claims/{made['claim_id']}", headers=headers)).json()
    assert (state["replaces"], state["profile"], state["device_name"], state["serial"]) == (True, "meter", "Compteur", "A-2")
    same = await claim(web, headers, device=ALPHA_METER, profile=None, serial="A-1")
    assert same.status_code == 201, "the same hardware that lost its key"
    await web.execute("UPDATE registry.device SET gateway_id = id WHERE id = $1", ALPHA_METER)
    behind = await claim(web, headers, device=ALPHA_METER, profile=None)
    assert (behind.status_code, behind.json()["code"]) == (409, "device_behind_gateway")


async def test_cancelling(web: Web) -> None:
    headers = await web.token("ines@example.org")
    made = (await claim(web, headers)).json()
    path = f"/api/v1/claims/{made['claim_id']}/cancel"
    assert (await web.client.post(path, headers=await web.token("alice@example.org"))).json()["code"] == "not_allowed"
    for _ in range(2):
        assert (await web.client.post(path, headers=headers)).json()["state"] == "cancelled"
    used = (await claim(web, headers)).json()["claim_id"]
    await web.execute("UPDATE pki.claim SET used_at = now() WHERE id = $1", used)
    late = await web.client.post(f"/api/v1/claims/{used}/cancel", headers=headers)
    assert (late.status_code, late.json()["code"]) == (409, "claim_used")
    for nothing in ("nothing", "..", "a%00b", "x" * 40):
        answer = await web.client.get(f"/api/v1/claims/{nothing}", headers=headers)
        assert answer.status_code == 404, nothing


async def test_a_problem_is_told_in_the_readers_language(web: Web) -> None:
    headers = await web.token("ines@example.org")
    made = (await claim(web, headers)).json()["claim_id"]
    await web.execute("UPDATE pki.claim SET problem_code = 'csr_weak_key', problem_at = now() WHERE id = $1", made)
    told = {}
    for language in ("fr", "en"):
        await web.execute("UPDATE accounts.person SET locale = $1 WHERE id = 'ines'", language)
        told[language] = (await web.client.get(f"/api/v1/claims/{made}", headers=headers)).json()["problem"]
        assert told[language]["code"] == "csr_weak_key"
        assert told[language]["at"]
    assert "Clé" in told["fr"]["title"]
    assert told["en"]["detail"] != told["fr"]["detail"]


async def test_without_an_enrolment_service_it_is_said(web: Web) -> None:
    web.services.settings = msgspec.structs.replace(web.services.settings, est_url=None)
    answer = await claim(web, await web.token("ines@example.org"))
    assert (answer.status_code, answer.json()["code"]) == (503, "no_enrolment")
    assert await web.execute("SELECT FROM pki.claim") == []


async def test_an_open_page_follows_a_claim_to_the_first_reading(web: Web) -> None:
    """Notices ring; the readings come by looking. The stream goes to the end of the flow with one connection."""
    headers = await web.token("ines@example.org")
    made = (await claim(web, headers, name="Onduleur")).json()
    events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    reading = asyncio.create_task(listen(web, f"/api/v1/claims/{made['claim_id']}/events", headers, events))
    try:
        async with asyncio.timeout(60):
            assert (await events.get())["state"] == "waiting"
            await web.execute(
                "UPDATE pki.claim SET problem_code = 'claim_wrong_code', problem_at = now(), wrong_tries = 1 WHERE id = $1",
                made["claim_id"],
            )
            await web.execute("SELECT pg_notify('sp_claim', $1)", made["claim_id"])
            assert (await events.get())["problem"]["code"] == "claim_wrong_code"
            await enrol(web, made["claim_id"], made["device"])
            enrolled = await events.get()
            assert (enrolled["state"], enrolled["problem"], enrolled["readings"]) == ("used", None, {})
            await report(web, made["device"])
            told = await events.get()
            while told["first_sample_at"] is None or not told["readings"]:
                told = await events.get()
            assert told["readings"] == {"pv_power_w": 1200.0}
    finally:
        reading.cancel()
    assert ALPHA in web.twins.forgotten, "the twin learns of the new device"


async def enrol(web: Web, claim_id: str, device: str) -> None:
    """What the authority does in the database."""
    await web.execute("UPDATE pki.claim SET used_at = now(), problem_code = NULL, problem_at = NULL WHERE id = $1", claim_id)
    await web.execute(
        "INSERT INTO registry.device (id, site_id, profile_id, name, enrolled_at)"
        " VALUES ($1, $2, 'inverter', 'Onduleur', now())",
        device,
        ALPHA,
    )
    await web.execute("SELECT pg_notify('sp_claim', $1)", claim_id)


async def report(web: Web, device: str) -> None:
    """What a shard does: a row, and a live twin."""
    (now,) = await web.execute("SELECT now() AS at, (extract(epoch FROM now()) * 1000)::bigint AS now, now()::date AS day")
    await web.execute("SELECT telemetry.create_sample_partition($1)", now["day"])
    await web.execute(
        "INSERT INTO telemetry.sample (site_id, device_id, time, received_at, readings)"
        " VALUES ($1, $2, $3, $3, ARRAY[1200, NULL, NULL, NULL, NULL, NULL, NULL])",
        ALPHA,
        device,
        now["at"],  # of the day that there is a partition for
    )
    live = web.twins.sites[ALPHA]
    new = DeviceLive(
        device,
        "Onduleur",
        "inverter",
        Health("ok", now["now"], "reporting"),
        now["now"] + 5,
        now["now"],
        {"pv_power_w": 1200.0},
    )  # type: ignore[arg-type]
    web.twins.sites[ALPHA] = msgspec.structs.replace(live, devices=[*live.devices, new])
