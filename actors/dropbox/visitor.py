"""Who has come in: one logger's connection, what it has done so far, and the one line that the log gets of it."""

import time
from dataclasses import dataclass, field
from typing import Any

import structlog

from actors.dropbox.account import Account
from actors.dropbox.refused import Refused
from actors.dropbox.upload import Upload

log = structlog.get_logger("dropbox")

_REFUSALS_LOGGED_MAX = 20  # of one connection; more are counted


@dataclass
class Visitor:
    """address: of the client. credential: what it has shown: ('key', line) or ('password', hash)."""

    account: Account
    address: str
    client: str
    credential: tuple[str, str]
    legacy: bool
    began_s: float = field(default_factory=time.monotonic)
    files: int = 0
    bytes: int = 0
    refusals: dict[str, int] = field(default_factory=dict)

    @property
    def device(self) -> str:
        return self.account.box.device

    def closed(self, upload: Upload, *, way: str) -> None:
        self.files += 1
        self._count(upload)
        parked = {"temporary": True} if upload.name.temporary else {}
        resumed = {"resumed_at": upload.resumed_at} if upload.resumed_at else {}
        self._say("file_received", file=upload.name.stored, bytes=upload.size, way=way, **parked, **resumed)

    def renamed(self, old: str, new: str) -> None:
        self._say("file_renamed", file=new, before=old)

    def cut(self, upload: Upload) -> None:
        self._count(upload)
        self._say("file_cut", file=upload.name.stored, bytes=upload.size)

    def refused(self, refused: Refused, what: str, file: str = "") -> bool:
        """Whether it is worth telling. file: as we understood its name; empty where we did not."""
        self.refusals[refused.code] = self.refusals.get(refused.code, 0) + 1
        if sum(self.refusals.values()) > _REFUSALS_LOGGED_MAX or refused.code == "no_such_file":
            return False
        self._say("request_refused", code=refused.code, what=what, file=file)
        return True

    @property
    def drops_words(self) -> bool:
        """OpenSSH's sftp shows a status by its number; what comes aside it shows as it is."""
        return "OpenSSH" in self.client

    def left(self) -> None:
        self._say(
            "logger_left",
            client=self.client,
            by=self.credential[0],
            legacy=self.legacy,
            files=self.files,
            bytes=self.bytes,
            refusals=self.refusals,
            seconds=round(time.monotonic() - self.began_s, 1),
        )

    def _count(self, upload: Upload) -> None:
        self.bytes += upload.received

    def _say(self, event: str, **more: Any) -> None:
        log.info(event, device=self.device, address=self.address, **more)
