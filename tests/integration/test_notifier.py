"""Mail from the row to the mail server: taken once, put off, given up, and never lost when the notifier is killed."""

import asyncio
import os
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from actors.local.ports import LOOPBACK, free_port
from actors.notifier import notifier as notifier_module
from actors.notifier.carriers import Carrier, Folder, MailServer
from actors.notifier.notifier import Notifier
from fleet import settings
from fleet.errors import BadInput
from fleet.limits import MAIL_ATTEMPTS_MAX
from fleet.settings import NotifierSettings, SmtpSettings
from fleet.storage.database import connect
from fleet.storage.mail import queue_mail
from tests.mail_server import MailHouse, mail_server
from tests.servers import Cluster, Database, Pki

DEADLINE_S = 60.0
SUBJECT = "Votre site « École Jules-Ferry » est prêt"
BODY = "Bonjour,\n\nvotre centrale parle : 4 512 W.\n.\nÀ bientôt\n"


async def queue(database: Database, recipient: str = "owner@example.org", subject: str = SUBJECT) -> None:
    """As the web does it, with the web's rights."""
    connection = await connect(database.sp_web)
    try:
        await queue_mail(connection, recipient=recipient, subject=subject, body=BODY)
    finally:
        await connection.close()


async def rows(database: Database) -> list[Any]:
    connection = await connect(database.owner)
    try:
        return list(await connection.fetch("SELECT * FROM accounts.mail ORDER BY id"))
    finally:
        await connection.close()


async def execute(database: Database, statement: str, *values: object) -> None:
    connection = await connect(database.owner)
    try:
        await connection.execute(statement, *values)
    finally:
        await connection.close()


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not await condition():  # noqa: ASYNC110 - the database is asked, it does not tell
            await asyncio.sleep(0.05)


def smtp(house: MailHouse, security: Literal["tls", "starttls", "none"] = "none", host: str = LOOPBACK) -> SmtpSettings:
    return SmtpSettings(host, house.port, "sp@example.net", security)


@asynccontextmanager
async def notifier(database: Database, carrier: Carrier) -> AsyncIterator[Notifier]:
    ready = asyncio.Event()
    running = Notifier(database.sp_notifier, carrier, ready.set)
    task = asyncio.create_task(running.run())
    try:
        async with asyncio.timeout(DEADLINE_S):
            await ready.wait()
        yield running
    finally:
        running.stop()
        await task


async def test_a_mail_arrives_as_it_was_written(database: Database) -> None:
    async with mail_server() as house, notifier(database, MailServer(smtp(house))):
        await queue(database)
        await until(lambda: sent(database, 1))
    (message,) = house.messages
    assert house.recipients == ["owner@example.org"]
    assert message["Subject"] == SUBJECT
    assert message["From"] == "SolarPerform <sp@example.net>"
    assert message["To"] == "owner@example.org"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Date"].datetime == (await rows(database))[0]["created_at"].replace(microsecond=0)
    assert message.get_content().replace("\r\n", "\n") == BODY
    assert (await rows(database))[0]["body"] == "", "what was sent is not kept: it may hold a secret"


async def sent(database: Database, number: int) -> bool:
    return sum(row["sent_at"] is not None for row in await rows(database)) >= number


async def test_what_is_rolled_back_is_not_sent(database: Database) -> None:
    connection = await connect(database.sp_web)
    change = connection.transaction()
    await change.start()
    await queue_mail(connection, recipient="a@example.org", subject="never", body="")
    await change.rollback()
    await connection.close()
    assert await rows(database) == []


@pytest.mark.parametrize(
    ("recipient", "subject"),
    [
        ("owner@example.org\nBcc: all@example.org", "x"),
        ("owner@example.org, other@example.org", "x"),
        ("owner", "x"),
        ("", "x"),
        ("propriétaire@example.org", "x"),
        ("owner@example.org", "line\r\nBcc: all@example.org"),
        ("owner@example.org", "x" * 201),
    ],
)
async def test_nothing_becomes_another_header(database: Database, recipient: str, subject: str) -> None:
    with pytest.raises(BadInput):
        await queue(database, recipient, subject)
    assert await rows(database) == []


async def test_a_row_that_somebody_else_has_written_is_looked_at_as_well(database: Database, tmp_path: Path) -> None:
    await execute(
        database, "INSERT INTO accounts.mail (recipient, subject, body) VALUES (E'a@b.example\\nBcc: c@d.example', 's', 'b')"
    )
    async with notifier(database, Folder(tmp_path / "mail")):
        await until(lambda: given_up(database))
    assert not (tmp_path / "mail").exists()


