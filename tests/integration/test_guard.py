"""Revocation beside the broker, seen from outside: who still gets through, and what the platform says about it."""

import socket
import ssl
from collections.abc import Iterator

import aiomqtt
import pytest
from cryptography import x509
from prometheus_client import REGISTRY

from actors.guard.takeover import InternalDoor
from fleet import topics
from fleet.ids import DeviceId
from tests.fleet_rig import until
from tests.guard_devices import Talker, device_client, gets_in, greet, stage, tls_of
from tests.guard_rig import SITE, Guard, guarded
from tests.servers import Broker, Database, certs


@pytest.fixture
def guard(database: Database, broker: Broker) -> Iterator[Guard]:
    with guarded(database, broker) as running:
        yield running


async def test_a_revoked_device_is_silenced_thrown_out_and_refused(guard: Guard) -> None:
    async with (
        stage(guard, "d-one", "d-two") as (signer, listener),
        Talker(guard, "d-one") as one,
        Talker(guard, "d-two") as two,
    ):
        await listener.hears("d-one")
        await guard.revoke("d-one")
        number = await signer.sign()
        await guard.reaches("d-one", lambda row: row.installed_at)
        heard = await listener.so_far("d-one")
        row = await guard.reaches("d-one", lambda row: row.done)
        assert row.crl_number == number
        await one.is_cut()
        assert not await gets_in(guard, "d-one")
        assert await listener.so_far("d-one") == heard
        times = (row.requested_at, row.denied_at, row.installed_at, row.kicked_at, row.refused_at)
        assert list(times) == sorted(times)  # type: ignore[type-var]
        assert row.problem is None
        await listener.hears("d-two")
        assert not two.cut.is_set()
        await guard.calm()


async def test_a_device_is_silent_before_anything_is_signed(guard: Guard) -> None:
    async with stage(guard, "d-one") as (signer, listener), Talker(guard, "d-one") as one:
        await listener.hears("d-one")
        await guard.revoke("d-one")
        await guard.reaches("d-one", lambda row: row.denied_at)
        heard = await listener.so_far("d-one")
        await guard.alarm("authority_away")
        assert await listener.so_far("d-one") == heard
        assert one.sent > heard
        await signer.sign()
        await guard.reaches("d-one", lambda row: row.done)
        await guard.alarm("authority_away", raised=False)


async def test_what_was_queued_for_it_and_its_will_are_gone(guard: Guard) -> None:
    """The session is taken over with a clean start; a last will would be a message after the end."""
    up, down = topics.up(SITE, DeviceId("d-one")), topics.down(SITE, DeviceId("d-one"))
    async with stage(guard, "d-one") as (signer, listener):
        device = device_client(guard, "d-one", clean_session=False, will=aiomqtt.Will(up.state, b"last words", qos=1))
        async with device:
            await device.subscribe(topics.device_filter(SITE, DeviceId("d-one")), qos=1)
            await guard.revoke("d-one")
            await signer.sign()
            await guard.reaches("d-one", lambda row: row.done)
            with pytest.raises(aiomqtt.MqttError):
                await anext(aiter(device.messages))
            with pytest.raises(aiomqtt.MqttError):  # there is nothing left to say good-bye to
                await device.publish(up.telemetry, b"more")
            await listener.says(down.ack, b"for whoever has the certificate")
            told = {payload for name, payload in listener.got if name == "d-one"}  # a word is said again until it came back
            assert told == {b"for whoever has the certificate"}


async def test_a_remembered_tls_session_does_not_get_in_either(guard: Guard) -> None:
    context = tls_of(guard, "d-one")
    async with stage(guard, "d-one") as (signer, _):
        session = first_session(guard, context)
        await guard.revoke("d-one")
        await signer.sign()
        await guard.reaches("d-one", lambda row: row.done)
        with pytest.raises(OSError):  # noqa: PT011 - TLS alerts are such, and which end comes first is open
            greet(guard, "d-one", context, session)


def first_session(guard: Guard, context: ssl.SSLContext) -> ssl.SSLSession:
    connection = greet(guard, "d-one", context)
    session = connection.session
    connection.close()
    assert session is not None
    return session


async def test_many_at_once(guard: Guard) -> None:
    devices = [f"d-{number}" for number in range(20)]
    async with stage(guard, *devices, "d-other") as (signer, listener), Talker(guard, "d-other") as other:
        for device in devices:
            await guard.revoke(device)
        await signer.sign()
        for device in devices:
            await guard.reaches(device, lambda row: row.done)
            assert not await gets_in(guard, device)
        await listener.hears("d-other")
        assert not other.cut.is_set()


async def test_asking_twice_is_one_revocation(guard: Guard) -> None:
    async with stage(guard, "d-one"):
        first, second = await guard.revoke("d-one"), await guard.revoke("d-one")
        assert first.id == second.id


async def test_new_hardware_in_its_place_is_let_in(guard: Guard) -> None:
    async with stage(guard, "d-one") as (signer, listener):
        await guard.revoke("d-one")
        await signer.sign()
        await guard.reaches("d-one", lambda row: row.done)
        (guard.pki.folder / "devices" / "d-one" / "chain.pem").unlink()
        await signer.enter("d-one")  # with a new certificate
        await signer.tell_of_claim("a-claim")

        async def not_denied() -> bool:
            return "d-one" not in (guard.home / "denied").read_text()

        await until(not_denied)
        async with Talker(guard, "d-one"):
            await listener.hears("d-one")


async def test_every_list_is_installed_and_proven_also_one_that_revokes_nothing_new(guard: Guard) -> None:
    async with stage(guard, "d-one") as (signer, _):
        number = await signer.sign()
        await guard.proven(number)
        assert guard.number_before_the_broker() == number


async def test_a_renewed_server_certificate_is_shown_without_a_restart(guard: Guard) -> None:
    async with stage(guard, "d-one"), Talker(guard, "d-one") as one:
        before = shown(guard)
        certs("issue-server", str(guard.pki.folder), "--name", "localhost", "--name", "again", "--ip", "127.0.0.1")

        async def other_one() -> bool:
            return shown(guard) != before

        await until(other_one)
        assert not one.cut.is_set()


async def test_prometheus_is_told_when_that_ends_which_the_broker_really_shows(broker: Broker) -> None:
    """Not when the renewed one in the authority's folder does, which may never have reached the broker."""
    certs("issue-platform", str(broker.pki.folder), "sp-guard")
    assert not await InternalDoor(broker.pki.platform(broker, "sp-guard")).in_force("no-such-mark")
    leaf = x509.load_pem_x509_certificate((broker.server.folder / "chain.pem").read_bytes())
    told = REGISTRY.get_sample_value("solarperform_guard_broker_certificate_end_time_seconds")
    assert told == leaf.not_valid_after_utc.timestamp()


def shown(guard: Guard) -> int:
    """Serial number of the certificate that the broker shows."""
    with (
        socket.create_connection(("127.0.0.1", guard.broker.device_port), 60.0) as plain,
        tls_of(guard, "d-one").wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        return x509.load_der_x509_certificate(connection.getpeercert(binary_form=True) or b"").serial_number
