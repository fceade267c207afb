"""What the handlers work with: made once by web.__main__ (or a test), handed to create_app."""

import asyncio
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from fleet.attempts import LoginAttempts
from fleet.file_limits import PREVIEWS_PER_MIN, PULL_ASKED_PER_MIN
from fleet.limits import (
    LOGIN_FAILURES_PER_ACCOUNT,
    LOGIN_FAILURES_PER_ADDRESS,
    LOGIN_FAILURES_PER_PAIR,
    SSE_HEARTBEAT_S,
    SSE_RECHECK_S,
)
from fleet.settings import WebSettings
from fleet.storage.database import Pool
from web.attempts import RequestRate, UploadRate
from web.fresh_codes import FreshCodes
from web.live import LiveFeed
from web.metrics import Metrics
from web.news import News
from web.operations import Operations
from web.passwords import Passwords
from web.ports import Follower
from web.press import Press
from web.previews import Previews
from web.tokens import Tokens
from web.twins_door import TwinsDoor

log = structlog.get_logger("web.services")


@dataclass(slots=True)
class Services:
    """closing: set when the server is told to stop, so that endless streams end by themselves.

    tracing: where a few requests are followed; None: nowhere.
    streams: open event streams per person. waits: asks per person that wait for news of a command.
    reached: other servers that people point us to. looked_into: files whose formats they describe.
    codes: enrolment codes of the last minutes. press: makes PDFs. previews: read the beginnings of files.
    background: work that goes on after its request.
    heartbeat_s, recheck_s: how often an idle stream shows that it lives, and whether its viewer still may see it.
    """

    settings: WebSettings
    pool: Pool
    tokens: Tokens
    door: TwinsDoor
    live: LiveFeed
    tracing: Follower | None = None
    metrics: Metrics = field(default_factory=Metrics)
    passwords: Passwords = field(default_factory=Passwords)
    attempts: LoginAttempts = field(
        default_factory=lambda: LoginAttempts(
            LOGIN_FAILURES_PER_PAIR, LOGIN_FAILURES_PER_ACCOUNT, LOGIN_FAILURES_PER_ADDRESS
        )
    )
    rate: RequestRate = field(default_factory=RequestRate)
    reached: RequestRate = field(default_factory=lambda: RequestRate(PULL_ASKED_PER_MIN))
    looked_into: RequestRate = field(default_factory=lambda: RequestRate(PREVIEWS_PER_MIN))
    uploads: UploadRate = field(default_factory=UploadRate)
    streams: Counter[str] = field(default_factory=Counter)
    waits: Counter[str] = field(default_factory=Counter)
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    heartbeat_s: float = SSE_HEARTBEAT_S
    recheck_s: float = SSE_RECHECK_S
    codes: FreshCodes = field(default_factory=FreshCodes)
    press: Press = field(default_factory=Press)
    previews: Previews = field(default_factory=Previews)
    background: set[asyncio.Task[None]] = field(default_factory=set)
    news: News = field(init=False)
    operations: Operations = field(init=False)

    def __post_init__(self) -> None:
        self.news = News(self.settings.database)
        self.operations = Operations(self.pool)
        self.metrics.registry.register(self.operations)

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Work that nobody waits for: what it raises is logged. Ended with the server."""
        task = asyncio.create_task(work)
        self.background.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self.background.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("background_work_failed", exc_info=error)

    @property
    def demo_logins(self) -> Path | None:
        """Where the demonstration has written its logins; None: this is none, or not yet."""
        file = self.settings.demo_logins_file
        return file if file is not None and file.exists() else None

    @property
    def secure_cookies(self) -> bool:
        return self.settings.public_url.startswith("https://")