async def given_up(database: Database) -> bool:
    return all(row["due_at"].year == 9999 for row in await rows(database))


async def test_for_later_is_tried_later_and_for_good_is_given_up(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifier_module, "MAIL_RETRY_S", (3_600.0,))  # not by itself, while this test stands still
    async with mail_server() as house, notifier(database, MailServer(smtp(house))):
        house.answers["RCPT"] = "450 greylisted"
        await queue(database)
        await until(lambda: tried(database, 1))
        (row,) = await rows(database)
        assert "450" in row["problem"]
        assert row["due_at"] > row["created_at"] + timedelta(hours=1)
        house.answers["RCPT"] = "550 no such mailbox"
        await execute(database, "UPDATE accounts.mail SET due_at = now(); SELECT pg_notify('sp_mail', '')")
        await until(lambda: given_up(database))
    (row,) = await rows(database)
    assert (row["attempts"], row["sent_at"], house.messages) == (2, None, [])
    assert "550 no such mailbox" in row["problem"]


async def tried(database: Database, times: int) -> bool:
    return all(row["attempts"] >= times for row in await rows(database))


@pytest.mark.parametrize("command", ["MAIL", "EHLO", "."])
async def test_a_refusal_at_any_step_is_remembered(database: Database, command: str) -> None:
    async with mail_server() as house, notifier(database, MailServer(smtp(house))):
        house.answers[command] = house.answers["HELO"] = "451 not now"
        await queue(database)
        await until(lambda: tried(database, 1))
    assert "not now" in (await rows(database))[0]["problem"]


async def test_the_last_try_is_the_last(database: Database) -> None:
    await queue(database)
    await execute(database, "UPDATE accounts.mail SET attempts = $1", MAIL_ATTEMPTS_MAX - 1)
    nobody = SmtpSettings(LOOPBACK, free_port(), "sp@example.net", "none")
    async with notifier(database, MailServer(nobody)):
        await until(lambda: given_up(database))
    assert await audited(database) == ["mail.give_up"]


async def audited(database: Database) -> list[str]:
    connection = await connect(database.owner)
    try:
        return [row["action"] for row in await connection.fetch("SELECT action FROM audit.entry")]
    finally:
        await connection.close()


async def test_one_that_is_refused_does_not_hold_up_the_others(database: Database) -> None:
    await queue(database, "refused@example.org")
    async with mail_server() as house:
        house.answers["."] = "554 spam"
        async with notifier(database, MailServer(smtp(house))):
            await until(lambda: tried(database, 1))
            del house.answers["."]
            await queue(database, "third@example.org")
            await until(lambda: sent(database, 1))
    assert [message["To"] for message in house.messages] == ["third@example.org"]


async def test_a_lost_notice_is_only_late(database: Database) -> None:
    async with mail_server() as house, notifier(database, MailServer(smtp(house))):
        await execute(database, "INSERT INTO accounts.mail (recipient, subject, body) VALUES ('a@b.example', 's', 'b')")
        await until(lambda: sent(database, 1))


async def test_two_notifiers_send_each_mail_once(database: Database) -> None:
    for number in range(20):
        await queue(database, f"owner{number}@example.org")
    async with mail_server() as house:
        carrier = MailServer(smtp(house))
        async with notifier(database, carrier), notifier(database, carrier):
            await until(lambda: sent(database, 20))
    assert sorted(message["To"] for message in house.messages) == sorted(f"owner{n}@example.org" for n in range(20))


async def test_a_relay_without_a_sign_in_needs_no_password(tmp_path: Path) -> None:
    async with mail_server() as house:
        told = msgspec.structs.replace(smtp(house), password_file=tmp_path / "smtp_password")
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = "sp@example.net", "jo@example.org", "Bonjour"
        await MailServer(told).carry(message)
        assert [each["To"] for each in house.messages] == ["jo@example.org"]
        with pytest.raises(BadInput, match="bad_secret_file"):
            MailServer(msgspec.structs.replace(told, user="solar"))


