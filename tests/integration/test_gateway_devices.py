"""Devices by way of the gateway: the same clients, the same refusals; and whom the authority believes."""

import asyncio
import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import httpx
import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from certs import profiles
from certs.authority import Authority as Signer
from certs.authority import Pki
from certs.texts import text_of
from fleet.ids import DeviceId
from fleet.limits import EST_REQUEST_BYTES_MAX
from fleet.storage.certificates import certificates_of
from tests.agent_rig import AgentProcess, link
from tests.authority import (
    Authority,
    Key,
    Refused,
    authority,
    client,
    connection_of,
    enrol,
    kept,
    make_claim,
    make_key,
    owner,
    renew,
    request_of,
)
from tests.gateway import Gateway, gateway
from tests.integration.test_est_transcript import follow
from tests.servers import Cluster, certs, server_folder

CONNECTION = "/.well-known/solarperform/connection"


@pytest.fixture(scope="module")
def direct(postgres: Cluster) -> Iterator[Authority]:
    with server_folder("gateway-devices") as folder:
        database = postgres.create_database("sp_gateway_devices")
        with authority(folder, database) as running:
            yield running
        postgres.drop_database("sp_gateway_devices")


@pytest.fixture(scope="module")
def front(direct: Authority) -> Iterator[Gateway]:
    folder = direct.folder.parent / "gateway"
    folder.mkdir()
    with gateway(folder, direct.folder, web_port=1, pki_port=direct.settings.port) as made:
        made.start()
        yield made


@pytest.fixture(scope="module")
def running(direct: Authority, front: Gateway) -> Authority:
    """The same authority, by the gateway's address."""
    return dataclasses.replace(direct, settings=msgspec.structs.replace(direct.settings, public_url=front.url))


async def enrolled(running: Authority, device: str, folder: Path) -> tuple[Path, Path]:
    key = make_key()
    code = await make_claim(running.database, device)
    return kept(folder, await enrol(running, code, request_of(key)), key)


def made_by(signer: Signer, device: str, key: Key, ends: timedelta) -> x509.Certificate:
    now = datetime.now(UTC)
    life = profiles.Life(x509.random_serial_number(), now - timedelta(days=90), now + ends)
    return signer.sign(profiles.CLIENT, profiles.device(device), key.public_key(), life)


def platform(running: Authority, name: str) -> tuple[Path, Path]:
    certs("issue-platform", str(running.folder), name)
    return running.folder / "platform" / name / "chain.pem", running.folder / "platform" / name / "key.pem"


async def addresses(running: Authority, device: str) -> list[str | None]:
    """From where it was heard, as the journal says."""
    async with owner(running.database) as connection:
        rows = await connection.fetch("SELECT address FROM audit.entry WHERE subject = $1 ORDER BY id", device)
    return [row["address"] for row in rows]


async def test_a_device_enrols_connects_and_renews(running: Authority, front: Gateway, tmp_path: Path) -> None:
    first = await enrolled(running, "gw-inv", tmp_path)
    assert (await connection_of(running, first))["device"] == "gw-inv"
    key = make_key()
    second = kept(tmp_path, await renew(running, first, request_of(key)), key)
    assert (await connection_of(running, second))["device"] == "gw-inv"
    with pytest.raises(Refused) as replaced:
        await connection_of(running, first)
    assert replaced.value.code == "certificate_superseded"
    async with owner(running.database) as connection:
        rows = await certificates_of(connection, DeviceId("gw-inv"))
    assert [row.reason for row in rows] == [None, "superseded"]
    logged = [one for one in front.log if one["path"] == CONNECTION]
    assert logged[0]["device_certificate"].lower() == first[0].stem


async def test_the_agent_and_the_readmes_lines_work_as_they_are(running: Authority, tmp_path: Path) -> None:
    agent = AgentProcess(tmp_path / "pi")
    code = await make_claim(running.database, "gw-agent")
    done = await asyncio.to_thread(agent.call, "enrol", link(running, code))
    assert done.returncode == 0, done.stderr
    assert agent.home.enrolled().connection().device == "gw-agent"
    (tmp_path / "shell").mkdir()
    code = await make_claim(running.database, "gw-shell")
    lines = await asyncio.to_thread(follow, running, tmp_path / "shell", claim=code.typed)
    assert lines.returncode == 0, lines.stdout + lines.stderr


