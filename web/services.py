"""What the handlers work with: made once by web.__main__ (or a test), handed to create_app."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from fleet.limits import SSE_HEARTBEAT_S, SSE_RECHECK_S
from fleet.settings import WebSettings
from fleet.storage.database import Pool
from web.attempts import LoginAttempts, RequestRate
from web.live import LiveFeed
from web.metrics import Metrics
from web.passwords import Passwords
from web.tokens import Tokens
from web.twins_door import TwinsDoor


@dataclass(slots=True)
class Services:
    """closing: set when the server is told to stop, so that endless streams end by themselves.

    streams: open event streams per person.
    heartbeat_s, recheck_s: how often an idle stream shows that it lives, and whether its viewer still may see it.
    """

    settings: WebSettings
    pool: Pool
    tokens: Tokens
    door: TwinsDoor
    live: LiveFeed
    metrics: Metrics = field(default_factory=Metrics)
    passwords: Passwords = field(default_factory=Passwords)
    attempts: LoginAttempts = field(default_factory=LoginAttempts)
    rate: RequestRate = field(default_factory=RequestRate)
    streams: Counter[str] = field(default_factory=Counter)
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    heartbeat_s: float = SSE_HEARTBEAT_S
    recheck_s: float = SSE_RECHECK_S

    @property
    def secure_cookies(self) -> bool:
        return self.settings.public_url.startswith("https://")
