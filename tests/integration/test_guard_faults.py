"""What may break beside the broker: it is never open, it is told, and it comes right by itself."""

import asyncio
import contextlib
import os
import random
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import mqtt5
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from actors.local import mosquitto
from certs import crl
from certs.authority import Pki
from fleet import topics
from fleet.ids import DeviceId
from tests.fleet_rig import until
from tests.guard_devices import Talker, gets_in, greet, stage, tls_of
from tests.guard_rig import SITE, Guard, Signer, guarded
from tests.servers import Broker, Cluster, Database

NOW_S = timedelta(seconds=1)


@pytest.fixture
def guard(database: Database, broker: Broker) -> Iterator[Guard]:
    with guarded(database, broker) as running:
        yield running


@asynccontextmanager
async def stubborn(guard: Guard, device: str, threads: int = 3) -> AsyncIterator[None]:
    """Somebody who has the certificate and tries to publish with it, over and over, on new connections."""
    stop = asyncio.Event()
    topic = topics.up(SITE, DeviceId(device)).telemetry

    async def try_again() -> None:
        while not stop.is_set():
            with contextlib.suppress(OSError):
                await asyncio.to_thread(_intrude, guard, device, topic)
            await asyncio.sleep(0.01)

    tasks = [asyncio.create_task(try_again()) for _ in range(threads)]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*tasks)


def _intrude(guard: Guard, device: str, topic: str) -> None:
    with greet(guard, device, tls_of(guard, device)) as connection:
        for number in range(1, 6):
            connection.sendall(
                mqtt5.PublishPacket(topic, b"intruder", qos=mqtt5.QoS.AT_LEAST_ONCE, packet_id=number).write()
            )
        connection.recv(100)


async def test_a_revoked_certificate_never_publishes_again_whatever_happens_to_the_broker(guard: Guard) -> None:
    luck = random.Random(7)
    async with stage(guard, "d-one", "d-two") as (signer, listener), stubborn(guard, "d-one"):
        await listener.hears("d-one")
        await guard.revoke("d-one")
        await signer.sign()
        await guard.reaches("d-one", lambda row: row.installed_at)
        heard = await listener.so_far("d-one")
        for round_ in range(6):
            how = luck.choice(("kill", "restart", "garbage", "deleted", "hup"))
            await asyncio.to_thread(disturb, guard, how)
            async with Talker(guard, "d-two"):
                await listener.hears("d-two")
            if round_ % 2:
                await signer.sign()
        await guard.reaches("d-one", lambda row: row.done)
        assert await listener.so_far("d-one") == heard


def disturb(guard: Guard, how: str) -> None:
    server = guard.broker.server
    match how:
        case "kill":
            server.kill()
            server.start()
        case "restart":
            server.stop()
            server.start()
        case "garbage":
            (guard.home / "crl.pem").write_text("garbage")
        case "deleted":
            (guard.home / "crl.pem").unlink(missing_ok=True)
    assert server.pid is not None
    os.kill(server.pid, signal.SIGHUP)


async def test_revoking_while_the_broker_is_down(guard: Guard) -> None:
    async with stage(guard, "d-one") as (signer, listener):
        await asyncio.to_thread(guard.broker.server.kill)
        await guard.revoke("d-one")
        await signer.sign()
        await guard.alarm("broker_away")
        row = await guard.reaches("d-one", lambda row: row.attempts)
        assert (row.problem, row.denied_at, row.refused_at) == ("broker_away", None, None)

        async def laid() -> bool:
            return guard.number_before_the_broker() == row.crl_number

        await until(laid)
        async with stubborn(guard, "d-one"):
            await asyncio.to_thread(guard.broker.server.start)
            await guard.reaches("d-one", lambda row: row.done)
            await guard.alarm("broker_away", raised=False)
        assert listener.count("d-one") == 0


@pytest.fixture
def bystander() -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


async def test_a_signal_never_goes_to_somebody_elses_process(guard: Guard, bystander: "subprocess.Popen[bytes]") -> None:
    """A broker that was killed leaves its number behind."""
    async with stage(guard, "d-one") as (signer, _):
        await asyncio.to_thread(guard.broker.server.kill)
        guard.settings.pid_file.write_text(str(bystander.pid))
        await guard.revoke("d-one")
        await signer.sign()
        await guard.alarm("broker_away")
        assert bystander.poll() is None
        await asyncio.to_thread(guard.broker.server.start)
        await guard.reaches("d-one", lambda row: row.done)