async def test_a_certificate_counts_when_it_was_shown_and_not_when_somebody_says_so(
    running: Authority, direct: Authority, tmp_path: Path
) -> None:
    chain, key = await enrolled(running, "gw-said", tmp_path)
    said = {"X-Client-Certificate": quote(chain.read_text()), "X-Forwarded-For": "203.0.113.9"}
    other = await enrolled(running, "gw-other", tmp_path)
    for server in (running, direct):
        async with client(server) as asking:
            nobody = await asking.get(CONNECTION, headers=said)
        assert (nobody.status_code, nobody.json()["code"]) == (403, "no_client_certificate")
        async with client(server, other) as asking:
            himself = await asking.get(CONNECTION, headers=said | {"X_Client_Certificate": said["X-Client-Certificate"]})
        assert himself.json()["device"] == "gw-other"
    assert (await connection_of(direct, (chain, key)))["device"] == "gw-said"  # devices may still come by themselves


async def test_the_authority_believes_the_gateway_alone_and_judges_what_it_tells(direct: Authority, tmp_path: Path) -> None:
    chain, _ = await enrolled(direct, "gw-told", tmp_path)
    told = {"X-Client-Certificate": quote(chain.read_text()), "X-Forwarded-For": "203.0.113.9"}
    async with client(direct, platform(direct, "sp-gateway")) as gateway_itself:
        believed = await gateway_itself.get(CONNECTION, headers=told)
        nobody = await gateway_itself.get(CONNECTION)
        own = quote(platform(direct, "sp-gateway")[0].read_text())
        stranger = quote(_pem(made_by(_stranger(tmp_path), "gw-told", make_key(), timedelta(days=1))))
        for wrong in ("garbage", own, stranger):
            refused = await gateway_itself.get(CONNECTION, headers=told | {"X-Client-Certificate": wrong})
            assert (refused.status_code, refused.json()["code"]) == (403, "certificate_unknown")
    assert (believed.status_code, believed.json()["device"]) == (200, "gw-told")
    assert nobody.json()["code"] == "no_client_certificate"
    async with client(direct, platform(direct, "sp-twins")) as another_service:
        refused = await another_service.get(CONNECTION, headers=told)
    assert (refused.status_code, refused.json()["code"]) == (403, "certificate_unknown")
    late = _late_gateway(direct, tmp_path)
    async with client(direct, late) as was_the_gateway:
        refused = await was_the_gateway.get(CONNECTION, headers=told)
    assert refused.json()["code"] == "certificate_unknown"
    assert "203.0.113.9" in await addresses(direct, "gw-told")


async def test_what_a_bad_certificate_is_told(running: Authority, tmp_path: Path) -> None:
    pki, key = Pki(running.folder), make_key()
    ended = made_by(pki.devices, "gw-late", key, timedelta(days=-1))
    foreign = made_by(_stranger(tmp_path), "gw-late", key, timedelta(days=1))
    for certificate, code in ((ended, "certificate_expired"), (foreign, "certificate_unknown")):
        for language in ("fr", "en"):
            async with client(running, kept(tmp_path, certificate, key)) as asking:
                told = await asking.get(CONNECTION, headers={"Accept-Language": language})
            assert (told.status_code, told.json()["code"]) == (403, code)
            assert (told.json()["title"], told.json()["detail"]) == text_of(code, language)
            assert told.headers["content-type"] == "application/problem+json"


async def test_a_request_that_is_too_large_is_told_so(running: Authority) -> None:
    code = await make_claim(running.database, "gw-large")
    with pytest.raises(Refused) as caught:
        await enrol(running, code, b"x" * EST_REQUEST_BYTES_MAX)
    assert (caught.value.status, caught.value.code) == (413, "csr_too_large")
    assert caught.value.problem["detail"] == text_of("csr_too_large", "en").detail


async def test_devices_are_served_under_their_own_name_and_nothing_else_is(front: Gateway) -> None:
    async with httpx.AsyncClient(verify=front.tls(), timeout=60.0, trust_env=False) as asking:
        there = f"https://127.0.0.1:{front.port}"
        extensions = {"sni_hostname": "devices.test"}
        found = await asking.get(f"{there}/.well-known/est/cacerts", headers={"Host": "devices.test"}, extensions=extensions)
        portal = await asking.get(f"{there}/login", headers={"Host": "devices.test"}, extensions=extensions)
    assert found.status_code == httpx.codes.OK
    assert portal.status_code == httpx.codes.MISDIRECTED_REQUEST


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _stranger(folder: Path) -> Signer:
    """A devices' authority of somebody else."""
    certs("init", str(folder / "stranger"))
    return Signer(folder / "stranger" / "devices-ca")


def _late_gateway(running: Authority, folder: Path) -> tuple[Path, Path]:
    """What was the gateway's certificate until yesterday."""
    key, now = make_key(), datetime.now(UTC)
    life = profiles.Life(x509.random_serial_number(), now - timedelta(days=90), now - timedelta(days=1))
    signed = Pki(running.folder).platform.sign(profiles.CLIENT, profiles.service("sp-gateway"), key.public_key(), life)
    return kept(folder, signed, key)
