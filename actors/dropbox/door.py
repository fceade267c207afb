"""The door of the drop box: one connection, from its first byte to the log line that is left of it.

Nobody learns whether an account exists: an unknown one, one without a password and a wrong password take the same time and
get the same answer.
"""

import asyncio
import time
from typing import Final, Protocol

import asyncssh
import structlog

from actors.dropbox import algorithms, figures, scp
from actors.dropbox.account import Account
from actors.dropbox.conversation import Conversation
from actors.dropbox.credentials import Credential, Credentials
from actors.dropbox.refused import COMMAND, SHELL, TOO_MANY_TRIES, Refused
from actors.dropbox.sftp import SftpSession
from actors.dropbox.visitor import Visitor
from fleet.attempts import LoginAttempts
from fleet.file_limits import (
    DROP_CHANNELS_MAX,
    DROP_CONNECTIONS_PER_ACCOUNT_MAX,
    DROP_IDLE_S,
    DROP_PASSWORD_TRIES_PER_CONNECTION,
    DROP_WINDOW_BYTES,
)
from fleet.ids import DeviceId
from fleet.limits import PASSWORD_CHARS_MAX, PASSWORD_CHECKS_AT_ONCE
from fleet.storage import drop_passwords

log = structlog.get_logger("dropbox")

_NAMES_MAX: Final = 5  # of one connection; each is looked up


class House(Protocol):
    """What all connections share."""

    credentials: Credentials
    attempts: LoginAttempts
    passwords: "PasswordChecks"

    def may_come_in(self, door: "Door") -> str | None:
        """Why not: too_many_connections, stopping."""

    def logged_in(self, door: "Door") -> None: ...

    def gone(self, door: "Door") -> None: ...

    def account(self, device: DeviceId) -> Account: ...


def _refuse(_packet: object) -> bool:
    return False


class PasswordChecks:
    """Some milliseconds and 8 MiB each, so a few at a time, and never on the event loop."""

    def __init__(self) -> None:
        self._nobody = drop_passwords.hashed(drop_passwords.make())
        self._free = asyncio.Semaphore(PASSWORD_CHECKS_AT_ONCE)

    async def matches(self, password: str, hash_: str | None) -> bool:
        """As long without a hash as with one."""
        if len(password) > PASSWORD_CHARS_MAX:
            return False
        async with self._free:
            found = await asyncio.to_thread(drop_passwords.matches, password, hash_ or self._nobody)
        return found and hash_ is not None


