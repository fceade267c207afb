"""From a row to a MIME message: the same bytes each time it is tried, so that a repetition is known as one."""

from datetime import UTC
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Final

from fleet.storage.mail import Mail, address_of, check_subject

PLATFORM: Final = "SolarPerform"


def letter(mail: Mail, sender: str) -> EmailMessage:
    """Plain text in UTF-8. Raises BadInput (bad_recipient, bad_subject) for what could become another header."""
    from_address, to_address = address_of(sender), address_of(mail.recipient)
    check_subject(mail.subject)
    message = EmailMessage(policy=SMTP)
    message["From"] = Address(PLATFORM, addr_spec=from_address.addr_spec)
    message["To"] = to_address
    message["Subject"] = mail.subject
    message["Date"] = format_datetime(mail.created_at.astimezone(UTC))
    message["Message-ID"] = message_id(mail, from_address.domain)
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's holiday notice answers it
    message.set_content(mail.body, charset="utf-8")
    return message


def message_id(mail: Mail, domain: str) -> str:
    """Of the row, not of the try. The time keeps a new database's numbers apart from those of an earlier one."""
    return f"<{mail.id}.{round(mail.created_at.timestamp() * 1_000_000)}@{domain}>"