@pytest.mark.parametrize("security", ["tls", "starttls"])
async def test_the_server_s_certificate_is_verified(
    database: Database, pki: Pki, security: Literal["tls", "starttls"]
) -> None:
    shown = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    folder = pki.folder / "servers" / "localhost"
    shown.load_cert_chain(folder / "chain.pem", folder / "key.pem")
    async with mail_server(**{"tls" if security == "tls" else "starttls": shown}) as house:
        wanted = smtp(house, security, "localhost")
        async with notifier(database, MailServer(wanted)):  # trusts the machine's authorities, not this one
            await queue(database)
            await until(lambda: tried(database, 1))
        assert "certificate" in (await rows(database))[0]["problem"].lower()
        await execute(database, "UPDATE accounts.mail SET due_at = now()")
        async with notifier(database, MailServer(wanted, ssl.create_default_context(cafile=pki.server_trust))):
            await until(lambda: sent(database, 1))
    assert len(house.messages) == 1


async def test_a_server_without_starttls_gets_nothing(database: Database) -> None:
    async with mail_server() as house, notifier(database, MailServer(smtp(house, "starttls"))):
        await queue(database)
        await until(lambda: tried(database, 1))
    assert house.messages == []


async def test_without_a_mail_server_mail_lies_in_a_folder(database: Database, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "mail"
    async with notifier(database, Folder(folder)):
        await queue(database)
        await until(lambda: sent(database, 1))
    (file,) = folder.iterdir()
    assert file.suffix == ".eml"
    assert (file.stat().st_mode & 0o777, folder.stat().st_mode & 0o777) == (0o600, 0o700)
    message = message_from_bytes(file.read_bytes(), policy=SMTP)
    assert message["Subject"] == SUBJECT
    assert message.get_content().replace("\r\n", "\n") == BODY  # type: ignore[attr-defined]


async def test_a_folder_that_cannot_be_written_is_a_problem_of_the_row(database: Database, tmp_path: Path) -> None:
    (tmp_path / "mail").touch()
    async with notifier(database, Folder(tmp_path / "mail")):
        await queue(database)
        await until(lambda: tried(database, 1))
    assert str(tmp_path / "mail") in (await rows(database))[0]["problem"]


# the process ------------------------------------------------------------------------------------------------------


@contextmanager
def settings_file(database: Database, tmp_path: Path, house: MailHouse) -> Iterator[Path]:
    file = tmp_path / "notifier.json"
    settings.save(file, NotifierSettings(database.sp_notifier, tmp_path / "mail", tmp_path / "notifier.ready", smtp(house)))
    yield file


async def process(file: Path) -> asyncio.subprocess.Process:
    started = await asyncio.create_subprocess_exec(sys.executable, "-m", "actors.notifier", "--settings", str(file))

    async def ready() -> bool:
        assert started.returncode is None
        return file.with_name("notifier.ready").exists()

    await until(ready)
    return started


async def test_killed_between_the_server_s_yes_and_the_commit(database: Database, tmp_path: Path) -> None:
    async with mail_server() as house:
        with settings_file(database, tmp_path, house) as file:
            house.answering.clear()
            await queue(database)
            killed = await process(file)
            async with asyncio.timeout(DEADLINE_S):
                await house.taken.wait()
            os.kill(killed.pid, signal.SIGKILL)
            await killed.wait()
            assert not await sent(database, 1)
            house.answering.set()
            heir = await process(file)
            await until(lambda: sent(database, 1))
            heir.terminate()
            assert await heir.wait() == 0
            assert not (tmp_path / "notifier.ready").exists()
    first, second = house.messages
    assert first["Message-ID"] == second["Message-ID"]
    assert first.as_bytes() == second.as_bytes()


async def test_told_to_stop_it_finishes_what_is_under_way(database: Database, tmp_path: Path) -> None:
    async with mail_server() as house:
        with settings_file(database, tmp_path, house) as file:
            house.answering.clear()
            running = await process(file)
            await queue(database)
            async with asyncio.timeout(DEADLINE_S):
                await house.taken.wait()
            running.terminate()
            house.answering.set()
            assert await running.wait() == 0
    assert await sent(database, 1)


async def test_the_database_goes_and_comes_back(own_postgres: Cluster, tmp_path: Path) -> None:
    database = await asyncio.to_thread(own_postgres.create_database, "sp_mail")
    async with mail_server() as house, notifier(database, MailServer(smtp(house))):
        await asyncio.to_thread(own_postgres.server.kill)
        await asyncio.to_thread(own_postgres.server.start)
        await queue(database)
        await until(lambda: sent(database, 1))
    assert len(house.messages) == 1
