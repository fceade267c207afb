"""--smtp-…: the mail server that `up` is told to use."""

import argparse
from pathlib import Path
from typing import Final, Literal

from actors.local.ports import LOOPBACK
from actors.local.texts import text
from fleet.errors import BadInput
from fleet.settings import SmtpSettings
from fleet.storage.mail import address_of

Security = Literal["tls", "starttls", "none"]
_PORTS: Final[dict[Security, int]] = {"tls": 465, "starttls": 587, "none": 25}
_OWN: Final = (LOOPBACK, "localhost", "::1")


def add_to(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--smtp-host", metavar="HOST", help="mail server; without one, e-mail is written to a folder")
    parser.add_argument("--smtp-security", choices=tuple(_PORTS), help="default: starttls")
    parser.add_argument(
        "--smtp-port", type=int, metavar="PORT", help="default: 587 with starttls, 465 with tls, 25 with none"
    )
    parser.add_argument("--smtp-sender", metavar="ADDRESS", help="whom e-mail comes from")
    parser.add_argument("--smtp-user", metavar="NAME")
    parser.add_argument("--smtp-password-file", type=Path, metavar="FILE")


def settings_of(chosen: argparse.Namespace) -> SmtpSettings | None:
    """Raises BadInput (bad_smtp) that names the option."""
    if chosen.smtp_host is None:
        for name in ("security", "port", "sender", "user", "password_file"):
            if getattr(chosen, f"smtp_{name}") is not None:
                raise _bad(f"--smtp-{name.replace('_', '-')}", text("smtp_needs_host"))
        return None
    security: Security = chosen.smtp_security or "starttls"
    if security == "none" and chosen.smtp_host not in _OWN:
        raise _bad("--smtp-security", text("smtp_not_private"))
    if chosen.smtp_password_file is not None and chosen.smtp_user is None:
        raise _bad("--smtp-password-file", text("smtp_password_alone"))
    port = _PORTS[security] if chosen.smtp_port is None else chosen.smtp_port
    if not 1 <= port <= 65_535:
        raise BadInput("bad_port", text("bad_port", option="--smtp-port"))
    sender, password_file = _sender(chosen.smtp_sender), _readable(chosen.smtp_password_file)
    return SmtpSettings(chosen.smtp_host, port, sender, security, chosen.smtp_user, password_file)


def _sender(given: str | None) -> str:
    if given is None:
        raise _bad("--smtp-sender", text("smtp_needs"))
    try:
        return address_of(given).addr_spec
    except BadInput as error:
        raise _bad("--smtp-sender", error.detail) from None


def _readable(file: Path | None) -> Path | None:
    if file is None:
        return None
    try:
        file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise _bad("--smtp-password-file", str(error)) from None
    return file.absolute()


def _bad(option: str, why: str) -> BadInput:
    return BadInput("bad_smtp", text("bad_smtp", option=option, why=why))
