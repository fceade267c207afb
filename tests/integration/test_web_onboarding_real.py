"""The API beside the real authority: a claim made on the phone, a device that asks for its certificate, what pages see."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from fleet import claim_code
from tests.authority import Authority, Refused, authority_in, connection_of, enrol, kept, make_key, request_of
from tests.servers import Database
from tests.web_app import ALPHA, ALPHA_METER, Web, listen

Events = asyncio.Queue[dict[str, Any]]


@pytest.fixture
async def real(web: Web, database: Database, tmp_path: Path) -> AsyncIterator[Authority]:
    async with authority_in(tmp_path, database) as running:
        web.services.settings = msgspec.structs.replace(
            web.services.settings, est_url=running.url, est_ca_file=running.trust
        )
        yield running


async def test_from_the_code_on_the_phone_to_a_device_and_away_again(web: Web, real: Authority, tmp_path: Path) -> None:
    headers = await web.token("ines@example.org")
    made = (await claim(web, headers, name="Onduleur garage", serial="HQ-77")).json()
    assert (made["server"], made["link"].startswith(f"{real.url}/#")) == (real.url, True)
    code = claim_code.parse(made["code"])
    events: Events = asyncio.Queue()
    watching = asyncio.create_task(listen(web, f"/api/v1/claims/{code.id}/events", headers, events))
    try:
        async with asyncio.timeout(60):
            assert (await events.get())["state"] == "waiting"
            weak = rsa.generate_private_key(65537, 1024)  # noqa: S505 - what must be refused
            with pytest.raises(Refused) as refused:
                await enrol(real, code, request_of(weak))
            told = await events.get()
            assert (told["problem"]["code"], refused.value.code) == ("csr_weak_key", "csr_weak_key")
            assert told["problem"]["detail"], "in words, for the phone"
            key = make_key()
            certificate = await enrol(real, code, request_of(key))
            told = await events.get()
            assert (told["state"], told["problem"], told["device"]) == ("used", None, made["device"])
    finally:
        watching.cancel()
    device = (await web.client.get(f"/api/v1/devices/{made['device']}", headers=headers)).json()
    assert (device["serial"], device["name"], device["site"]) == ("HQ-77", "Onduleur garage", ALPHA)
    draft = (await web.client.get(f"/api/v1/sites/{ALPHA}/report-draft", headers=headers)).json()
    (reported,) = [each for each in draft["devices"] if each["id"] == made["device"]]
    assert int(reported["certificate"]["serial"], 16) == certificate.serial_number
    shown = kept(tmp_path, certificate, key)
    assert (await connection_of(real, shown))["device"] == made["device"]
    await revoked(web, made["device"])
    with pytest.raises(Refused):
        await connection_of(real, shown)


async def revoked(web: Web, device: str) -> None:
    """By the owner; the page sees how the authority signs the list."""
    headers = await web.token("alice@example.org")
    events: Events = asyncio.Queue()
    path = f"/api/v1/devices/{device}/revoke"
    answer = await web.client.post(path, json={"reason": "lost"}, headers=headers)
    assert answer.status_code == 202, answer.text
    stream = f"/api/v1/devices/{device}/revocations/events"
    watching = asyncio.create_task(listen(web, stream, headers, events))
    try:
        async with asyncio.timeout(60):
            told = await events.get()
            while told["items"][0]["signed_at"] is None:
                told = await events.get()
    finally:
        watching.cancel()
    assert told["items"][0]["done"] is False, "there is no guard beside this broker"


async def test_a_replacement_keeps_the_place_and_its_profile(web: Web, real: Authority) -> None:
    headers = await web.token("ines@example.org")
    made = (await claim(web, headers, profile=None, device=ALPHA_METER, serial="NEW-2")).json()
    await enrol(real, claim_code.parse(made["code"]), request_of(make_key()))
    device = (await web.client.get(f"/api/v1/devices/{ALPHA_METER}", headers=headers)).json()
    assert (device["serial"], device["profile"]) == ("NEW-2", "meter")
    path = f"/api/v1/devices/{ALPHA_METER}/replacements"
    (replaced,) = (await web.client.get(path, headers=headers)).json()["items"]
    assert replaced["new_serial"] == "NEW-2"


async def test_a_cancelled_claim_enrols_nobody(web: Web, real: Authority) -> None:
    headers = await web.token("ines@example.org")
    made = (await claim(web, headers)).json()
    await web.client.post(f"/api/v1/claims/{made['claim_id']}/cancel", headers=headers)
    with pytest.raises(Refused) as refused:
        await enrol(real, claim_code.parse(made["code"]), request_of(make_key()))
    assert refused.value.code == "claim_cancelled"


async def test_pages_are_told_again_after_the_database_dropped_the_connection(web: Web) -> None:
    headers = await web.token("ines@example.org")
    made = (await claim(web, headers)).json()
    events: Events = asyncio.Queue()
    watching = asyncio.create_task(listen(web, f"/api/v1/claims/{made['claim_id']}/events", headers, events))
    try:
        async with asyncio.timeout(60):
            assert (await events.get())["state"] == "waiting"
            await listening(web)
            await web.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE usename = 'sp_web' AND datname = current_database() AND query LIKE 'LISTEN%'"
            )
            await web.execute("UPDATE pki.claim SET cancelled_at = now() WHERE id = $1", made["claim_id"])
            assert (await events.get())["state"] == "cancelled", "by looking, though nobody said so"
            await listening(web)
    finally:
        watching.cancel()


async def listening(web: Web) -> None:
    deadline = time.monotonic() + 90
    while not web.services.news.connected:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def claim(web: Web, headers: dict[str, str], **form: Any) -> Any:
    return await web.client.post(f"/api/v1/sites/{ALPHA}/claims", json={"profile": "inverter"} | form, headers=headers)
