"""One file at a time, from 'received' to its end: read, stored, judged. Two lanes let small files pass a large one."""

import asyncio
from pathlib import Path

import msgspec
import structlog

from actors.importer import spool as spools
from actors.importer.originals import Originals
from actors.importer.reader import Reader
from actors.importer.reading import ReadingJob
from actors.importer.spool import Spool, Summary
from actors.importer.storing import Storing
from actors.importer.taking import Taking
from fleet.codecs.files.reading import Context, refusal
from fleet.errors import BadInput, NotFound, StaleOwner, Unavailable
from fleet.file_limits import READER_ATTEMPTS_MAX
from fleet.serials import NOBODYS
from fleet.storage import company_formats, definitions, imports, notices
from fleet.storage.database import AWAY, Pool
from fleet.storage.imports import Job

log = structlog.get_logger("importer")


class Lane:
    def __init__(self, pool: Pool, originals: Originals, taking: Taking, storing: Storing, spool_folder: Path) -> None:
        self._pool = pool
        self._originals = originals
        self._taking = taking
        self._storing = storing
        self._folder = spool_folder
        self._reader = Reader()

    async def work(self, job: Job) -> None:
        """Whatever state the file is in, to an end. Raises AWAY errors, OSError, Unavailable, StaleOwner: again later.

        Anything else is the file's own doing, whatever it may be: it must not keep the others from their turn for ever.
        """
        try:
            await self._work(job)
        except (*AWAY, OSError, Unavailable, StaleOwner):
            raise
        except Exception as error:  # see above; logged and counted
            log.exception("file_failed", file=job.id, state=job.state)
            await self._count_failure(job, Unavailable("file_failed", repr(error)))
            await self._give_up(job)

    async def _work(self, job: Job) -> None:
        if job.state == "undoing":
            await self._undo(job)
        elif job.state == "storing" and (self._folder / f"{job.number}.summary").exists():
            await self._store(job)
        else:
            await self._begin(job)

    async def close(self) -> None:
        await self._reader.stop()

    async def _begin(self, job: Job) -> None:
        async with self._pool.acquire() as connection:
            if job.stored_with is None and await imports.imported_twin(connection, job) is not None:
                await imports.finish(connection, job.number, "same")
                await notices.notify(connection, notices.FILE, job.id)
                return
            await imports.begin_reading(connection, job.number)
            await notices.notify(connection, notices.FILE, job.id)
        try:
            summary = await self._read(job)
        except Unavailable as error:
            if error.code == "reader_failed":  # the machine's fault, not the file's
                raise
            await self._count_failure(job, error)
            await self._end(job, "quarantined", Summary(problem=refusal("reader_died", 0)))
            return
        if summary.problem is not None:
            await self._end(job, "quarantined", summary)
            return
        await self._make_way(job, summary)
        async with self._pool.acquire() as connection, connection.transaction():
            await imports.was_read(
                connection,
                job.number,
                format_id=summary.format_id,
                blocks=summary.blocks,
                rows=summary.rows,
                late=summary.late,
                lines_refused=summary.lines_refused,
                first_at=summary.first_at,
                last_at=summary.last_at,
                refusals=summary.refusals,
            )
            again = await definitions.keep_definitions(connection, job, summary.definitions) if summary.definitions else []
            await imports.receive_again(connection, again)
        await self._store(msgspec.structs.replace(job, state="storing", blocks_done=0))

    async def _count_failure(self, job: Job, error: Unavailable) -> None:
        """Raises it, unless that was the last try: a file that ends whoever works at it is not tried for ever."""
        async with self._pool.acquire() as connection:
            attempts = await imports.count_loss(connection, job.number)
        log.warning("file_not_done", file=job.id, code=error.code, attempt=attempts)
        if attempts < READER_ATTEMPTS_MAX:
            raise error

    async def _read(self, job: Job) -> Summary:
        async with self._pool.acquire() as connection:
            context = Context(
                name=job.name,
                timezone=job.timezone,
                received_at=job.received_at,
                settings=job.settings,
                definitions=await definitions.definitions(connection, job.site, job.device),
            )
            company = await company_formats.readable(connection, job.site)
        serial = job.settings.serial or job.device or NOBODYS
        original = self._originals.path(job.sha256)
        if not original.exists() and not await self._taking.upload(job):
            return Summary(problem=refusal("original_gone", 0))

        async def progress(bytes_read: int, rows_read: int) -> None:
            async with self._pool.acquire() as connection:
                await imports.note_progress(connection, job.number, bytes_read, rows_read)
                await notices.notify(connection, notices.FILE, job.id)

        reading = ReadingJob(job.number, original, self._folder, context, serial, company, job.logger_serial)
        await self._reader.read(reading, progress)
        return Spool(self._folder, job.number).summary

    async def _make_way(self, job: Job, summary: Summary) -> None:
        """Rows that an earlier reading stored in another way are taken back: a zone was wrong, a column meant another."""
        how = {
            "settings": msgspec.to_builtins(job.settings),
            "format": summary.format_id,
            "format_version": summary.format_version,
        }
        if job.stored_with is not None and job.stored_with != how:
            async with self._pool.acquire() as connection:
                stored_for = await imports.devices_of_file(connection, job)
            await self._storing.retract(job, stored_for)
        async with self._pool.acquire() as connection:
            await imports.note_stored_with(connection, job.number, how)

    async def _store(self, job: Job) -> None:
        counted = asyncio.Event()
        telling = asyncio.create_task(self._tell(job, counted))
        try:
            spool = await self._storing.store(job, counted)
        finally:
            telling.cancel()
        await self._end(job, "partly" if spool.summary.lines_refused else "imported", spool.summary)

    async def _undo(self, job: Job) -> None:
        """What others have told as well comes back by reading them again."""
        async with self._pool.acquire() as connection:
            stored_for = await imports.devices_of_file(connection, job)
        await self._storing.retract(job, stored_for)
        async with self._pool.acquire() as connection, connection.transaction():
            await imports.note_stored_with(connection, job.number, None)
            await imports.receive_again(connection, await imports.overlapping(connection, job))
            await imports.finish(connection, job.number, "undone")
        await self._say(job)

    async def _give_up(self, job: Job) -> None:
        """What was stored of it before it failed is taken back, as far as that can be done."""
        try:
            async with self._pool.acquire() as connection:
                span = await imports.span(connection, job.number)
                stored_for = await imports.devices_of_file(connection, job)
            await self._storing.retract(msgspec.structs.replace(job, first_at=span[0], last_at=span[1]), stored_for)
            async with self._pool.acquire() as connection:
                await imports.begin_reading(connection, job.number)
                await imports.note_stored_with(connection, job.number, None)
        except (BadInput, NotFound) as error:
            log.error("file_half_in", file=job.id, code=error.code)
        await self._end(job, "quarantined", Summary(problem=refusal("not_stored", 0)))

    async def _end(self, job: Job, state: str, summary: Summary) -> None:
        async with self._pool.acquire() as connection, connection.transaction():
            if state == "quarantined":
                await imports.was_read(
                    connection,
                    job.number,
                    format_id=summary.format_id,
                    blocks=0,
                    rows=0,
                    late=0,
                    lines_refused=summary.lines_refused,
                    first_at=None,
                    last_at=None,
                    refusals=summary.refusals,
                )
            await imports.finish(connection, job.number, state, summary.problem)
        spools.forget(self._folder, job.number)
        problem = None if summary.problem is None else summary.problem.code
        log.info("file_done", file=job.id, state=state, format=summary.format_id, rows=summary.rows, problem=problem)
        await self._say(job)

    async def _tell(self, job: Job, counted: asyncio.Event) -> None:
        """Whoever watches the page: at most once a second."""
        while True:
            await counted.wait()
            counted.clear()
            await self._say(job)
            await asyncio.sleep(1.0)

    async def _say(self, job: Job) -> None:
        async with self._pool.acquire() as connection:
            await notices.notify(connection, notices.FILE, job.id)
