"""An order to stop that asyncio.wait_for has lost."""

import asyncio


def end_if_cancelled() -> None:
    """For who waits by aiomqtt or asyncssh, which wait by asyncio.wait_for: as of Python 3.11 it forgets a cancellation that
    comes just when what it waits for is there (bpo-37658), and a task that was told to stop would go on for ever.

    Not for a task with a TaskGroup of its own: one of whose children has failed counts as cancelled from then on (3.11 too).
    Raises asyncio.CancelledError.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
