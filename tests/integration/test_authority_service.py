"""The authority as a process: killed, revoking, adopting, without its database."""

import asyncio
import random
import shutil
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from actors.local.ports import LOOPBACK
from certs import crl
from certs.authority import Pki
from fleet.ids import DeviceId
from fleet.storage import revocations
from tests.authority import (
    SITE,
    Authority,
    Refused,
    authority_in,
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
from tests.servers import Cluster, Database, certs

PATIENCE_S = 90.0


async def until_revoked(running: Authority, *serials: int) -> x509.CertificateRevocationList:
    """The first list that names them all."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            last = running.crl()
            if set(serials) <= crl.serials_in(last):
                return last
            await asyncio.sleep(0.05)


async def revoke(database: Database, device: str) -> str:
    async with owner(database) as connection, connection.transaction():
        row = await revocations.request_revocation(
            connection, site=SITE, device=DeviceId(device), reason="stolen", note="", requested_by=None
        )
    return row.id


async def test_killed_at_any_moment_it_never_gives_two_certificates(database: Database, tmp_path: Path) -> None:
    """Devices that got no answer ask again with the same code and key, until they have one."""
    chance = random.Random(20261123)
    async with authority_in(tmp_path, database) as running:
        codes = [await make_claim(database, f"inv-{number}") for number in range(48)]

        async def persistent(number: int) -> tuple[str, x509.Certificate]:
            csr = request_of(make_key())
            await asyncio.sleep(chance.uniform(0.0, 6.0))
            async with asyncio.timeout(120):
                while True:
                    try:
                        return f"inv-{number}", await enrol(running, codes[number], csr)
                    except (httpx.HTTPError, OSError):
                        await asyncio.sleep(0.05)

        devices = [asyncio.create_task(persistent(number)) for number in range(len(codes))]
        for _ in range(5):
            await asyncio.sleep(chance.uniform(0.1, 0.7))
            running.kill()
            await asyncio.to_thread(running.start)
        got = dict(await asyncio.gather(*devices))
        async with owner(database) as connection:
            rows = await connection.fetch(
                "SELECT device_id, serial, der FROM pki.certificate WHERE claim_id IS NOT NULL ORDER BY device_id"
            )
        assert len(rows) == len(got) == len(codes)
        for row in rows:
            assert x509.load_der_x509_certificate(row["der"]) == got[row["device_id"]]
            assert row["serial"] == f"{got[row['device_id']].serial_number:x}"


async def test_a_line_announced_before_a_kill_is_completed_under_its_serial(database: Database, tmp_path: Path) -> None:
    async with authority_in(tmp_path, database) as running:
        code, key = await make_claim(database, "inv-cut"), make_key()
        first = await enrol(running, code, request_of(key))
        async with owner(database) as connection:  # as it stands when the process is killed before it could store
            await connection.execute("UPDATE pki.certificate SET der = NULL WHERE device_id = 'inv-cut'")
        running.kill()
        running.start()
        again = await enrol(running, code, request_of(key))
    assert again.serial_number == first.serial_number
    assert again.not_valid_after_utc == first.not_valid_after_utc


async def test_a_revocation_is_signed_at_once_and_refuses_the_device(database: Database, tmp_path: Path) -> None:
    async with authority_in(tmp_path, database) as running:
        key, next_key = make_key(), make_key()
        old = await enrol(running, await make_claim(database, "inv-thief"), request_of(key))
        shown = kept(tmp_path, old, key)
        new = await renew(running, shown, request_of(next_key))
        before = crl.number_of(running.crl())
        revocation = await revoke(database, "inv-thief")
        signed = await until_revoked(running, old.serial_number, new.serial_number)
        assert crl.number_of(signed) > before
        assert crl.verify(
            signed.public_bytes(Encoding.DER),
            (running.folder / "trust" / "devices.pem").read_bytes(),
            now=datetime.now(UTC),
            must_hold=[old.serial_number],
        )
        for files in (shown, kept(tmp_path, new, next_key)):
            with pytest.raises(Refused, match="certificate_revoked"):
                await renew(running, files, request_of(make_key()))
        async with owner(database) as connection:
            (row,) = await revocations.revocations_of(connection, DeviceId("inv-thief"))
            listed = await revocations.newest_list(connection)
        assert row.id == revocation
        assert row.crl_number is not None
        assert row.signed_at is not None
        assert listed is not None
        canary = x509.load_pem_x509_certificate(listed.canary_chain.encode())
        assert canary.serial_number in crl.serials_in(x509.load_der_x509_crl(listed.der))
        assert canary.serial_number not in crl.serials_in(signed) or crl.number_of(signed) == listed.number
        anew = await make_claim(database, "inv-thief", replaces=True)
        last = make_key()
        got = await enrol(running, anew, request_of(last))
        assert (await connection_of(running, kept(tmp_path, got, last)))["device"] == "inv-thief"


async def test_what_was_revoked_while_it_was_down_is_in_its_first_list(database: Database, tmp_path: Path) -> None:
    async with authority_in(tmp_path, database) as running:
        got = await enrol(running, await make_claim(database, "inv-down"), request_of(make_key()))
        before = running.crl()
        running.kill()
        await revoke(database, "inv-down")
        running.start()
        after = running.crl()  # it is ready only after that
        assert got.serial_number in crl.serials_in(after)
        assert crl.number_of(after) > crl.number_of(before)
        assert after.last_update_utc - before.last_update_utc >= timedelta(seconds=1)


async def test_authorities_that_were_renewed_beside_it_are_handed_out_and_sign(database: Database, tmp_path: Path) -> None:
    """`keys` renews them, in the same folder, years after this process began."""
    now = datetime.now(UTC)
    async with authority_in(tmp_path, database, start=False) as running:
        shutil.rmtree(running.folder)
        aged = Pki.create(running.folder, now - timedelta(days=5 * 365 - 30))
        aged.issue_server(["localhost"], [LOOPBACK], now)
        await asyncio.to_thread(running.start)
        short = await enrol(running, await make_claim(database, "inv-before"), request_of(make_key()))
        assert short.not_valid_after_utc == aged.devices.cert.not_valid_after_utc
        renewed = Pki.create(running.folder, now)
        async with client(running) as asking, asyncio.timeout(PATIENCE_S):
            while True:
                answer = await asking.get("/.well-known/est/cacerts", headers={"Accept": "application/x-pem-file"})
                if x509.load_pem_x509_certificates(answer.content) == [renewed.root.cert, renewed.devices.cert]:
                    break
                await asyncio.sleep(0.05)
        whole = await enrol(running, await make_claim(database, "inv-after"), request_of(make_key()))
        assert whole.not_valid_after_utc > now + timedelta(days=89)


async def test_lists_go_on_counting_after_the_database_was_lost(
    postgres: Cluster, database: Database, tmp_path: Path
) -> None:
    async with authority_in(tmp_path, database, start=False) as running:
        assert crl.number_of(running.crl()) == 1  # of init
        running.start()
        for _ in range(2):
            running.stop()
            running.start()
        assert crl.number_of(running.crl()) == 4
        async with owner(database) as connection:
            await connection.execute("DELETE FROM pki.crl")
        running.stop()
        running.start()
        assert crl.number_of(running.crl()) == 5


async def test_the_command_lines_certificates_are_adopted_renewed_and_revoked(database: Database, tmp_path: Path) -> None:
    async with authority_in(tmp_path, database, start=False) as running:
        certs("issue-device", str(running.folder), "inv-hand", "inv-stranger", "inv-gone")
        async with owner(database) as connection:
            for device in ("inv-hand", "inv-gone"):
                await connection.execute(
                    "INSERT INTO registry.device (id, site_id, profile_id, name) VALUES ($1, $2, 'inverter', $1)",
                    device,
                    SITE,
                )
        running.start()
        folder = running.folder / "devices"
        shown = (folder / "inv-hand" / "chain.pem", folder / "inv-hand" / "key.pem")
        assert (await connection_of(running, shown))["device"] == "inv-hand"
        with pytest.raises(Refused, match="certificate_unknown"):
            await connection_of(running, (folder / "inv-stranger" / "chain.pem", folder / "inv-stranger" / "key.pem"))
        next_key = make_key()
        await connection_of(running, kept(tmp_path, await renew(running, shown, request_of(next_key)), next_key))
        gone = x509.load_pem_x509_certificate((folder / "inv-gone" / "chain.pem").read_bytes())
        done = running.command("revoke", "--settings", str(running.settings_file), "inv-gone", "--reason", "lost")
        assert done.returncode == 0, done.stderr
        assert gone.serial_number in crl.serials_in(running.crl())
        again = running.command("revoke", "--settings", str(running.settings_file), "inv-gone", "--reason", "lost")
        assert "before" in again.stdout
        assert (
            running.command("revoke", "--settings", str(running.settings_file), "no-one", "--reason", "lost").returncode == 1
        )
        listed = running.command("list", str(running.folder), "--settings", str(running.settings_file)).stdout
        assert "revoked" in next(line for line in listed.splitlines() if f"{gone.serial_number:x}" in line)
        assert f"{gone.serial_number:x}" in running.command("crl", str(running.folder)).stdout


async def test_a_certificate_issued_by_hand_after_the_start_can_be_revoked_too(database: Database, tmp_path: Path) -> None:
    async with authority_in(tmp_path, database) as running:
        async with owner(database) as connection:
            await connection.execute(
                "INSERT INTO registry.device (id, site_id, profile_id, name) VALUES ('inv-late', $1, 'inverter', 'x')", SITE
            )
        certs("issue-device", str(running.folder), "inv-late")
        late = x509.load_pem_x509_certificate((running.folder / "devices" / "inv-late" / "chain.pem").read_bytes())
        await revoke(database, "inv-late")
        await until_revoked(running, late.serial_number)


async def test_without_its_database_it_says_so_and_comes_back(own_postgres: Cluster, tmp_path: Path) -> None:
    database = await asyncio.to_thread(own_postgres.create_database, "sp_away")
    async with authority_in(tmp_path, database) as running:
        code, key = await make_claim(database, "inv-wait"), make_key()
        await asyncio.to_thread(own_postgres.server.stop_immediate)
        with pytest.raises(Refused) as caught:
            await enrol(running, code, request_of(key))
        assert (caught.value.status, caught.value.code) == (503, "database_away")
        async with client(running) as asking:
            assert (await asking.get("/health/ready")).status_code == httpx.codes.SERVICE_UNAVAILABLE
        await asyncio.to_thread(own_postgres.server.start)
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    got = await enrol(running, code, request_of(key))
                except Refused:
                    await asyncio.sleep(0.2)
                else:
                    break
        await revoke(database, "inv-wait")
        await until_revoked(running, got.serial_number)
        assert running.stop() == 0
        assert not running.settings.ready_file.exists()


async def test_a_taken_port_or_a_lost_key_ends_it_with_a_clear_line(database: Database, tmp_path: Path) -> None:
    async with authority_in(tmp_path, database) as running:
        second = running.command("serve", "--settings", str(running.settings_file))
        assert second.returncode == 1
        assert "folder_taken" in second.stderr
    with socket.create_server(("127.0.0.1", running.settings.port)):
        port_taken = running.command("serve", "--settings", str(running.settings_file))
    assert port_taken.returncode == 1
    assert "port_busy" in port_taken.stderr
    (running.folder / "devices-ca" / "key.pem").unlink()
    no_key = running.command("serve", "--settings", str(running.settings_file))
    assert no_key.returncode == 1
    assert "devices-ca" in no_key.stderr
