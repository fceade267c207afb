"""One installation on this machine: where things lie, what runs, and how one more of our rooms is started."""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from actors.local.configuration import Options, ray_environment
from actors.local.layout import Layout
from actors.local.process import ChildProcess, Supervisor, run_tool
from actors.local.progress import Progress
from fleet import settings


class Machine:
    def __init__(self, options: Options, layout: Layout, progress: Progress) -> None:
        self.options = options
        self.layout = layout
        self.progress = progress
        self.supervisor = Supervisor(layout.record, progress.line)
        self._env = {**os.environ, **ray_environment(layout), "PYTHONUNBUFFERED": "1"}

    async def tool(self, name: str, module: str, arguments: Sequence[str | Path]) -> None:
        """Runs `python -m module` to its end. Raises Unavailable (tool_failed)."""
        command = [sys.executable, "-m", module, *arguments]
        await run_tool(name, command, log_file=self.layout.log(name), env=self._env)

    async def room(
        self,
        name: str,
        module: str,
        told: msgspec.Struct,
        *,
        words: Sequence[str] = (),
        ready_file: Path | None = None,
        probe: Callable[[], bool] | None = None,
        deadline_s: float = 60.0,
        stop_deadline_s: float = 15.0,
    ) -> None:
        """`python -m module [words] --settings settings/<name>.json`, which holds `told`. Returns when it is ready.

        Raises Unavailable (child_failed).
        """
        file = self.layout.settings / f"{name}.json"
        settings.save(file, told)
        await self.program(
            name,
            [module, *words, "--settings", file],
            ready_file=ready_file,
            probe=probe,
            deadline_s=deadline_s,
            stop_deadline_s=stop_deadline_s,
        )

    async def program(
        self,
        name: str,
        arguments: Sequence[str | Path],
        *,
        ready_file: Path | None = None,
        probe: Callable[[], bool] | None = None,
        deadline_s: float = 60.0,
        stop_deadline_s: float = 15.0,
    ) -> None:
        """`python -m arguments`, started, awaited and watched. Raises Unavailable (child_failed)."""
        child = ChildProcess(
            name,
            [sys.executable, "-m", *arguments],
            log_file=self.layout.log(name),
            env=self._env,
            ready_file=ready_file,
            probe=probe,
            stop_deadline_s=stop_deadline_s,
        )
        await self.supervisor.start(child, deadline_s)
