"""The agent's enrolment: a real process, without the server's packages, against the real authority."""

import random
import stat
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edge.agent import enrolment
from edge.agent.cli import CLOCK, OTHER_CLAIM, REFUSED, UNREACHABLE, UNTRUSTED
from edge.agent.enrolment import Wish
from edge.agent.home import Home
from edge.agent.server import Server
from edge.agent.trust import read_fingerprint
from fleet import claim_code
from fleet.errors import BadInput
from fleet.ids import DeviceId
from fleet.storage.certificates import CertificateRow, certificates_of
from tests.agent_rig import STEPS, AgentProcess, anchor_fingerprint, link
from tests.authority import Authority, authority, make_claim, owner
from tests.servers import Database


@pytest.fixture
def ca(database: Database, tmp_path: Path) -> Iterator[Authority]:
    with authority(tmp_path, database) as running:
        yield running


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[AgentProcess]:
    started = AgentProcess(tmp_path / "pi")
    yield started
    if started.running:
        started.kill()


async def ledger(database: Database, device: str) -> list[CertificateRow]:
    async with owner(database) as connection:
        return await certificates_of(connection, DeviceId(device))


async def wrong_tries(database: Database, claim: str) -> int:
    async with owner(database) as connection:
        tries: int = await connection.fetchval("SELECT wrong_tries FROM pki.claim WHERE id = $1", claim)
        return tries


def in_force(rows: list[CertificateRow]) -> list[CertificateRow]:
    return [row for row in rows if row.superseded_at is None and row.revoked_at is None]


async def check_enrolled(agent: AgentProcess, database: Database, device: str) -> None:
    """One certificate in force, which is the agent's, used and confirmed; nothing else is left of the way there."""
    (row,) = in_force(await ledger(database, device))
    assert row.issued_at
    assert row.confirmed_at
    identity = agent.home.enrolled()
    assert identity.connection().certificate.serial == row.serial == f"{identity.certificate().serial_number:x}"
    assert [each.name for each in agent.home.all()] == [identity.name]
    for file in (agent.state / "current", *identity.folder.iterdir()):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(agent.state.stat().st_mode) == 0o700


async def test_a_scanned_link_makes_a_device(ca: Authority, agent: AgentProcess, database: Database) -> None:
    code = await make_claim(database, "roof-inv", device_name="Onduleur du toit")
    done = agent.call("enrol", link(ca, code))
    assert done.returncode == 0, done.stderr
    assert "Onduleur du toit (roof-inv)" in done.stdout
    await check_enrolled(agent, database, "roof-inv")
    again = agent.call("enrol", link(ca, code))
    assert again.returncode == 0
    assert "Already enrolled" in again.stdout
    assert len(await ledger(database, "roof-inv")) == 1
    said = agent.call("status").stdout
    assert "Onduleur du toit (roof-inv), site s-roof, profile inverter" in said
    assert "(89 days)" in said


async def test_a_typed_code_and_a_file_of_anchors_do_as_well(ca: Authority, agent: AgentProcess, database: Database) -> None:
    code = await make_claim(database, "roof-inv")
    typed = code.typed.lower().replace("0", "o").replace("-", " ")
    done = agent.call("enrol", "--server", ca.url, "--claim", typed, "--ca", str(ca.trust))
    assert done.returncode == 0, done.stderr
    await check_enrolled(agent, database, "roof-inv")


async def test_a_server_that_the_machine_knows_needs_no_fingerprint(
    ca: Authority, database: Database, tmp_path: Path
) -> None:
    code = await make_claim(database, "roof-inv")
    agent = AgentProcess(tmp_path / "pi", SSL_CERT_FILE=str(ca.trust))  # the machine's trust store, as OpenSSL finds it
    done = agent.call("enrol", "--server", ca.url, "--claim", code.typed)
    assert done.returncode == 0, done.stderr
    await check_enrolled(agent, database, "roof-inv")
    # the broker is below the platform's own root, which therefore came with it; the devices' authority vouches for no server
    assert agent.home.enrolled().trust.read_bytes().strip() == ca.trust.read_bytes().strip()


