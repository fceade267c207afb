"""Makes PDFs with typst: in threads, few at a time, from data that stays data."""

import asyncio
from functools import cache
from importlib import resources
from pathlib import Path

import msgspec
import structlog
import typst

from fleet.errors import Unavailable
from fleet.limits import REPORT_PAGES_AT_ONCE, REPORT_TIMEOUT_S

log = structlog.get_logger("web.press")


class Press:
    def __init__(self) -> None:
        self._free = asyncio.Semaphore(REPORT_PAGES_AT_ONCE)

    async def print(self, template: str, data: object) -> bytes:
        """The template of web/print, with `data` as JSON in sys.inputs.data. Raises Unavailable (report_slow).

        A thread cannot be ended: one that takes too long keeps its place until it is done.
        """
        await self._free.acquire()
        work = asyncio.get_running_loop().run_in_executor(None, _compile, template, msgspec.json.encode(data).decode())
        work.add_done_callback(lambda _: self._free.release())
        try:
            async with asyncio.timeout(REPORT_TIMEOUT_S):
                return await asyncio.shield(work)
        except TimeoutError:
            log.warning("report_slow", template=template)
            raise Unavailable("report_slow", "the document could not be made in time; try again") from None


def _compile(template: str, data: str) -> bytes:
    """Fonts: those inside typst only, so that a document looks the same on every machine. Root: the templates alone."""
    document = typst.compile(
        _folder() / template, root=_folder(), ignore_system_fonts=True, format="pdf", sys_inputs={"data": data}
    )
    if not isinstance(document, bytes):
        raise TypeError("typst made several documents of one")
    return document


@cache
def _folder() -> Path:
    return Path(str(resources.files("web").joinpath("print")))
