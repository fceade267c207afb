"""How each process begins and ends: what is in the way is one line with its code, never a traceback of what an operator
could mend; while it waits it can be stopped; and while it works its ready file says so.
"""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import structlog

from fleet.errors import FleetError
from fleet.runtime.folders import fault_of

FAILED: Final = 1
_INTERRUPTED: Final = 130
_FRESHEN_S: Final = 5.0  # far below what actors.health takes for a process that hangs


def run_to_end(name: str, work: Callable[[], object]) -> int:
    """The exit code. Logs `<name>_stopped` with code and error when it is not 0."""
    log = structlog.get_logger(name)
    try:
        work()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BaseException as error:  # the end of the process: a mistake of ours is logged with all there is to know
        told = _told(error)
        if told is None:
            log.exception(f"{name}_stopped", code="unexpected", error=repr(error))
        else:
            log.error(f"{name}_stopped", code=told.code, error=told.detail)
        return FAILED
    return 0


async def unless_stopped(work: Coroutine[Any, Any, object]) -> bool:
    """Whether it came to its end before SIGTERM or SIGINT did. Whoever goes on sets handlers of their own."""
    working = asyncio.ensure_future(work)
    told = False

    def stop() -> None:
        nonlocal told
        told = True  # also when the work is done, and only we have not heard of it yet
        working.cancel()

    for sign in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sign, stop)
    await asyncio.wait((working,))
    if working.cancelled():
        return False
    working.result()
    return not told


async def keep_fresh(ready_file: Path) -> None:
    """Touches it, from when it is there, for as long as the loop turns: see actors.health. Until cancelled."""
    while True:
        with suppress(OSError):
            os.utime(ready_file)
        await asyncio.sleep(_FRESHEN_S)


def _told(error: BaseException) -> FleetError | None:
    """What an operator could mend; of a group of tasks that ended together, the first."""
    if isinstance(error, BaseExceptionGroup):
        return next((told for each in error.exceptions if (told := _told(each)) is not None), None)
    if isinstance(error, FleetError):
        return error
    return fault_of(error) if isinstance(error, OSError) and error.filename is not None else None
