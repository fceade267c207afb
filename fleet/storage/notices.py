"""Names of the notices (LISTEN/NOTIFY) by which the processes wake each other.

A notice is a hint: it may get lost while a connection is down, so whoever listens also looks by itself every POLL_S seconds.
"""

from collections.abc import Sequence

from fleet.storage.database import Connection

CLAIM = "sp_claim"  # payload: id of a claim that was made, tried, used or cancelled
REVOCATION = "sp_revocation"  # payload: id of a revocation that was requested or got a step further
CRL = "sp_crl"  # payload: number of a revocation list that was signed
MAIL = "sp_mail"  # no payload: an e-mail was laid down
FILE = "sp_file"  # payload: id of a file that came, is to be read again, or has got further
DROP = "sp_drop"  # payload: id of a logger in whose box a file became whole
ORDER = "sp_order"  # payload: id of a device whose configuration or commands have got further
ROLLOUT = "sp_rollout"  # payload: id of a rollout that has got further
POLL_S = 5.0


async def notify(connection: Connection, channel: str, payload: str) -> None:
    """Outside of a transaction where that is possible: PostgreSQL lets transactions with notices commit one by one only."""
    await connection.execute("SELECT pg_notify($1, $2)", channel, payload)


async def notify_all(connection: Connection, channel: str, payloads: Sequence[str]) -> None:
    await connection.execute("SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS payload", channel, payloads)
