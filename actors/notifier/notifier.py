"""Sends what is due, one message after the other, until told to stop.

Crash contract: a row is marked in the transaction that has locked it, after the carrier has taken the message. Killed in
between, the message goes out once more, with the same Message-ID; it is never lost.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import structlog

from actors.notifier import figures
from actors.notifier.carriers import Carrier
from actors.notifier.letter import letter
from fleet.errors import BadInput, Unavailable
from fleet.limits import COMMIT_TIMEOUT_S, MAIL_ATTEMPTS_MAX, MAIL_GOODBYE_S, MAIL_RETRY_S
from fleet.settings import DatabaseSettings
from fleet.storage import audit
from fleet.storage.database import AWAY, DirectConnection, connect
from fleet.storage.mail import Mail, mark_failed, mark_sent, take_due
from fleet.storage.notices import MAIL, POLL_S

log = structlog.get_logger("notifier")

_PROBLEM_CHARS_MAX = 500


class Notifier:
    """ready is called once the database answers and notices are heard."""

    def __init__(self, database: DatabaseSettings, carrier: Carrier, ready: Callable[[], None]) -> None:
        self._database = database
        self._carrier = carrier
        self._ready = ready
        self._stopping = asyncio.Event()
        self._news = asyncio.Event()

    def stop(self) -> None:
        self._stopping.set()
        self._news.set()

    async def run(self) -> None:
        """Until stop(); a message under way may still arrive."""
        work = asyncio.create_task(self._work())
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait({work}, timeout=MAIL_GOODBYE_S)
        stopping.cancel()
        if not work.cancel():
            work.result()

    async def _work(self) -> None:
        while not self._stopping.is_set():
            try:
                connection = await connect(self._database, command_timeout_s=COMMIT_TIMEOUT_S)
                try:
                    await self._serve(connection)
                finally:
                    connection.terminate()
            except AWAY as error:
                log.warning("database_away", error=str(error), next_try_s=POLL_S)
                await self._pause()

    async def _serve(self, connection: DirectConnection) -> None:
        await connection.add_listener(MAIL, self._on_notice)
        self._ready()
        while not self._stopping.is_set():
            self._news.clear()  # before looking: what is laid down from here on sets it again
            while not self._stopping.is_set() and await self.send_one(connection):
                pass
            await self._pause()

    async def send_one(self, connection: DirectConnection) -> bool:
        """Whether there was one to send."""
        async with connection.transaction():
            mail = await take_due(connection)
            if mail is None:
                return False
            try:
                await self._carrier.carry(letter(mail, self._carrier.sender))
            except (BadInput, Unavailable) as error:
                await self._put_off(connection, mail, error)
            else:
                await mark_sent(connection, mail)
                figures.mails.labels("sent").inc()
                log.info("mail_sent", mail=mail.id, attempts=mail.attempts + 1)
        return True

    async def _put_off(self, connection: DirectConnection, mail: Mail, error: BadInput | Unavailable) -> None:
        attempts = mail.attempts + 1
        problem = error.detail[:_PROBLEM_CHARS_MAX]
        if isinstance(error, BadInput) or attempts >= MAIL_ATTEMPTS_MAX:
            await mark_failed(connection, mail, problem, None)
            figures.mails.labels("given_up").inc()
            await audit.record(connection, "mail.give_up", subject=str(mail.id), detail={"problem": problem})
            log.error("mail_given_up", mail=mail.id, attempts=attempts, problem=problem)
        else:
            again_in_s = MAIL_RETRY_S[min(attempts, len(MAIL_RETRY_S)) - 1]
            await mark_failed(connection, mail, problem, again_in_s)
            figures.mails.labels("put_off").inc()
            log.warning("mail_not_taken", mail=mail.id, attempts=attempts, problem=problem, next_try_s=again_in_s)

    async def _pause(self) -> None:
        """Until a notice comes, or for as long as one may be late."""
        try:
            async with asyncio.timeout(POLL_S):
                await self._news.wait()
        except TimeoutError:
            return

    def _on_notice(self, *_notice: Any) -> None:
        self._news.set()
