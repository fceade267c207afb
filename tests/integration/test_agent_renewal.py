"""The agent's certificate: renewed with a new key, never two in force, used only when it works; revoked; expired."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from edge.agent import files
from edge.agent.home import Identity
from fleet.ids import DeviceId
from fleet.storage.certificates import CertificateRow, certificates_of
from fleet.storage.revocations import request_revocation
from tests.agent_platform import Platform, hearing, platform
from tests.agent_rig import STEPS, AgentProcess
from tests.authority import SITE, owner
from tests.fleet_rig import until
from tests.servers import Database

FAST = '[[inputs]]\ntype = "simulated"\nperiod_s = 1.0\n'


@pytest.fixture
def parts(database: Database, tmp_path: Path) -> Iterator[Platform]:
    with platform(tmp_path, database) as running:
        yield running


@pytest.fixture
async def sky(parts: Platform) -> AsyncIterator[Platform]:
    async with hearing(parts) as running:
        yield running


async def ledger(database: Database, device: str) -> list[CertificateRow]:
    async with owner(database) as connection:
        return await certificates_of(connection, DeviceId(device))


def make_due(agent: AgentProcess) -> Identity:
    """As if two thirds of the certificate's life were over."""
    identity = agent.home.enrolled()
    known = identity.connection()
    terms = msgspec.structs.replace(known.certificate, renew_at=0)
    identity.keep_connection(msgspec.structs.replace(known, certificate=terms))
    return identity


async def check_renewed(agent: AgentProcess, sky: Platform, device: str, old: str) -> None:
    """The new one is in force, used and the agent's; the old one is revoked; nothing is left of it."""
    identity = agent.home.enrolled()
    serial = f"{identity.certificate().serial_number:x}"
    rows = {row.serial: row for row in await ledger(sky.database, device)}
    assert set(rows) == {old, serial}
    assert rows[old].revoked_at
    assert rows[old].reason == "superseded"
    assert rows[serial].confirmed_at
    assert rows[serial].revoked_at is None
    assert [each.name for each in agent.home.all()] == [identity.name]


async def test_it_renews_with_a_new_key_and_goes_on_without_being_called_offline(sky: Platform, tmp_path: Path) -> None:
    agent, heard = await sky.agent(tmp_path, "roof-met")
    (agent.state / "agent.toml").write_text(FAST)
    old = make_due(agent)
    old_serial, old_key = old.connection().certificate.serial, old.key.read_bytes()
    agent.start("run")
    await agent.until(lambda: agent.events("agent.renewed"), "it renews")
    await agent.until(lambda: len(heard.states) >= 2, "it connects again")
    said = len(heard.offered)
    await agent.until(lambda: len(heard.offered) > said + 1, "it goes on")
    await check_renewed(agent, sky, "roof-met", old_serial)
    assert agent.home.enrolled().key.read_bytes() != old_key
    assert all(state.online for state in heard.states)
    assert len(agent.events("agent.renewed")) == 1
    listed = await old_one_is_listed(sky, old_serial)
    assert listed
    sky.install_crl()
    sky.broker.server.stop()
    sky.broker.server.start()
    said = len(heard.offered)
    await agent.until(lambda: len(heard.offered) > said + 1, "the broker, which refuses the old one, takes the new one")
    assert agent.stop() == 0


async def old_one_is_listed(sky: Platform, serial: str) -> bool:
    async def listed() -> bool:
        file = sky.authority.folder / "trust" / "devices.crl.pem"
        if not file.exists():
            return False
        found = x509.load_pem_x509_crl(file.read_bytes())
        return found.get_revoked_certificate_by_serial_number(int(serial, 16)) is not None

    return bool(await until(listed))


@pytest.mark.timeout(420)  # many processes, one after the other, on a machine that may be busy
async def test_killed_after_any_step_of_the_renewal_it_goes_on(sky: Platform, tmp_path: Path) -> None:
    for step in (*STEPS, "current"):
        device = f"dev-{step.partition('.')[0]}"
        agent, _ = await sky.agent(tmp_path, device)
        old = make_due(agent)
        serial = old.connection().certificate.serial
        new = agent.home.successor_of(old)
        await agent.killed_after(agent.state / "current" if step == "current" else new.folder / step, "run")
        agent.start("run")
        await agent.until(lambda: agent.home.enrolled().name == new.name, "it is renewed")  # noqa: B023 - of this round
        await agent.until(lambda: len(agent.home.all()) == 1, "and has cleaned up")  # noqa: B023 - of this round
        agent.kill()
        await check_renewed(agent, sky, device, serial)


async def test_a_revoked_device_says_so_once_and_what_to_do(sky: Platform, tmp_path: Path) -> None:
    agent, heard = await sky.agent(tmp_path, "roof-met")
    (agent.state / "agent.toml").write_text(FAST)
    agent.start("run")
    await agent.until(lambda: heard.offered, "it speaks")
    serial = agent.home.enrolled().connection().certificate.serial
    async with owner(sky.database) as connection, connection.transaction():
        await request_revocation(
            connection, site=SITE, device=DeviceId("roof-met"), reason="stolen", note="", requested_by=None
        )
    assert await old_one_is_listed(sky, serial)
    sky.install_crl()
    sky.broker.server.stop()
    sky.broker.server.start()
    await agent.until(lambda: "REVOKED" in str(agent.events("agent.not_connected")).upper(), "the broker refuses it")
    assert agent.stop() == 0
    make_due(agent)
    agent.start("run")
    await agent.until(lambda: agent.events("agent.certificate_of_no_use"), "it says so")
    (said,) = agent.events("agent.certificate_of_no_use")
    assert said["code"] == "certificate_revoked"
    assert "--again" in str(said["do"])
    agent.stop()


async def test_an_expired_certificate_is_told_with_what_to_do_and_data_is_kept(sky: Platform, tmp_path: Path) -> None:
    agent, _ = await sky.agent(tmp_path, "roof-met")
    (agent.state / "agent.toml").write_text(FAST)
    identity = agent.home.enrolled()
    files.replace(identity.chain, expired(identity))
    agent.start("run")
    await agent.until(lambda: agent.events("agent.certificate_of_no_use"), "it says so")
    assert agent.events("agent.certificate_of_no_use")[0]["code"] == "certificate_expired"
    await agent.until(lambda: list(agent.state.glob("simulated.registers.json")), "it goes on measuring")
    status = agent.call("status").stdout
    assert "EXPIRED" in status
    assert "--again" in status
    assert agent.stop() == 0


def expired(identity: Identity) -> bytes:
    """The same certificate as it would be a year later."""
    now, own = datetime.now(UTC), identity.certificate()
    key = load_pem_private_key(identity.key.read_bytes(), None)
    builder = x509.CertificateBuilder(own.issuer, own.subject, own.public_key(), own.serial_number)  # type: ignore[arg-type]
    builder = builder.not_valid_before(now - timedelta(days=100)).not_valid_after(now - timedelta(days=10))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)  # type: ignore[arg-type]
