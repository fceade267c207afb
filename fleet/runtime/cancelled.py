"""An order to stop that something has swallowed."""

import asyncio


def end_if_cancelled() -> None:
    """For who waits by aiomqtt or asyncssh, which wait by asyncio.wait_for: as of Python 3.11 it forgets a cancellation that
    comes just when what it waits for is there (bpo-37658), and a task that was told to stop would go on for ever. Also for a
    loop that tries again what fails: asyncio.gather does the same when one of its parts fails just then, and the error of a
    clean-up takes the order's place, as that of a transaction or a pool whose connection is lost meanwhile.

    Not for a task with a TaskGroup of its own: one of whose children has failed counts as cancelled from then on (3.11 too).
    Raises asyncio.CancelledError.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
