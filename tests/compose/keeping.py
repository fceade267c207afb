"""Backups of an installation, and what a second one has to agree on with the first."""

import re
from typing import Final

from fleet.receipts import RESTORE_CHAINS
from tests.compose.stack import Stack

# What bringing back leaves exactly as it was; sessions and open commands end with the installation that was lost.
KEPT: Final = (
    "accounts.organisation", "accounts.person", "registry.site", "registry.device", "registry.profile_version",
    "telemetry.sample", "imports.account", "imports.file", "pki.claim", "pki.certificate", "remote.config",
    f"(SELECT * FROM remote.receipt WHERE chain < {RESTORE_CHAINS.start})",  # noqa: S608 - a constant
)  # fmt: skip


def summary(stack: Stack) -> dict[str, str]:
    """Table → number of rows, and a hash of them all, whatever their order."""
    each = " UNION ALL ".join(
        f"SELECT '{table}', count(*) || ' rows ' || coalesce(sum(hashtextextended(kept::text, 0)), 0) FROM {table} kept"  # noqa: S608 - the names above
        for table in KEPT
    )
    return {line[0]: line[1] for line in stack.sql(each)}


def backed_up(stack: Stack) -> str:
    """As deploy/README.md says: a key, a backup sealed for it, and the newest revocation list beside it.

    The archive's name among the stack's backups; the key's is `key`.
    """
    said = stack.compose("run", "--rm", "-T", "--no-deps", "backup", "make-key", "/backups/key")
    recipient = re.search(r"\bage1\w+", said)
    assert recipient is not None, said
    stack.set(SP_BACKUP_RECIPIENT=recipient[0])
    stack.compose("run", "--rm", "-T", "backup")
    stack.compose("cp", "pki:/var/lib/solarperform/pki/trust/devices.crl.pem", str(stack.backups))
    (archive,) = (file.name for file in stack.backups.iterdir() if file.suffix == ".age")
    return archive


def brought_back(stack: Stack, archive: str) -> str:
    """Into an installation that is empty, and sees the other one's backups. What it said."""
    stack.up("postgres")
    options = "--settings /etc/solarperform/keeping.json --key /key --verify --crl /backups/devices.crl.pem"
    return stack.compose("run", "--rm", "-T", "restore", "restore", f"/backups/{archive}", *options.split())
