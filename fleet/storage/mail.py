"""E-mail that waits to be sent. Web lays it down; the notifier (actors/notifier) takes it from here.

A row is taken by locking it for as long as it is being sent: a notifier that is killed in between leaves it as it was, and
whoever sends it again does so under the same Message-ID.
"""

from datetime import datetime
from email.errors import HeaderParseError
from email.headerregistry import Address

import msgspec

from fleet.errors import BadInput
from fleet.limits import MAIL_SUBJECT_CHARS_MAX
from fleet.storage import notices
from fleet.storage.database import Connection

_TAKE = (
    "SELECT id, recipient, subject, body, created_at, attempts FROM accounts.mail"
    " WHERE sent_at IS NULL AND due_at <= clock_timestamp() ORDER BY due_at, id LIMIT 1 FOR UPDATE SKIP LOCKED"
)


class Mail(msgspec.Struct, frozen=True):
    """attempts: those that have failed."""

    id: int
    recipient: str
    subject: str
    body: str
    created_at: datetime
    attempts: int


class Unsent(msgspec.Struct, frozen=True):
    """problem: of the one that was tried last."""

    waiting: int
    given_up: int
    problem: str | None


async def queue_mail(connection: Connection, *, recipient: str, subject: str, body: str) -> None:
    """Part of the caller's transaction: what is rolled back is never sent. body: plain text.

    Raises BadInput (bad_recipient, bad_subject).
    """
    address_of(recipient)
    check_subject(subject)
    await connection.execute(
        "INSERT INTO accounts.mail (recipient, subject, body) VALUES ($1, $2, $3)", recipient, subject, body
    )
    await notices.notify(connection, notices.MAIL, "")


async def take_due(connection: Connection) -> Mail | None:
    """The one that has been due for longest, locked until the caller's transaction ends."""
    row = await connection.fetchrow(_TAKE)
    return None if row is None else msgspec.convert(dict(row), Mail)


async def mark_sent(connection: Connection, mail: Mail) -> None:
    """The text goes: everywhere else an invitation's secret is kept as a hash only."""
    await connection.execute(
        "UPDATE accounts.mail SET sent_at = clock_timestamp(), attempts = attempts + 1, problem = NULL, body = ''"
        " WHERE id = $1",
        mail.id,
    )


async def mark_failed(connection: Connection, mail: Mail, problem: str, again_in_s: float | None) -> None:
    """again_in_s None: given up; it is never due again."""
    await connection.execute(
        "UPDATE accounts.mail SET attempts = attempts + 1, problem = $2,"
        " due_at = coalesce(clock_timestamp() + make_interval(secs => $3), 'infinity') WHERE id = $1",
        mail.id,
        problem,
        again_in_s,
    )


async def unsent(connection: Connection) -> Unsent:
    (row,) = await connection.fetch(
        "SELECT count(*) FILTER (WHERE due_at < 'infinity') AS waiting,"
        " count(*) FILTER (WHERE due_at = 'infinity') AS given_up,"
        " (array_agg(problem ORDER BY id DESC) FILTER (WHERE problem IS NOT NULL))[1] AS problem"
        " FROM accounts.mail WHERE sent_at IS NULL"
    )
    return msgspec.convert(dict(row), Unsent)


def address_of(text: str) -> Address:
    """One mailbox, as `user@host` in ASCII; nothing that could become a header or a second recipient.

    Raises BadInput (bad_recipient).
    """
    try:
        address = Address(addr_spec=text)
    except (HeaderParseError, ValueError, IndexError):
        address = None
    if address is None or not address.domain or address.addr_spec != text or not text.isascii() or not text.isprintable():
        raise BadInput("bad_recipient", f"not an e-mail address: {text[:80]!r}")
    return address


def check_subject(text: str) -> None:
    """Raises BadInput (bad_subject)."""
    if not text.isprintable() or len(text) > MAIL_SUBJECT_CHARS_MAX:
        raise BadInput("bad_subject", f"a subject is one line of at most {MAIL_SUBJECT_CHARS_MAX} characters: {text[:80]!r}")
