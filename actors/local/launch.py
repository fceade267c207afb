"""demo and up: start, greet, watch, and stop, whatever happens in between."""

import asyncio
import signal
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import asyncpg

from actors.local.configuration import Options
from actors.local.demo import Login
from actors.local.disk import disk_full
from actors.local.layout import Layout
from actors.local.process import adopt_orphans, end_descendants
from actors.local.progress import Progress
from actors.local.system import Ready, System
from actors.local.texts import text
from fleet.errors import FleetError, Unavailable

STOPPED_BY_HAND = 130
T = TypeVar("T")


def run(options: Options) -> int:
    """Raises FleetError with what is in the way; by then nothing of ours runs any more."""
    adopt_orphans()
    layout = Layout(options.folder)
    layout.make()
    with layout.locked():
        try:
            return asyncio.run(_serve(System(options, layout, Progress())))
        finally:
            end_descendants()


async def _serve(system: System) -> int:
    """Until a signal comes, or until something cannot be kept running."""
    stop = asyncio.Event()
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(sign, stop.set)
    stopping = asyncio.create_task(stop.wait())
    started_at = time.monotonic()
    try:
        ready = await _unless(stopping, system.start())
        if ready is None:
            return STOPPED_BY_HAND
        system.progress.line(greeting(system, ready, time.monotonic() - started_at))
        await _unless(stopping, system.supervisor.watch())
        return 0
    except BaseExceptionGroup as group:
        raise _first(group, system.layout) from None
    finally:
        stopping.cancel()
        begun = system.supervisor.holds_any
        if begun:
            system.progress.line(text("stopping"))
        await system.stop()
        if begun:
            system.progress.line(text("stopped", folder=system.layout.folder))


async def _unless(stopping: "asyncio.Task[Any]", work: Coroutine[Any, Any, T]) -> T | None:
    """The work's result; None when it was stopped half way."""
    task = asyncio.create_task(work)
    await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        return task.result()
    task.cancel()
    await asyncio.wait({task})
    return None


def _first(error: BaseException, layout: Layout) -> BaseException:
    """The one cause among several tasks' errors that explains itself."""
    if isinstance(error, BaseExceptionGroup):
        causes = [_first(each, layout) for each in error.exceptions]
        return next((cause for cause in causes if isinstance(cause, FleetError)), causes[0])
    if isinstance(error, asyncpg.DiskFullError):
        return Unavailable("disk_full", disk_full(layout.folder))
    return error


def greeting(system: System, ready: Ready, seconds: float) -> str:
    """What to open, and who may sign in."""
    values = {
        "portal": ready.url,
        "api_docs": f"{ready.url}/api/docs",
        "mqtt": f"{ready.mqtt['host']}:{ready.mqtt['port']}",
        "est": ready.est["url"],
        "sftp": f"{ready.sftp['host']}:{ready.sftp['port']}",
        "mail": _mail(system),
        "data_folder": str(system.layout.folder),
    }
    width = max(len(text(key)) for key in values)
    lines = [
        "",
        text("ready_in", seconds=seconds),
        "",
        *(f"  {text(key):{width}}  {value}" for key, value in values.items()),
    ]
    if ready.logins is not None:
        lines += ["", f"  {text('logins')}"]
        lines += [f"    {role:15} {login.email:32} {login.password}" for role, login in ready.logins.items()]
        lines += ["", *(f"  {line}" for line in _onboarding(ready.logins["installer"], ready.est, system.layout.agent))]
        lines += ["", *(f"  {line}" for line in _putting(ready.sftp))]
    link = system.setup_link()
    if link is not None:
        lines += ["", f"  {text('set_up_link')}", f"    {link}"]
    return "\n".join([*lines, "", f"  {text('stop_hint')}", ""])


def _mail(system: System) -> str:
    smtp = system.options.smtp
    if smtp is None:
        return text("mail_folder", folder=system.layout.mail)
    return text("mail_server", host=smtp.host, port=smtp.port)


def _onboarding(installer: Login, est: dict[str, str], state: Path) -> list[str]:
    """How to play a device; CODE is what the page shows."""
    agent = _short(Path(sys.executable).with_name("solarperform-agent"))
    commands = (
        f"{agent} enrol --state {_short(state)} --server {est['url']} --ca {_short(Path(est['ca']))} --claim CODE",
        f"{agent} run --state {_short(state)} --simulate",
    )
    return [text("onboarding_try", email=installer.email), *(f"  {command}" for command in commands)]


def _putting(sftp: dict[str, str | int]) -> list[str]:
    """How to play a data logger."""
    return [text("sftp_try", password=sftp["password"]), f"  sftp -P {sftp['port']} {sftp['user']}@{sftp['host']}"]


def _short(path: Path) -> Path:
    """As it is typed from here."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
