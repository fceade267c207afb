"""What a shard counts: shown in the back office and on /metrics."""

from collections import Counter


class Counters:
    """Since the shard's start; only ever growing."""

    def __init__(self) -> None:
        self.messages = 0
        self.samples = 0
        self.duplicates = 0
        self.throttled = 0
        self.batches = 0
        self.commit_failures = 0
        self.commit_s = 0.0
        self.acked_messages = 0
        self.platform_acks = 0
        self.dead_letters: Counter[str] = Counter()
        self.failed_rounds: Counter[str] = Counter()

    def refused(self, code: str) -> None:
        self.dead_letters[code] += 1