class Door(asyncssh.SSHServer):
    """legacy: of the listener with older algorithms."""

    def __init__(self, house: House, *, legacy: bool) -> None:
        self.legacy = legacy
        self.address = ""
        self.visitor: Visitor | None = None
        self.conversations: set[Conversation] = set()
        self._house = house
        self._connection: asyncssh.SSHServerConnection | None = None
        self._credential: Credential | None = None  # of the user name that was said last
        self._admitted: tuple[Credential, tuple[str, str]] | None = None  # and what it has shown
        self._names_said = 0
        self._tries = 0
        self._quiet_since_s = time.monotonic()

    # coming in ----------------------------------------------------------------------------------------------------

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self.address = str(conn.get_extra_info("peername", ("",))[0])
        why_not = self._house.may_come_in(self)
        if why_not is not None:
            conn.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._house.gone(self)
        for conversation in self.conversations:
            conversation.end()
        if self.visitor is not None:
            self.visitor.account.connections -= 1
            self.visitor.left()
        elif exc is not None and self._tries:
            log.info("login_given_up", address=self.address, error=str(exc)[:200])

    async def begin_auth(self, username: str) -> bool:
        """Each time that the client says another name. Raises asyncssh.DisconnectError when it says too many."""
        self._names_said += 1
        if self._names_said > _NAMES_MAX:
            raise asyncssh.DisconnectError(asyncssh.DISC_NO_MORE_AUTH_METHODS_AVAILABLE, "too many names")
        self._credential = await self._house.credentials.of(username)
        if self._credential is not None and self.legacy and not self._credential.legacy:
            log.warning("legacy_refused", device=username, address=self.address)
            self._credential = None
        return True

    def password_auth_supported(self) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        """Whether it is one of this account's; that the client has its private half is asked next."""
        kind, blob, *_ = key.export_public_key("openssh").decode().split()
        line = f"{kind} {blob}"
        credential = self._credential
        if credential is None or credential.device != username or line not in credential.public_keys:
            return False
        spoken = algorithms.LEGACY if self.legacy else algorithms.MODERN
        key.all_sig_algorithms = {
            name.encode() for name in spoken["signature_algs"]
        }  # asyncssh announces them, and takes all
        self._admitted = credential, ("key", line)
        return True

    async def validate_password(self, username: str, password: str) -> bool:
        """Raises asyncssh.DisconnectError when it was tried too often."""
        self._tries += 1
        now_s = time.monotonic()
        if self._tries > DROP_PASSWORD_TRIES_PER_CONNECTION:
            raise asyncssh.DisconnectError(asyncssh.DISC_NO_MORE_AUTH_METHODS_AVAILABLE, "too many wrong passwords")
        if not self._house.attempts.begin(username, self.address, now_s):
            figures.logins.labels("counted_out").inc()
            log.warning("login_counted_out", device=username[:64], address=self.address)
            if self._connection is not None:
                self._connection.send_auth_banner(TOO_MANY_TRIES)
            raise asyncssh.DisconnectError(asyncssh.DISC_NO_MORE_AUTH_METHODS_AVAILABLE, TOO_MANY_TRIES.strip())
        credential = self._credential
        hash_ = credential.password_hash if credential is not None and credential.device == username else None
        if not await self._house.passwords.matches(password, hash_) or credential is None or hash_ is None:
            figures.logins.labels("refused").inc()
            log.warning("login_failed", device=username[:64], address=self.address)
            return False
        self._house.attempts.succeeded(username, self.address)
        self._admitted = credential, ("password", hash_)
        return True

    def auth_completed(self) -> None:
        connection, admitted = self._connection, self._admitted
        if connection is None or admitted is None or admitted[0].device != connection.get_extra_info("username"):
            raise asyncssh.PermissionDenied("nobody has shown anything")
        credential, shown = admitted
        account = self._house.account(credential.device)
        if account.connections >= DROP_CONNECTIONS_PER_ACCOUNT_MAX:
            log.warning("connection_refused", device=credential.device, address=self.address, code="too_many_of_account")
            connection.disconnect(
                asyncssh.DISC_TOO_MANY_CONNECTIONS, "too many connections of this logger: close some first"
            )
            return
        account.connections += 1
        client = str(connection.get_extra_info("client_version", ""))[:80]
        self.visitor = Visitor(account, self.address, client, shown, self.legacy)
        self._house.logged_in(self)

    # being in -----------------------------------------------------------------------------------------------------

    def session_requested(self) -> tuple[asyncssh.SSHServerChannel[bytes], Conversation] | bool:
        if self._connection is None or self.visitor is None or len(self.conversations) >= DROP_CHANNELS_MAX:
            return False
        conversation = Conversation(self._serve, self.conversations.discard)
        self.conversations.add(conversation)
        channel = self._connection.create_server_channel(encoding=None, window=DROP_WINDOW_BYTES)
        channel._process_env_request = _refuse  # type: ignore[assignment, method-assign]  # asyncssh keeps all that is sent
        return channel, conversation

    def still_welcome(self, credential: Credential | None) -> bool:
        """Whether what it logged in with is still good, and so is the door it came by."""
        if self.visitor is None or credential is None:
            return False
        return credential.still_opens(self.visitor.credential) and (credential.legacy or not self.legacy)

    def is_idle(self, now_s: float) -> bool:
        """In, and has nothing open. A conversation ends by itself when it is silent."""
        return not any(each.task for each in self.conversations) and now_s - self._quiet_since_s > DROP_IDLE_S

    def put_out(self, why: str) -> None:
        if self._connection is not None:
            log.info("logger_put_out", device=self.visitor.device if self.visitor else None, address=self.address, code=why)
            self._connection.disconnect(asyncssh.DISC_BY_APPLICATION, why)

    async def _serve(self, conversation: Conversation) -> int:
        visitor = self.visitor
        assert visitor is not None  # noqa: S101 - there is no conversation before
        try:
            if conversation.wish in ("shell", "command"):
                await conversation.say((SHELL if conversation.wish == "shell" else COMMAND).encode(), aside=True)
                visitor.refused(Refused("unsupported"), conversation.wish)
                return 1
            try:
                await visitor.account.prepare()
            except Refused as refused:
                await conversation.say(f"{refused.words}\r\n".encode(), aside=True)
                return 1
            if conversation.wish == "scp":
                return await scp.serve(conversation, visitor)
            return await SftpSession(conversation, visitor).serve()
        finally:
            self.conversations.discard(conversation)
            self._quiet_since_s = time.monotonic()
