"""Devices for the browser tests: the real agent, in processes of its own, with a simulated device behind it."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Agent:
    """One machine on a site. folder: its disk; settings: its agent.toml."""

    folder: Path
    settings: str
    process: "subprocess.Popen[bytes] | None" = None

    def enrol(self, server: str, code: str, ca: str) -> "subprocess.CompletedProcess[str]":
        command = self._command("enrol", "--server", server, "--claim", code, "--ca", ca)
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    def start(self) -> None:
        self.folder.mkdir(exist_ok=True)
        (self.folder / "agent.toml").write_text(self.settings)
        with (self.folder / "agent.log").open("ab") as log:
            self.process = subprocess.Popen(self._command("run"), stdout=log, stderr=log)

    def log(self) -> str:
        return (self.folder / "agent.log").read_text()

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(timeout=30)
            self.process = None

    def _command(self, name: str, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "edge.agent", name, "--state", str(self.folder), *arguments]
