"""What is wrong with revocation, in the database while it lasts."""

import time
from typing import Final

import structlog

from fleet.storage import revocations
from fleet.storage.database import Connection

log = structlog.get_logger("guard")

CODES: Final = (
    "crl_not_proven",  # the broker does not show that it goes by the newest list
    "crl_corrupt",  # the newest list in the database cannot be put before it
    "crl_expiring",
    "crl_expired",  # the broker lets no device in
    "broker_open",  # it lets revoked devices in
    "broker_away",
    "authority_away",  # nobody signs
)
_REPEAT_S: Final = 60.0  # how often one that lasts is written again


class Alarms:
    def __init__(self) -> None:
        self._standing: dict[str, tuple[str, float]] | None = None  # code → detail, when it was written

    async def settle(self, connection: Connection, wrong: dict[str, str]) -> None:
        """code → detail of everything that is wrong now; the others end."""
        if self._standing is None:  # the guard before us may have left some
            self._standing = {row.code: ("", 0.0) for row in await revocations.alarms(connection) if row.code in CODES}
        for code in [code for code in self._standing if code not in wrong]:
            await revocations.clear_alarm(connection, code)
            del self._standing[code]
            log.info("alarm_cleared", code=code)
        for code, detail in wrong.items():
            said, at = self._standing.get(code, (None, 0.0))
            if said == detail and time.monotonic() - at < _REPEAT_S:
                continue
            await revocations.raise_alarm(connection, code, detail)
            self._standing[code] = detail, time.monotonic()
            if said is None:
                log.error("alarm_raised", code=code, detail=detail)
