"""Commands as the twins would have left them, for tests of what people see of them."""

import time
from datetime import UTC, datetime
from typing import Any

from fleet.commands import OPEN_STATES
from tests.web_app import ALPHA, ALPHA_METER, Web

_WITHOUT_SENDING = ("queued", "expired", "cancelled")


async def add_command(web: Web, command_id: str, state: str = "queued", **columns: Any) -> None:
    """A line of remote.command, a minute old, whose times fit its state."""
    now = time.time()
    row: dict[str, Any] = {
        "id": command_id, "site_id": ALPHA, "device_id": ALPHA_METER, "number": 1, "name": "blink", "args": {},
        "state": state, "revision": 1, "created_at": now - 60, "created_by": "otto", "expires_at": now + 240, "run_s": 60.0,
        "sent_at": None if state in _WITHOUT_SENDING else now - 59.5,
        "accepted_at": now - 59.2 if state in ("accepted", "succeeded", "failed") else None,
        "ended_at": None if state in OPEN_STATES else now - 58,
    } | columns  # fmt: skip
    for name in ("created_at", "expires_at", "sent_at", "accepted_at", "ended_at"):
        row[name] = None if row[name] is None else datetime.fromtimestamp(row[name], UTC)
    gaps = ", ".join(f"${index}" for index in range(1, len(row) + 1))
    await web.execute(
        f"INSERT INTO remote.command ({', '.join(row)}) VALUES ({gaps})",  # noqa: S608 - names of ours
        *row.values(),
    )


async def add_batch(web: Web, batch_id: str, **columns: Any) -> None:
    row: dict[str, Any] = {
        "id": batch_id, "name": "blink", "args": {}, "selection": {"profiles": ["gateway"]},
        "expires_at": datetime.fromtimestamp(time.time() + 240, UTC), "devices": 1, "skipped": {}, "created_by": "otto",
        "issued_at": datetime.now(UTC),
    } | columns  # fmt: skip
    gaps = ", ".join(f"${index}" for index in range(1, len(row) + 1))
    await web.execute(
        f"INSERT INTO remote.command_batch ({', '.join(row)}) VALUES ({gaps})",  # noqa: S608 - names of ours
        *row.values(),
    )