async def test_killed_at_any_moment_the_guard_finishes_when_it_is_back(guard: Guard) -> None:
    luck = random.Random(3)
    devices = [f"d-{number}" for number in range(6)]
    async with stage(guard, *devices) as (signer, listener):
        for device in devices:
            async with Talker(guard, device):
                await listener.hears(device)
                await guard.revoke(device)
                signing = asyncio.create_task(signer.sign())
                await asyncio.sleep(luck.uniform(0, 0.12))  # as far as it gets
                await asyncio.to_thread(guard.kill)
                await signing
                guard.start()
                await guard.reaches(device, lambda row: row.denied_at)
                heard = await listener.so_far(device)
                await guard.reaches(device, lambda row: row.done)
                assert await listener.so_far(device) == heard
            assert not await gets_in(guard, device)


async def test_a_spoilt_list_in_the_database_is_never_installed(guard: Guard) -> None:
    async with stage(guard, "d-one", "d-two") as (signer, listener), Talker(guard, "d-one"), Talker(guard, "d-two") as two:
        before = guard.number_before_the_broker()
        await guard.fetch(
            "CREATE FUNCTION pki.spoil() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " NEW.der = set_bit(NEW.der, 8 * length(NEW.der) - 24, 1 - get_bit(NEW.der, 8 * length(NEW.der) - 24));"
            " RETURN NEW; END $$"
        )
        await guard.fetch("CREATE TRIGGER spoil BEFORE INSERT ON pki.crl FOR EACH ROW EXECUTE FUNCTION pki.spoil()")
        await guard.revoke("d-one")
        await signer.sign()
        await guard.alarm("crl_corrupt")
        row = await guard.reaches("d-one", lambda row: row.denied_at)
        assert guard.number_before_the_broker() == before
        assert row.installed_at is None
        heard = await listener.so_far("d-one")
        await listener.hears("d-two")
        await guard.fetch("DROP TRIGGER spoil ON pki.crl")
        await signer.sign()
        await guard.reaches("d-one", lambda row: row.done)
        await guard.alarm("crl_corrupt", raised=False)
        assert await listener.so_far("d-one") == heard
        assert not two.cut.is_set()


async def test_a_database_from_yesterday_takes_no_revocation_back(guard: Guard) -> None:
    async with stage(guard, "d-one") as (signer, _):
        await guard.revoke("d-one")
        number = await signer.sign()
        await guard.reaches("d-one", lambda row: row.done)
        await guard.fetch("DELETE FROM pki.crl WHERE number = $1", number)
        await guard.fetch("DELETE FROM pki.revocation")
        await guard.alarm("crl_corrupt")
        await asyncio.to_thread(guard.kill)
        guard.start()
        await guard.ready()
        assert guard.number_before_the_broker() == number
        assert "d-one" in (guard.home / "denied").read_text()
        assert not await gets_in(guard, "d-one")
        await guard.alarm("crl_corrupt")


async def test_a_list_that_ends_shuts_everybody_out_and_is_told_of_before(guard: Guard) -> None:
    async with stage(guard, "d-one") as (signer, _):
        await signer.sign(ends=datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1))
        await guard.alarm("crl_expiring")

        async def everybody_is_out() -> bool:
            """A list that is read after its end does not go to the broker: then another one."""
            await signer.sign(ends=datetime.now(UTC).replace(microsecond=0) + 6 * NOW_S)
            await guard.alarm("crl_expired")
            if not await gets_in(guard, "d-one"):
                return True
            await guard.proven(await signer.sign())
            await guard.alarm("crl_expired", raised=False)
            return False

        await until(everybody_is_out)
        number = await signer.sign()
        await guard.proven(number)
        await guard.alarm("crl_expired", raised=False)
        assert await gets_in(guard, "d-one")
        await guard.calm()


@pytest.fixture
def own_database(own_postgres: Cluster) -> Database:
    return own_postgres.create_database("sp_guarded")


