"""Real agent processes for tests, each with a state folder, without the server's packages (tests.agent_alone)."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import psutil
from cryptography import x509

from edge.agent.home import Home
from edge.agent.trust import fingerprint
from fleet.claim_code import ClaimCode
from tests.authority import Authority

STEPS = ("trust.pem", "intent.json", "key.pem", "request.pem", "chain.pem", "connection.json")
_DEADLINE_S = 90.0


class AgentProcess:
    """start() and kill() for faults; `log` is what it said on standard error."""

    def __init__(self, folder: Path, language: str = "en", **environment: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.state = folder / "state"
        self.home = Home(self.state)
        self.log_file = folder / "agent.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._environment = {**os.environ, "LANG": f"{language}_FR.UTF-8", "LC_ALL": f"{language}_FR.UTF-8"} | environment

    def call(self, command: str, *arguments: str, deadline_s: float = _DEADLINE_S) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            self._command(command, *arguments),
            capture_output=True,
            text=True,
            check=False,
            env=self._environment,
            timeout=deadline_s,
        )

    def start(self, command: str, *arguments: str, **environment: str) -> None:
        env = self._environment | environment
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                self._command(command, *arguments), env=env, stderr=log, stdout=log, start_new_session=True
            )

    async def killed_after(self, file: Path, command: str, *arguments: str) -> None:
        """Started, and killed right where it has written that file."""
        self.start(command, *arguments, AGENT_HALTS_AFTER=str(file))
        assert self.process is not None
        seen = psutil.Process(self.process.pid)
        await self.until(lambda: not self.running or seen.status() == psutil.STATUS_STOPPED, f"it writes {file.name}")
        assert self.running, self.log[-3000:]
        self.kill()

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def log(self) -> str:
        return self.log_file.read_text() if self.log_file.exists() else ""

    def events(self, name: str) -> list[dict[str, object]]:
        """Log lines of that event."""
        lines = [line for line in self.log.splitlines() if line.startswith("{") and line.endswith("}")]
        return [entry for line in lines if (entry := msgspec.json.decode(line))["event"] == name]

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(timeout=60)

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)

    async def until(self, condition: Callable[[], object], what: str, deadline_s: float = _DEADLINE_S) -> None:
        end = time.monotonic() + deadline_s
        while not condition():
            assert time.monotonic() < end, f"{what}: {self.log[-3000:]}"
            await asyncio.sleep(0.02)

    def kill_when(self, condition: Callable[[], bool]) -> bool:
        """As soon as it holds. Whether the process was still at work then."""
        assert self.process is not None
        end = time.monotonic() + _DEADLINE_S
        while not condition() and self.process.poll() is None:
            assert time.monotonic() < end, self.log[-3000:]
        alive = self.process.poll() is None
        self.kill()
        return alive

    def _command(self, command: str, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "tests.agent_alone", command, *arguments, "--state", str(self.state)]


def link(authority: Authority, code: ClaimCode) -> str:
    """What the QR code says."""
    return f"{authority.url}/#{code.typed}.{anchor_fingerprint(authority)}"


def anchor_fingerprint(authority: Authority) -> str:
    return fingerprint(x509.load_pem_x509_certificate(authority.trust.read_bytes()))
