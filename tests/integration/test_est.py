"""Enrolment against the real authority: its own process, TLS and PostgreSQL."""

import asyncio
import base64
import contextlib
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509.oid import ExtendedKeyUsageOID

from certs import profiles
from certs.authority import Pki
from fleet import claim_code
from fleet.claim_code import ClaimCode
from fleet.ids import DeviceId
from fleet.limits import CLAIM_WRONG_TRIES_MAX, EST_REQUEST_BYTES_MAX
from fleet.storage import certificates, claims
from tests.authority import (
    OTHER_SITE,
    SITE,
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
from tests.fleet_rig import until
from tests.servers import Cluster, Database, certs


@pytest.fixture(scope="module")
def running(postgres: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    database = postgres.create_database("sp_est")
    with authority(tmp_path_factory.mktemp("authority"), database) as started:
        yield started
    postgres.drop_database("sp_est")


async def problem_of(running: Authority, code: ClaimCode) -> str | None:
    async with owner(running.database) as connection:
        return (await claims.claim(connection, code.id)).problem_code


async def audited(database: Database, subject: str) -> list[tuple[str, Any]]:
    async with owner(database) as connection:
        rows = await connection.fetch("SELECT action, detail FROM audit.entry WHERE subject = $1 ORDER BY id", subject)
    return [(row["action"], row["detail"].get("code")) for row in rows]


async def refused(running: Authority, code: ClaimCode, csr: bytes | None = None, languages: str = "") -> Refused:
    with pytest.raises(Refused) as caught:
        await enrol(running, code, csr or request_of(make_key()), **{"Accept-Language": languages})
    return caught.value


async def test_who_to_trust_is_told_to_everybody_as_pkcs7_and_as_pem(running: Authority) -> None:
    async with client(running) as asking:
        packed = await asking.get("/.well-known/est/cacerts")
        plain = await asking.get("/.well-known/est/cacerts", headers={"Accept": "application/x-pem-file"})
        attributes = await asking.get("/.well-known/est/csrattrs")
    told = pkcs7.load_der_pkcs7_certificates(base64.b64decode(packed.content))
    assert packed.headers["content-type"] == "application/pkcs7-mime; smime-type=certs-only"
    assert packed.headers["content-transfer-encoding"] == "base64"
    assert set(told) == set(x509.load_pem_x509_certificates(plain.content))
    assert x509.load_pem_x509_certificate(running.trust.read_bytes()) == x509.load_pem_x509_certificates(plain.content)[0]
    assert attributes.status_code == httpx.codes.NO_CONTENT


async def test_a_claim_and_a_request_become_a_device_with_a_certificate(running: Authority, tmp_path: Path) -> None:
    code, key = await make_claim(running.database, "inv-first", serial="SN-1"), make_key()
    got = await enrol(running, code, request_of(key, "raspberrypi"))
    assert got.subject.rfc4514_string() == "CN=inv-first"
    assert got.public_key() == key.public_key()
    assert list(got.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    facts = await connection_of(running, kept(tmp_path, got, key))
    assert facts["device"] == "inv-first"
    assert facts["site"] == SITE
    assert facts["serial"] == "SN-1"
    assert facts["topic"].endswith(f"/{SITE}/inv-first")
    assert facts["mqtt"] == {"host": "localhost", "port": 8883}
    own = facts["certificate"]
    assert own["serial"] == f"{got.serial_number:x}"
    assert own["not_before"] < own["renew_at"] < own["not_after"]
    async with owner(running.database) as connection:
        assert (await claims.claim(connection, code.id)).state == "used"
        (row,) = await certificates.certificates_of(connection, DeviceId("inv-first"))
        assert await connection.fetchval("SELECT enrolled_at FROM registry.device WHERE id = 'inv-first'") is not None
    assert row.confirmed_at is not None
    assert await audited(running.database, "inv-first") == [("device.enrol", None), ("device.confirm", None)]


@pytest.mark.parametrize("key", [rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP384R1())])
async def test_other_strong_keys_work_to_the_end(running: Authority, tmp_path: Path, key: Key) -> None:
    device = f"inv-{type(key.public_key()).__name__[:3].lower()}"
    got = await enrol(running, await make_claim(running.database, device), request_of(key))
    assert (await connection_of(running, kept(tmp_path, got, key)))["device"] == device


async def test_a_simple_client_gets_pem_and_may_send_pem_and_any_user_name(running: Authority) -> None:
    code, key = await make_claim(running.database, "inv-pem"), make_key()
    pem = x509.load_der_x509_csr(request_of(key)).public_bytes(Encoding.PEM)
    async with client(running) as asking:
        answer = await asking.post(
            "/.well-known/est/simpleenroll",
            content=pem,
            auth=("device", code.typed.lower()),
            headers={"Accept": "application/pem-certificate-chain"},
        )
    assert answer.headers["content-type"].startswith("application/pem-certificate-chain")
    assert x509.load_pem_x509_certificate(answer.content).public_key() == key.public_key()


async def test_an_answer_that_was_lost_is_given_again(running: Authority, tmp_path: Path) -> None:
    code, key = await make_claim(running.database, "inv-lost"), make_key()
    first = await enrol(running, code, request_of(key))
    assert await enrol(running, code, request_of(key, "again")) == first
    await connection_of(running, kept(tmp_path, first, key))  # from now on the device has it
    assert (await refused(running, code, request_of(key))).code == "claim_used"


async def test_of_a_hundred_racing_keys_one_wins(running: Authority) -> None:
    code = await make_claim(running.database, "inv-race")
    tries = [enrol(running, code, request_of(make_key())) for _ in range(100)]
    ended = await asyncio.gather(*tries, return_exceptions=True)
    won = [end for end in ended if isinstance(end, x509.Certificate)]
    lost = [end.code for end in ended if isinstance(end, Refused)]
    assert len(won) == 1
    assert len(won) + len(lost) == 100
    assert set(lost) <= {"claim_used", "busy"}
    assert "claim_used" in lost
    async with owner(running.database) as connection:
        assert await connection.fetchval("SELECT count(*) FROM pki.certificate WHERE device_id = 'inv-race'") == 1
    assert await problem_of(running, code) is None  # on the installer's screen the device is there, and that is all


async def test_racing_repetitions_of_one_key_get_one_certificate(running: Authority) -> None:
    code, key = await make_claim(running.database, "inv-twice"), make_key()
    got = await asyncio.gather(*(enrol(running, code, request_of(key)) for _ in range(30)))
    assert len(set(got)) == 1


async def test_wrong_codes_lock_the_claim_and_the_screen_says_why(running: Authority) -> None:
    code = await make_claim(running.database, "inv-locked")
    wrong = ClaimCode(code.id, claim_code.make().code)
    for _ in range(CLAIM_WRONG_TRIES_MAX):
        answer = await refused(running, wrong)
        assert (answer.status, answer.code) == (401, "claim_wrong_code")
        assert await problem_of(running, code) == "claim_wrong_code"
    assert (await refused(running, code)).code == "claim_locked"
    assert ("device.enrol_refused", "claim_locked") in await audited(running.database, "inv-locked")
    async with owner(running.database) as connection:
        assert (await claims.claim(connection, code.id)).state == "locked"


async def test_a_typing_error_is_told_as_one(running: Authority) -> None:
    code = await make_claim(running.database, "inv-typo")
    mistyped = code.code[:-1] + (
        "1" if code.code[-1] == "0" else "0"
    )  # of two other letters one in 1,024 has the same check
    answer = await refused(running, ClaimCode("device", mistyped))
    assert answer.code == "claim_wrong_code"
    assert "typing error" in answer.problem["detail"]


async def test_a_claim_that_is_over_is_told_which_way(running: Authority) -> None:
    assert (await refused(running, claim_code.make())).code == "claim_unknown"
    expired = await make_claim(running.database, "inv-expired", hours=-1.0)
    assert (await refused(running, expired)).code == "claim_expired"
    cancelled = await make_claim(running.database, "inv-cancelled")
    async with owner(running.database) as connection:
        await claims.cancel_claim(connection, cancelled.id)
    assert (await refused(running, cancelled)).code == "claim_cancelled"
    assert await problem_of(running, cancelled) == "claim_cancelled"


async def test_problems_are_told_in_french_and_in_english(running: Authority) -> None:
    code = await make_claim(running.database, "inv-words", hours=-1.0)
    french = (await refused(running, code, languages="fr-FR,fr;q=0.9,en;q=0.5")).problem
    english = (await refused(running, code)).problem
    assert french["code"] == english["code"] == "claim_expired"
    assert french["title"] == "Code expiré"
    assert english["title"] == "Code expired"
    assert french["type"] == "urn:solarperform:problem:claim_expired"


async def test_a_bad_request_leaves_the_claim_usable_and_is_on_the_screen(running: Authority) -> None:
    code, key = await make_claim(running.database, "inv-patient"), make_key()
    weak = rsa.generate_private_key(65537, 1024)  # noqa: S505 - that is the point
    for csr, expected in (
        (b"garbage, not base64 {}", "csr_malformed"),
        (b"", "csr_malformed"),
        (request_of(key)[:-20], "csr_malformed"),
        (request_of(weak), "csr_weak_key"),
        (b"A" * (EST_REQUEST_BYTES_MAX * 3), "csr_too_large"),
        (request_of(key, "a", (x509.BasicConstraints(ca=True, path_length=None), True)), "csr_is_ca"),
    ):
        async with client(running) as asking:
            answer = await asking.post("/.well-known/est/simpleenroll", content=csr, auth=(code.id, code.code))
        assert answer.json()["code"] == expected
        assert await problem_of(running, code) == expected
    assert (await enrol(running, code, request_of(key))).public_key() == key.public_key()
    assert await problem_of(running, code) is None


async def test_a_request_of_another_device_is_refused(running: Authority) -> None:
    standing = await make_claim(running.database, "inv-there")
    await enrol(running, standing, request_of(make_key()))
    code = await make_claim(running.database, "inv-here")
    other = x509.SubjectAlternativeName([x509.UniformResourceIdentifier("urn:solarperform:device:inv-elsewhere")])
    for csr in (
        request_of(make_key(), "inv-there"),
        request_of(make_key(), "sp-twins"),
        request_of(make_key(), "x", (other, False)),
    ):
        assert (await refused(running, code, csr)).code == "csr_for_another_device"
    own = x509.SubjectAlternativeName([x509.UniformResourceIdentifier("urn:solarperform:device:inv-here")])
    assert await enrol(running, code, request_of(make_key(), "inv-here", (own, False)))


async def test_two_devices_with_one_serial_number(running: Authority) -> None:
    first = await make_claim(running.database, "inv-s1", serial="SAME")
    second = await make_claim(running.database, "inv-s2", serial="SAME")
    elsewhere = await make_claim(running.database, "inv-s3", serial="SAME", site=OTHER_SITE)
    await enrol(running, first, request_of(make_key()))
    assert (await refused(running, second)).code == "serial_taken"
    assert await problem_of(running, second) == "serial_taken"
    assert await enrol(running, elsewhere, request_of(make_key()))
    async with owner(running.database) as connection:
        assert await connection.fetchval("SELECT count(*) FROM pki.certificate WHERE device_id = 'inv-s2'") == 0


async def test_renewal_and_what_becomes_of_the_old_certificate(running: Authority, tmp_path: Path) -> None:
    key, next_key = make_key(), make_key()
    old = await enrol(running, await make_claim(running.database, "inv-renew"), request_of(key))
    shown = kept(tmp_path, old, key)
    new = await renew(running, shown, request_of(next_key))
    assert new.serial_number != old.serial_number
    assert await renew(running, shown, request_of(next_key)) == new  # the answer was lost
    assert (await connection_of(running, shown))["certificate"]["serial"] == f"{old.serial_number:x}"  # still good
    renewed = kept(tmp_path, new, next_key)
    await connection_of(running, renewed)
    with pytest.raises(Refused, match="certificate_superseded"):
        await connection_of(running, shown)
    with pytest.raises(Refused, match="certificate_superseded"):
        await renew(running, shown, request_of(make_key()))
    await in_the_list(running, old)
    assert ("device.renew", None) in await audited(running.database, "inv-renew")
    for action in ("device.renew_refused", "device.connection_refused"):
        assert (action, "certificate_superseded") in await audited(running.database, "inv-renew")


async def test_a_renewal_whose_key_was_lost_is_replaced(running: Authority, tmp_path: Path) -> None:
    key, lost, last = make_key(), make_key(), make_key()
    shown = kept(tmp_path, await enrol(running, await make_claim(running.database, "inv-cut"), request_of(key)), key)
    unused = await renew(running, shown, request_of(lost))
    used = await renew(running, shown, request_of(last))
    await connection_of(running, kept(tmp_path, used, last))
    await in_the_list(running, unused)
    async with owner(running.database) as connection:
        rows = await certificates.certificates_of(connection, DeviceId("inv-cut"))
    assert [row.serial for row in rows if row.revoked_at is None] == [f"{used.serial_number:x}"]


async def test_renewing_for_another_device_or_without_a_certificate(running: Authority, tmp_path: Path) -> None:
    key = make_key()
    shown = kept(tmp_path, await enrol(running, await make_claim(running.database, "inv-me"), request_of(key)), key)
    await enrol(running, await make_claim(running.database, "inv-you"), request_of(make_key()))
    with pytest.raises(Refused, match="csr_for_another_device"):
        await renew(running, shown, request_of(key, "inv-you"))
    async with client(running) as asking:
        answer = await asking.post("/.well-known/est/simplereenroll", content=request_of(key))
        assert (answer.status_code, answer.json()["code"]) == (403, "no_client_certificate")
        answer = await asking.post("/.well-known/est/simpleenroll", content=request_of(key))
        assert (answer.status_code, answer.json()["code"]) == (401, "claim_missing")
        assert answer.headers["www-authenticate"].startswith("Basic")
        assert (await asking.get("/nothing")).json()["code"] == "unknown_route"
        assert (await asking.get("/health/ready")).status_code == httpx.codes.OK


async def test_a_certificate_that_has_ended_or_not_begun_is_told_so(running: Authority, tmp_path: Path) -> None:
    key = make_key()
    got = await enrol(running, await make_claim(running.database, "inv-clock"), request_of(key))
    shown = kept(tmp_path, got, key)
    for begins, ends, expected in ((-48, -1, "certificate_expired"), (1, 48, "certificate_not_yet_valid")):
        async with owner(running.database) as connection:
            await connection.execute(
                "UPDATE pki.certificate SET not_before = now() + make_interval(hours => $1),"
                " not_after = now() + make_interval(hours => $2) WHERE device_id = 'inv-clock'",
                begins,
                ends,
            )
        with pytest.raises(Refused, match=expected) as caught:
            await renew(running, shown, request_of(key))
        assert "clock" in caught.value.problem["detail"]


async def test_a_certificate_that_ended_long_ago_gets_through_tls_to_its_refusal(running: Authority, tmp_path: Path) -> None:
    key, pki = make_key(), Pki(running.folder)
    old = profiles.Life(4711, datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 4, 1, tzinfo=UTC))
    ended = pki.devices.sign(profiles.CLIENT, profiles.device("inv-old"), key.public_key(), old)
    with pytest.raises(Refused, match="certificate_unknown"):
        await connection_of(running, kept(tmp_path, ended, key))


async def test_another_authoritys_certificate_opens_nothing(running: Authority, tmp_path: Path) -> None:
    """TLS lets in whom devices' and platform's authority have signed, for the gateway's sake; a service is no device."""
    certs("init", str(tmp_path / "other"))
    certs("issue-device", str(tmp_path / "other"), "inv-1")
    certs("issue-platform", str(running.folder), "sp-other")
    stranger, service = tmp_path / "other" / "devices" / "inv-1", running.folder / "platform" / "sp-other"
    with pytest.raises((httpx.HTTPError, ssl.SSLError)):
        await connection_of(running, (stranger / "chain.pem", stranger / "key.pem"))
    with pytest.raises(Refused, match="certificate_unknown"):
        await connection_of(running, (service / "chain.pem", service / "key.pem"))


async def test_new_hardware_at_an_old_place(running: Authority, tmp_path: Path) -> None:
    key, new_key = make_key(), make_key()
    old = await enrol(running, await make_claim(running.database, "inv-place", serial="OLD"), request_of(key))
    await connection_of(running, kept(tmp_path, old, key))
    code = await make_claim(running.database, "inv-place", serial="NEW", replaces=True)
    new = await enrol(running, code, request_of(new_key))
    assert (await connection_of(running, kept(tmp_path, new, new_key)))["serial"] == "NEW"
    with pytest.raises(Refused, match="certificate_superseded"):
        await connection_of(running, kept(tmp_path, old, key))
    await in_the_list(running, old)
    async with owner(running.database) as connection:
        swapped = await connection.fetch("SELECT old_serial, new_serial FROM registry.replacement")
    assert [tuple(row) for row in swapped] == [("OLD", "NEW")]


async def in_the_list(running: Authority, certificate: x509.Certificate) -> None:
    """Within the seconds that it takes to sign the next one."""

    async def named() -> bool:
        return running.crl().get_revoked_certificate_by_serial_number(certificate.serial_number) is not None

    await until(named)


async def test_noise_and_slow_clients_disturb_nobody(running: Authority) -> None:
    writers = []
    for noise in (b"", b"GET / HTTP/1.1\r\n\r\n", bytes(range(256)) * 8, b"\x16\x03\x01\x02\x00\x01"):
        for _ in range(10):
            _, writer = await asyncio.open_connection("127.0.0.1", running.settings.port)
            writer.write(noise)
            writers.append(writer)
    code, key = await make_claim(running.database, "inv-noise"), make_key()
    assert await enrol(running, code, request_of(key))
    for writer in writers:
        writer.close()


async def test_who_sends_half_a_request_is_hung_up_on(running: Authority) -> None:
    context = ssl.create_default_context(cafile=str(running.trust))
    opened = [
        await asyncio.open_connection("localhost", running.settings.port, ssl=context),
        await asyncio.open_connection("localhost", running.settings.port, ssl=context),
    ]
    opened[0][1].write(b"POST /.well-known/est/simpleenroll HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
    opened[1][1].write(b"POST /.well-known/est/simpleenroll HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900\r\n\r\nMII")
    for reader, writer in opened:
        async with asyncio.timeout(90):
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                while await reader.read(1000):
                    pass
        writer.close()


async def test_a_renewed_server_certificate_is_shown_without_a_restart(running: Authority) -> None:
    def shown() -> str:
        return ssl.get_server_certificate(("localhost", running.settings.port))

    before = await asyncio.to_thread(shown)
    certs("issue-server", str(running.folder), "--name", "localhost", "--ip", "127.0.0.1", "--ip", "192.0.2.9")

    async def another() -> bool:
        return await asyncio.to_thread(shown) != before

    await until(another, period_s=0.1)
    async with client(running) as asking:
        assert (await asking.get("/health/ready")).status_code == httpx.codes.OK
