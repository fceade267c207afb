"""A mail server for tests: takes messages, or says what it is told to say, and lets the test hold an answer back."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP

from actors.local.ports import LOOPBACK

_SAYS = {"EHLO": "250-test\r\n250 8BITMIME", "HELO": "250 test", "MAIL": "250 ok", "RCPT": "250 ok", "RSET": "250 ok"}


@dataclass
class MailHouse:
    """answers: command → what to say instead, such as {"RCPT": "550 unknown"}; "." is the message's own.
    answering: cleared, the last word about a message is held back, although the message has been taken.
    """

    port: int = 0
    answers: dict[str, str] = field(default_factory=dict)
    messages: list[EmailMessage] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    taken: asyncio.Event = field(default_factory=asyncio.Event)
    answering: asyncio.Event = field(default_factory=asyncio.Event)
    starttls: ssl.SSLContext | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 test ESMTP\r\n")
        try:
            while line := (await reader.readline()).decode().strip():
                command = line[:4].upper()
                if command == "QUIT":
                    writer.write(b"221 bye\r\n")
                    break
                writer.write(f"{await self._answer(command, line, reader, writer)}\r\n".encode())
                if command == "STAR" and self.starttls is not None:
                    await writer.drain()
                    await writer.start_tls(self.starttls)
        except (ConnectionError, ssl.SSLError):
            pass  # the other side was killed, or does not trust us
        finally:
            writer.close()

    async def _answer(self, command: str, line: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
        if command in self.answers:
            return self.answers[command]
        if command == "RCPT":
            self.recipients.append(line.partition("<")[2].partition(">")[0])
        if command == "EHLO" and self.starttls is not None:
            return "250-test\r\n250-STARTTLS\r\n250 8BITMIME"
        if command == "STAR":
            return "220 go ahead" if self.starttls is not None else "502 no"
        if command == "DATA":
            writer.write(b"354 go on\r\n")
            content = await reader.readuntil(b"\r\n.\r\n")
            if "." in self.answers:
                return self.answers["."]
            self.messages.append(message_from_bytes(content[:-3].replace(b"\r\n..", b"\r\n."), policy=SMTP))  # type: ignore[arg-type]
            self.taken.set()
            await self.answering.wait()
            return "250 queued"
        return _SAYS.get(command, "502 unknown")


@asynccontextmanager
async def mail_server(tls: ssl.SSLContext | None = None, starttls: ssl.SSLContext | None = None) -> AsyncIterator[MailHouse]:
    house = MailHouse(starttls=starttls)
    house.answering.set()
    server = await asyncio.start_server(house.serve, LOOPBACK, 0, ssl=tls)
    house.port = server.sockets[0].getsockname()[1]
    try:
        yield house
    finally:
        server.close()
