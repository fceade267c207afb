"""How each process ends: what was in the way is one line with its code, never a traceback of what an operator could mend."""

from collections.abc import Callable

import structlog

from fleet.errors import FleetError
from fleet.folders import fault_of

FAILED = 1
_INTERRUPTED = 130


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


def _told(error: BaseException) -> FleetError | None:
    """What an operator could mend; of a group of tasks that ended together, the first."""
    if isinstance(error, BaseExceptionGroup):
        return next((told for each in error.exceptions if (told := _told(each)) is not None), None)
    if isinstance(error, FleetError):
        return error
    return fault_of(error) if isinstance(error, OSError) and error.filename is not None else None
