"""What somebody who means harm sends to the real authority, and rows that nobody should be able to write."""

import asyncio
import base64
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from fleet.errors import Conflict
from fleet.storage import claims
from tests.authority import (
    OTHER_SITE,
    SITE,
    Authority,
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
from tests.servers import Cluster, Database

ENROL = "/.well-known/est/simpleenroll"


@pytest.fixture(scope="module")
def running(postgres: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    database = postgres.create_database("sp_est_hostile")
    with authority(tmp_path_factory.mktemp("authority"), database) as started:
        yield started
    postgres.drop_database("sp_est_hostile")


def named(*common_names: str) -> bytes:
    """A request whose subject says what no certificate should."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name, _validate=False) for name in common_names])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    return builder.sign(make_key(), hashes.SHA256()).public_bytes(Encoding.DER)


@pytest.mark.filterwarnings("ignore:Attribute's length")
@pytest.mark.parametrize(
    "names",
    [["a\0b"], ["\0"], ["x" * 9_000], ["\u202e\N{SUN WITH FACE}"], ["'; --"], [f"a{n}" for n in range(300)]],
    ids=len,
)
async def test_whatever_a_request_calls_itself_is_ignored(running: Authority, names: list[str]) -> None:
    csr = named(*names)
    code = await make_claim(running.database, f"inv-{code_part(csr)}")
    got = await enrol(running, code, csr)
    assert got.subject.rfc4514_string() == f"CN=inv-{code_part(csr)}"


def code_part(csr: bytes) -> str:
    return csr[-6:].hex()


def nested(depth: int) -> bytes:
    """Sequences within sequences: what a careless reader recurses into."""
    inner = b""
    for _ in range(depth):
        inner = b"\x30\x82" + len(inner).to_bytes(2, "big") + inner
    return inner


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", {}, 400),
        (nested(2_000), {}, 400),
        (base64.b64encode(nested(2_000)), {}, 400),
        (b"\x30\x84\xff\xff\xff\xff", {}, 400),
        (b'{"a": 1}', {"Content-Type": "application/json"}, 400),
        (b"--x\r\n", {"Content-Type": "multipart/form-data; boundary=x"}, 400),
        (b"x", {"Content-Type": "\x7f; charset=klingon"}, 400),
        (b"x", {"Content-Encoding": "gzip", "Expect": "100-continue"}, 400),
        (b"A" * 200_000, {}, 413),
    ],
    ids=str,
)
async def test_a_body_that_is_no_request_is_a_coded_problem(
    running: Authority, body: bytes, headers: dict[str, str], status: int
) -> None:
    code = await make_claim(running.database, f"inv-{make_key().private_numbers().private_value:x}"[:20])
    async with client(running) as asking:
        answer = await asking.post(ENROL, content=body, headers=headers, auth=(code.id, code.code))
    assert answer.status_code == status, answer.text
    assert answer.json()["code"] in ("csr_malformed", "csr_too_large")


async def test_a_request_in_small_pieces_is_read_and_one_without_end_is_not(running: Authority) -> None:
    code, body = await make_claim(running.database, "inv-pieces"), base64.encodebytes(request_of(make_key()))

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(body), 7):
            yield body[at : at + 7]

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"A" * 1_000

    async with client(running) as asking:
        assert (await asking.post(ENROL, content=pieces(), auth=(code.id, code.code))).status_code == httpx.codes.OK
    other = await make_claim(running.database, "inv-endless")
    async with client(running) as asking:
        try:
            answer = await asking.post(ENROL, content=endless(), auth=(other.id, other.code))
        except httpx.TransportError:
            pass  # hung up on while it was still sending
        else:
            assert answer.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE
    assert (await enrol(running, other, request_of(make_key()))).subject.rfc4514_string() == "CN=inv-endless"


@pytest.mark.parametrize(
    "given",
    [
        b"Basic",
        b"Basic !!!",
        b"Basic " + base64.b64encode(b"\xff\xfe:\xff"),
        b"Basic " + base64.b64encode(b"\0:\0"),
        b"Basic " + base64.b64encode("é:é".encode("latin-1")),
        b"Basic " + base64.b64encode(b"a" * 8_000 + b":x"),
        b"Basic " + base64.b64encode(b"0123456789abcdef:" + "\u0660\u0661".encode() * 20),
        b"Bearer x",
        b"Basic \xff\xff",
    ],
    ids=str,
)
async def test_odd_credentials_are_refused_by_a_code(running: Authority, given: bytes) -> None:
    async with client(running) as asking:
        answer = await asking.post(ENROL, content=request_of(make_key()), headers=[(b"Authorization", given)])
    assert (answer.status_code, answer.json()["code"][:6]) == (401, "claim_"), answer.text


async def test_a_device_whose_place_was_given_up_speaks_no_more(running: Authority, tmp_path: Path) -> None:
    code, key = await make_claim(running.database, "inv-retired"), make_key()
    shown = kept(tmp_path, await enrol(running, code, request_of(key)), key)
    async with owner(running.database) as connection:
        await connection.execute("UPDATE registry.device SET retired_at = now() WHERE id = 'inv-retired'")
    for doing in (connection_of(running, shown), renew(running, shown, request_of(make_key()))):
        with pytest.raises(Refused) as caught:
            await doing
        assert caught.value.code == "certificate_revoked"


async def test_a_device_that_was_moved_is_renewed_at_its_new_site(running: Authority, tmp_path: Path) -> None:
    """So that the people of that site see its certificate, and those of the old one see no new one."""
    code, key, next_key = await make_claim(running.database, "inv-moved"), make_key(), make_key()
    shown = kept(tmp_path, await enrol(running, code, request_of(key)), key)
    async with owner(running.database) as connection:
        await connection.execute("UPDATE registry.device SET site_id = $1 WHERE id = 'inv-moved'", OTHER_SITE)
    newer = kept(tmp_path, await renew(running, shown, request_of(next_key)), next_key)
    assert (await connection_of(running, newer))["site"] == OTHER_SITE
    async with owner(running.database) as connection:
        rows = await connection.fetch("SELECT site_id FROM pki.certificate WHERE device_id = 'inv-moved' ORDER BY intent_at")
    assert [row["site_id"] for row in rows] == [SITE, OTHER_SITE]


async def test_a_certificate_of_another_device_does_not_help_or_hinder_a_claim(running: Authority, tmp_path: Path) -> None:
    code, key = await make_claim(running.database, "inv-helper"), make_key()
    shown = kept(tmp_path, await enrol(running, code, request_of(key)), key)
    other = await make_claim(running.database, "inv-helped")
    async with client(running, shown) as asking:
        answer = await asking.post(ENROL, content=request_of(make_key()), auth=(other.id, other.code))
        without = await asking.post(ENROL, content=request_of(make_key()))
    assert (answer.status_code, without.status_code) == (200, 401)


async def test_cancelling_and_using_at_once_is_one_or_the_other(running: Authority) -> None:
    for number in range(8):
        code = await make_claim(running.database, f"inv-either-{number}")

        async def cancel(claim: str = code.id) -> str:
            async with owner(running.database) as connection, connection.transaction():
                try:
                    return (await claims.cancel_claim(connection, claim)).state
                except Conflict as error:
                    return error.code

        enrolled, cancelled = await asyncio.gather(
            enrol(running, code, request_of(make_key())), cancel(), return_exceptions=True
        )
        assert isinstance(enrolled, Refused) == (cancelled == "cancelled"), (enrolled, cancelled)


async def test_of_racing_renewals_one_certificate_is_left(running: Authority, tmp_path: Path) -> None:
    code, key = await make_claim(running.database, "inv-racing"), make_key()
    shown = kept(tmp_path, await enrol(running, code, request_of(key)), key)
    renewed = [make_key() for _ in range(6)]
    got = await asyncio.gather(*(renew(running, shown, request_of(each)) for each in renewed), return_exceptions=True)
    overtaken = [each for each in got if isinstance(each, Refused)]
    assert {each.code for each in overtaken} <= {"certificate_revoked"}  # by a later one, while it was being signed
    given = [(each, own) for each, own in zip(got, renewed, strict=True) if isinstance(each, x509.Certificate)]
    assert len(given) + len(overtaken) == len(renewed)
    ends = await asyncio.gather(
        *(connection_of(running, kept(tmp_path, each, own)) for each, own in given), return_exceptions=True
    )
    refused = [end.code for end in ends if isinstance(end, Refused)]
    assert refused == ["certificate_superseded"] * (len(given) - 1), ends


@pytest.mark.parametrize("device", ["#", "+", "a\nuser sp-twins", "a b", "A", "", "sp-twins", "x" * 33, "-a", "a\n"])
async def test_no_row_can_name_what_an_access_list_would_misread(database: Database, device: str) -> None:
    """The broker's access list and its sessions go by these names, whoever has written them."""
    statements = (
        "INSERT INTO registry.device (id, site_id, profile_id, name) VALUES ($1, 'x', 'x', 'x')",
        """INSERT INTO pki.claim (id, site_id, device_id, profile_id, device_name, code_hash, expires_at)
           VALUES ('x', 'x', $1, 'x', 'x', '', now())""",
        "INSERT INTO pki.revocation (id, site_id, device_id, reason) VALUES ('x', 'x', $1, 'lost')",
    )
    async with owner(database) as connection:
        for statement in statements:
            with pytest.raises((asyncpg.CheckViolationError, asyncpg.ForeignKeyViolationError)) as caught:
                await connection.execute(statement, device)
            assert "site" not in str(caught.value.constraint_name)
        with pytest.raises(asyncpg.CheckViolationError):
            await connection.execute(
                "INSERT INTO pki.certificate (serial, site_id, device_id, key_hash, intent_at, not_before, not_after)"
                " VALUES ('zz', 'x', 'x', '', now(), now(), now())"
            )