async def test_one_machine_is_one_device_unless_somebody_says_otherwise(
    ca: Authority, agent: AgentProcess, database: Database
) -> None:
    first, second = await make_claim(database, "roof-inv"), await make_claim(database, "roof-met", profile="meter")
    assert agent.call("enrol", link(ca, first)).returncode == 0
    refused = agent.call("enrol", link(ca, second))
    assert refused.returncode == OTHER_CLAIM
    assert "roof-inv" in refused.stderr
    assert "--again" in refused.stderr
    assert await ledger(database, "roof-met") == []
    assert agent.call("enrol", link(ca, second), "--again").returncode == 0
    await check_enrolled(agent, database, "roof-met")


def test_a_typing_error_is_found_before_anything_is_sent(agent: AgentProcess) -> None:
    code = claim_code.make().code
    wrong = code[:-1] + ("0" if code[-1] != "0" else "1")
    nowhere = "https://localhost:1"
    done = agent.call("enrol", "--server", nowhere, "--claim", wrong)
    assert done.returncode == REFUSED
    assert "typing error" in done.stderr
    assert "Looking at" not in done.stderr
    french = AgentProcess(agent.state.parent, "fr").call("enrol", "--server", nowhere, "--claim", code[:-3])
    assert "un code a 28 lettres et chiffres, celui-ci en a 25" in french.stderr
    assert "enrolment link" in agent.call("enrol", "https://example.org/menu").stderr


async def test_the_code_is_never_told_to_a_server_that_is_not_known(
    ca: Authority, agent: AgentProcess, database: Database, tmp_path: Path
) -> None:
    code = await make_claim(database, "roof-inv")
    target = ("--server", ca.url, "--claim", code.typed)
    unknown = agent.call("enrol", *target)
    assert unknown.returncode == UNTRUSTED
    assert anchor_fingerprint(ca) in unknown.stderr
    assert "Compare it with the installer's screen" in unknown.stderr
    other = agent.call("enrol", *target, "--fingerprint", "00" * 16)
    assert other.returncode == UNTRUSTED
    assert "0" * 32 in other.stderr
    assert anchor_fingerprint(ca) in other.stderr
    devices_ca = ca.folder / "trust" / "devices.pem"  # a real authority, but not the servers'
    wrong_ca = agent.call("enrol", *target, "--ca", str(devices_ca))
    assert wrong_ca.returncode == UNTRUSTED
    assert await ledger(database, "roof-inv") == []
    async with owner(database) as connection:
        assert await connection.fetchval("SELECT problem_code FROM pki.claim") is None  # nobody has tried it
    assert agent.call("enrol", *target, "--fingerprint", anchor_fingerprint(ca).upper()).returncode == 0
    await check_enrolled(agent, database, "roof-inv")


async def test_a_server_of_another_name_is_not_told_either(ca: Authority, agent: AgentProcess, database: Database) -> None:
    code = await make_claim(database, "roof-inv")
    there = ca.url.replace("localhost", "127.0.0.2")
    done = agent.call("enrol", "--server", there, "--claim", code.typed, "--ca", str(ca.trust), "--patience-s", "1")
    assert done.returncode in {UNTRUSTED, UNREACHABLE}  # some machines have but one loopback address
    assert await ledger(database, "roof-inv") == []


async def test_the_servers_refusal_is_shown_in_the_readers_language(
    ca: Authority, agent: AgentProcess, database: Database
) -> None:
    unknown = agent.call("enrol", link(ca, claim_code.make()))
    assert unknown.returncode == REFUSED
    assert "[claim_unknown]" in unknown.stderr
    french = AgentProcess(agent.state.parent, "fr").call("enrol", link(ca, claim_code.make()))
    assert "[claim_unknown]" in french.stderr
    assert french.stderr.splitlines()[-1] != unknown.stderr.splitlines()[-1]
    expired = await make_claim(database, "roof-inv", hours=-1)
    assert "[claim_expired]" in agent.call("enrol", link(ca, expired)).stderr
    used = await make_claim(database, "roof-met", profile="meter")
    assert AgentProcess(agent.state.parent / "other").call("enrol", link(ca, used)).returncode == 0
    assert "[claim_used]" in agent.call("enrol", link(ca, used)).stderr