async def test_a_spoilt_list_before_the_broker_is_replaced_without_the_database(
    own_postgres: Cluster, own_database: Database, broker: Broker
) -> None:
    """And a broker that was told to read the spoilt one is told again."""
    with guarded(own_database, broker) as guard:
        async with stage(guard, "d-one") as (signer, listener):
            await guard.revoke("d-one")
            await signer.sign()
            await guard.reaches("d-one", lambda row: row.done)
            whole = (guard.home / "crl.pem").read_bytes()
            await asyncio.to_thread(own_postgres.server.kill)
            await asyncio.to_thread(disturb, guard, "garbage")

            async def whole_again() -> bool:
                return (guard.home / "crl.pem").read_bytes() == whole and not await gets_in(guard, "d-one")

            async with stubborn(guard, "d-one"):
                await until(whole_again)
            assert await listener.so_far("d-one") == 0
            await asyncio.to_thread(own_postgres.server.start)
            number = await signer.sign()
            await guard.proven(number)


async def test_a_broker_that_stays_open_is_closed_until_it_refuses(guard: Guard) -> None:
    """One whose configuration names another list than ours."""
    async with stage(guard, "d-one", "d-two") as (signer, listener):
        await asyncio.to_thread(guard.broker.server.stop)
        with misconfigured(guard):
            await guard.alarm("broker_open")
            await closed(guard, True)
            async with Talker(guard, "d-two") as two:
                await revoke_in_vain(guard, signer)
                heard = await listener.so_far("d-two")  # it may have come before the broker had read that it is closed
                await two.has_sent(two.sent + 5)
            assert await listener.so_far("d-two") == heard
        await asyncio.to_thread(guard.broker.server.start)
        await guard.reaches("d-one", lambda row: row.done)
        await guard.alarm("broker_open", raised=False)
        await closed(guard, False)
        async with Talker(guard, "d-two"):
            await listener.hears("d-two")


async def revoke_in_vain(guard: Guard, signer: Signer) -> None:
    await guard.revoke("d-one")
    await signer.sign()
    row = await guard.reaches("d-one", lambda row: row.attempts)
    assert row.refused_at is None


async def closed(guard: Guard, wanted: bool) -> None:
    async def so() -> bool:
        return ("*" in (guard.home / "denied").read_text().split()) is wanted

    await until(so)


@contextlib.contextmanager
def misconfigured(guard: Guard) -> Iterator[None]:
    """The same broker, but it reads a list that was never replaced."""
    other = guard.home / "other.pem"
    other.write_bytes(list_of_the_first_day(guard))
    configuration = (guard.home / "mosquitto.conf").read_text()
    changed = guard.home / "changed.conf"
    changed.write_text(configuration.replace("crlfile " + str(guard.home / "crl.pem"), f"crlfile {other}"))
    for file in (other, changed):
        give(file, guard.home)
    process = subprocess.Popen([mosquitto.find().path, "-c", changed], **mosquitto_account(guard.home))
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=60)


def list_of_the_first_day(guard: Guard) -> bytes:
    now = datetime.now(UTC).replace(microsecond=0)
    made = crl.build(Pki(guard.pki.folder).devices, 1, [], this_update=now, next_update=now + timedelta(hours=1))
    return made.public_bytes(Encoding.PEM)


def give(file: Path, home: Path) -> None:
    if os.geteuid() == 0:
        owner = home.stat()
        os.chown(file, owner.st_uid, owner.st_gid)


def mosquitto_account(home: Path) -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    owner = home.stat()
    return {"user": owner.st_uid, "group": owner.st_gid, "cwd": "/"}


async def test_a_broker_whose_list_was_lost_starts_closed_until_the_guard_has_seen_to_it(
    database: Database, broker: Broker
) -> None:
    with guarded(database, broker) as guard:
        async with stage(guard, "d-one", "d-two") as (signer, listener):
            await guard.revoke("d-one")
            await signer.sign()
            await guard.reaches("d-one", lambda row: row.done)
            await asyncio.to_thread(guard.kill)
            await asyncio.to_thread(broker.server.stop)
            (guard.home / "crl.pem").unlink()
            await asyncio.to_thread(broker.server.start)
            await closed(guard, True)
            async with stubborn(guard, "d-one"), Talker(guard, "d-two") as two:
                await two.has_sent(5)
                assert await listener.so_far("d-one") + await listener.so_far("d-two") == 0
                guard.start()
                await listener.hears("d-two")
            assert listener.count("d-one") == 0
            await closed(guard, False)
