"""Who takes a message on: a mail server, or a folder on a machine that has none."""

import os
import ssl
from email.message import EmailMessage
from pathlib import Path
from typing import Protocol

import aiosmtplib

from fleet.errors import BadInput, Unavailable
from fleet.limits import MAIL_TIMEOUT_S
from fleet.runtime.secret_file import read_secret
from fleet.settings import NotifierSettings, SmtpSettings
from fleet.storage.mail import address_of

FOLDER_SENDER = "solarperform@localhost"


class Carrier(Protocol):
    sender: str

    async def carry(self, message: EmailMessage) -> None:
        """Returns once somebody else is answerable for it. Raises Unavailable (mail_not_taken) when a later try may work,
        BadInput (mail_refused) when none will."""


class MailServer:
    """SMTP. The server's certificate and name are verified, unless there is no TLS at all."""

    def __init__(self, settings: SmtpSettings, tls: ssl.SSLContext | None = None) -> None:
        """Raises BadInput (bad_recipient) for a sender that is no address, BadInput (bad_secret_file)."""
        address_of(settings.sender)
        _password(settings)
        self.sender = settings.sender
        self._settings = settings
        self._tls = tls or ssl.create_default_context()

    async def carry(self, message: EmailMessage) -> None:
        settings = self._settings
        try:
            async with aiosmtplib.SMTP(
                hostname=settings.host,
                port=settings.port,
                use_tls=settings.security == "tls",
                start_tls=settings.security == "starttls",
                tls_context=None if settings.security == "none" else self._tls,
                username=settings.user,
                password=_password(settings),
                timeout=MAIL_TIMEOUT_S,
            ) as server:
                await server.send_message(message)
        except aiosmtplib.SMTPRecipientsRefused as error:
            refused = error.recipients[0]
            raise _said(refused.code, refused.message) from None
        except aiosmtplib.SMTPDataError as error:
            raise _said(error.code, error.message) from None
        except (aiosmtplib.SMTPException, OSError) as error:  # away, or it does not want us: not this message's fault
            raise Unavailable(
                "mail_not_taken", f"{settings.host}:{settings.port}: {error or type(error).__name__}"
            ) from None


def _password(settings: SmtpSettings) -> str | None:
    """None for a relay that asks nobody who he is, whatever file the settings name. Raises BadInput (bad_secret_file)."""
    if settings.user is None or settings.password_file is None:
        return None
    return read_secret(settings.password_file)


class Folder:
    """One .eml file per message, readable by us alone. The same message twice is the same file."""

    sender = FOLDER_SENDER

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def carry(self, message: EmailMessage) -> None:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._folder.chmod(0o700)
            file = self._folder / f"{message['Message-ID'].strip('<>').partition('@')[0]}.eml"
            _write(file, message.as_bytes())
        except OSError as error:
            raise Unavailable("mail_not_taken", f"{self._folder}: {error.strerror}") from None


def carrier_of(settings: NotifierSettings) -> Carrier:
    return Folder(settings.mail_folder) if settings.smtp is None else MailServer(settings.smtp)


def _said(code: int, answer: str) -> BadInput | Unavailable:
    """A server's answer about one message: 4xx is for later, 5xx for good (RFC 5321, section 4.2.1)."""
    sentence = f"the mail server says {code} {answer}"
    return BadInput("mail_refused", sentence) if code >= 500 else Unavailable("mail_not_taken", sentence)


def _write(file: Path, content: bytes) -> None:
    """Whole or not at all, and on the disk before the row says that it was sent."""
    aside = file.with_suffix(".new")
    aside.unlink(missing_ok=True)
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    aside.replace(file)