@pytest.mark.parametrize(("wrong_by", "said"), [(timedelta(days=-3650), "behind"), (timedelta(days=700), "ahead")])
async def test_a_clock_wrong_by_years_is_told_before_the_code_is_used(
    ca: Authority, database: Database, tmp_path: Path, wrong_by: timedelta, said: str
) -> None:
    """The process's clock is the machine's; so this calls what the process calls."""
    code = await make_claim(database, "roof-inv")
    wish = Wish(Server(ca.url), code, None, read_fingerprint(anchor_fingerprint(ca)))
    with pytest.raises(BadInput) as raised:
        enrolment.enrol(
            Home(tmp_path / "s"), wish, say=lambda _: None, now=lambda: datetime.now(UTC) + wrong_by, patience_s=1
        )
    assert raised.value.code == "clock_wrong"
    assert said in raised.value.detail
    assert f"{abs(wrong_by.days) - 1} day" in raised.value.detail or f"{abs(wrong_by.days)} day" in raised.value.detail
    assert f"{datetime.now(UTC):%Y-%m-%d}" in raised.value.detail
    assert await ledger(database, "roof-inv") == []
    assert CLOCK == 6  # what scripts hold on to


async def test_a_server_that_is_down_is_asked_again(ca: Authority, agent: AgentProcess, database: Database) -> None:
    code = await make_claim(database, "roof-inv")
    ca.kill()
    given_up = agent.call("enrol", link(ca, code), "--patience-s", "1")
    assert given_up.returncode == UNREACHABLE
    agent.start("enrol", link(ca, code))
    await agent.until(lambda: "Trying again" in agent.log, "it says that it tries again")
    ca.start()
    await agent.until(lambda: not agent.running, "it ends")
    assert agent.process is not None
    assert agent.process.returncode == 0
    await check_enrolled(agent, database, "roof-inv")


@pytest.mark.timeout(420)  # many processes, one after the other, on a machine that may be busy
async def test_killed_after_any_step_the_same_command_goes_on(ca: Authority, database: Database, tmp_path: Path) -> None:
    for step in (*STEPS, "current"):
        device = f"dev-{step.partition('.')[0]}"
        code = await make_claim(database, device)
        agent = AgentProcess(tmp_path / device)
        file = agent.state / "current" if step == "current" else agent.home.of_claim(code.id).folder / step
        await agent.killed_after(file, "enrol", link(ca, code))
        assert agent.call("enrol", link(ca, code)).returncode == 0, agent.log
        assert len(await ledger(database, device)) == 1  # not even by accident a second one
        await check_enrolled(agent, database, device)


@pytest.mark.timeout(420)  # many processes, one after the other, on a machine that may be busy
async def test_agent_and_authority_killed_at_random_end_with_one_certificate(
    ca: Authority, database: Database, tmp_path: Path
) -> None:
    luck = random.Random(20261123)
    for round_number in range(4):
        device = f"dev-{round_number}"
        code = await make_claim(database, device)
        agent = AgentProcess(tmp_path / device)
        for _ in range(3):
            agent.start("enrol", link(ca, code))
            at = time.monotonic() + luck.uniform(0.15, 0.9)
            agent.kill_when(lambda at=at: time.monotonic() > at)  # type: ignore[misc]
            if luck.random() < 0.4:
                ca.kill()
                ca.start()
        done = agent.call("enrol", link(ca, code))
        assert done.returncode == 0, done.stderr
        assert len(await ledger(database, device)) == 1
        await check_enrolled(agent, database, device)
