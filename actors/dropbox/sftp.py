"""One SFTP session: each request in its order, each answered, none that leads out of the box."""

from collections.abc import Awaitable, Callable
from typing import Final

from actors.dropbox import names, wire
from actors.dropbox.box import Entry
from actors.dropbox.conversation import Conversation, Cut
from actors.dropbox.names import Folder
from actors.dropbox.refused import Refused
from actors.dropbox.upload import Upload
from actors.dropbox.visitor import Visitor
from actors.dropbox.wire import Body, Flag, Kind
from fleet.file_limits import (
    DROP_HANDLES_MAX,
    DROP_LISTINGS_MAX,
    DROP_PIECE_BYTES,
    DROP_REQUEST_BYTES_MAX,
    DROP_WRITE_BYTES_MAX,
)

_NAMES_PER_ANSWER: Final = 100
_HANDLE_BYTES: Final = 4
_WRITE_HEAD_BYTES: Final = 4 + 4 + _HANDLE_BYTES + 8 + 4  # request, handle, offset, length of what is written


class SftpSession:
    """serve() until the client leaves, falls silent, or says something that is no SFTP."""

    def __init__(self, conversation: Conversation, visitor: Visitor) -> None:
        self._conversation = conversation
        self._visitor = visitor
        self._account = visitor.account
        self._uploads: dict[bytes, Upload] = {}
        self._listings: dict[bytes, list[Entry]] = {}
        self._handles = 0
        self._answers: dict[int, Callable[[int, Body], Awaitable[bytes]]] = {
            Kind.OPEN: self._open,
            Kind.CLOSE: self._close,
            Kind.READ: self._refuse("write_only"),
            Kind.LSTAT: self._stat,
            Kind.STAT: self._stat,
            Kind.FSTAT: self._fstat,
            Kind.SETSTAT: self._setstat,
            Kind.FSETSTAT: self._fsetstat,
            Kind.OPENDIR: self._opendir,
            Kind.READDIR: self._readdir,
            Kind.REMOVE: self._remove,
            Kind.MKDIR: self._mkdir,
            Kind.RMDIR: self._refuse("no_folders"),
            Kind.REALPATH: self._realpath,
            Kind.RENAME: self._rename,
            Kind.READLINK: self._refuse("no_links"),
            Kind.SYMLINK: self._refuse("no_links"),
            Kind.EXTENDED: self._extended,
        }

    async def serve(self) -> int:
        """Raises Cut. What is still open then waits to be resumed."""
        try:
            await self._greet()
            while True:
                head = await self._conversation.exactly(5)
                size, kind = int.from_bytes(head[:4], "big") - 1, head[4]
                if kind == Kind.WRITE:
                    await self._write(size)
                elif not 4 <= size <= DROP_REQUEST_BYTES_MAX:
                    raise Cut
                else:
                    await self._answer(kind, await self._conversation.exactly(size))
        except Cut:
            if self._uploads:
                raise
            return 0  # the usual end
        finally:
            for upload in self._uploads.values():
                await self._account.cut(upload)
                self._visitor.cut(upload)

    async def _greet(self) -> None:
        head = await self._conversation.exactly(5)
        size = int.from_bytes(head[:4], "big") - 1
        if head[4] != Kind.INIT or not 4 <= size <= DROP_REQUEST_BYTES_MAX:
            raise Cut
        if Body(await self._conversation.exactly(size)).u32() < wire.VERSION:
            raise Cut
        await self._conversation.say(wire.version())

    async def _answer(self, kind: int, content: bytes) -> None:
        body = Body(content)
        request = body.u32()
        try:
            answer = self._answers.get(kind) or self._refuse("unsupported")
            said = await answer(request, body)
        except Refused as refused:
            if refused.code != "end":
                await self._tell(refused, Kind(kind).name if kind in self._answers else str(kind))
            said = wire.refusal(request, refused)
        await self._conversation.say(said)

    async def _write(self, size: int) -> None:
        """Onto the disk while it comes in. A refused one is read to its end all the same: the next request is behind it."""
        head = await self._conversation.exactly(min(size, _WRITE_HEAD_BYTES))
        body = Body(head)
        try:
            request, handle, offset, left = body.u32(), body.string(), body.u64(), body.u32()
        except Refused:
            raise Cut from None
        if left != size - len(head) or left > DROP_WRITE_BYTES_MAX:
            raise Cut
        upload = self._uploads.get(handle)
        refused = Refused("bad_handle") if upload is None else None
        while left:
            piece = await self._conversation.some(min(left, DROP_PIECE_BYTES))
            left -= len(piece)
            if refused is None and upload is not None:
                try:
                    await self._account.write(upload, offset, piece)
                except Refused as error:
                    refused = error
                    await self._tell(refused, "WRITE", upload.name.stored)
            offset += len(piece)
        await self._conversation.say(wire.ok(request) if refused is None else wire.refusal(request, refused))

    async def _tell(self, refused: Refused, what: str, file: str = "") -> None:
        if self._visitor.refused(refused, what, file) and self._visitor.drops_words:
            await self._conversation.say(f"{refused.words}\r\n".encode(), aside=True)

    # files --------------------------------------------------------------------------------------------------------

    async def _open(self, request: int, body: Body) -> bytes:
        name, flags = names.file_name(body.string()), body.u32()
        body.attributes()
        if len(self._uploads) >= DROP_HANDLES_MAX:  # also of files that others have taken over since
            raise Refused("too_many_handles")
        if not flags & Flag.WRITE and not flags & Flag.APPEND:
            await self._account.find(name)  # who asks for a file that is not there hears that first
            raise Refused("write_only")
        upload = await self._account.open(
            name,
            create=bool(flags & Flag.CREATE),
            fresh=bool(flags & Flag.TRUNCATE),
            exclusive=bool(flags & Flag.CREATE) and bool(flags & Flag.EXCLUSIVE),
            append=bool(flags & Flag.APPEND),
        )
        handle = self._new_handle()
        self._uploads[handle] = upload
        return wire.handle(request, handle)

    async def _close(self, request: int, body: Body) -> bytes:
        handle = body.string()
        if self._listings.pop(handle, None) is None:
            upload = self._uploads.pop(handle, None)
            if upload is None:
                raise Refused("bad_handle")
            await self._account.close(upload)
            self._visitor.closed(upload, way="sftp")
        return wire.ok(request)

    async def _rename(self, request: int, body: Body) -> bytes:
        old, new = names.file_name(body.string()), names.file_name(body.string())
        await self._account.rename(old, new)
        self._visitor.renamed(old.stored, new.stored)
        return wire.ok(request)

    async def _remove(self, request: int, body: Body) -> bytes:
        await self._account.remove(names.file_name(body.string()))
        return wire.ok(request)

    # looking ------------------------------------------------------------------------------------------------------

    async def _stat(self, request: int, body: Body) -> bytes:
        found = names.place(body.string())
        if isinstance(found, Folder):
            return wire.folder_attributes(request)
        entry = await self._account.find(found)
        return wire.file_attributes(request, entry.size, entry.mtime)

    async def _fstat(self, request: int, body: Body) -> bytes:
        handle = body.string()
        if handle in self._listings:
            return wire.folder_attributes(request)
        upload = self._upload(handle)
        entry = await self._account.find(upload.name)
        return wire.file_attributes(request, upload.size, entry.mtime)

    async def _realpath(self, request: int, body: Body) -> bytes:
        return wire.path(request, names.resolved(body.string()))

    async def _opendir(self, request: int, body: Body) -> bytes:
        found = names.place(body.string())
        if not isinstance(found, Folder):
            raise Refused("no_such_folder")
        if len(self._listings) >= DROP_LISTINGS_MAX:
            raise Refused("too_many_handles")
        handle = self._new_handle()
        self._listings[handle] = await self._account.entries(found.prefix)
        return wire.handle(request, handle)

    async def _readdir(self, request: int, body: Body) -> bytes:
        left = self._listings.get(body.string())
        if left is None:
            raise Refused("bad_handle")
        if not left:
            raise Refused("end")
        said, left[:] = left[:_NAMES_PER_ANSWER], left[_NAMES_PER_ANSWER:]
        return wire.names(request, self._visitor.device, said)

    # what has no effect here --------------------------------------------------------------------------------------

    async def _setstat(self, request: int, body: Body) -> bytes:
        """Clients set the time of what they have put, some its rights with it, and fail if they may not: they may, and
        nothing happens. Rights or an owner alone are somebody's wish, who should know that he does not get it."""
        found, wanted = names.place(body.string()), body.attributes()
        if not isinstance(found, Folder):
            await self._account.find(found)
        if isinstance(found, Folder) or wanted.size is not None or not wanted.times:
            raise Refused("no_attributes")
        return wire.ok(request)

    async def _fsetstat(self, request: int, body: Body) -> bytes:
        """Of a file that is being put: clients pass on what it had on their side."""
        upload, wanted = self._upload(body.string()), body.attributes()
        if wanted.size is not None and wanted.size != upload.size:
            raise Refused("no_attributes")
        return wire.ok(request)

    async def _mkdir(self, request: int, body: Body) -> bytes:  # noqa: ARG002 - it is always refused
        try:
            found = names.place(body.string())
        except Refused:
            raise Refused("no_folders") from None
        raise Refused("folder_exists" if isinstance(found, Folder) else "no_folders")

    async def _extended(self, request: int, body: Body) -> bytes:
        name = body.string()
        if name == wire.POSIX_RENAME:
            return await self._rename(request, body)
        if name == wire.LIMITS:
            return wire.limits(request)
        if name == wire.FSYNC:
            self._upload(body.string())  # closing it does that, and is what counts
            return wire.ok(request)
        raise Refused("no_links" if name in wire.LINKS else "unsupported")

    def _refuse(self, code: str) -> Callable[[int, Body], Awaitable[bytes]]:
        async def answer(request: int, body: Body) -> bytes:  # noqa: ARG001 - whatever was asked
            raise Refused(code)

        return answer

    def _upload(self, handle: bytes) -> Upload:
        if handle not in self._uploads:
            raise Refused("bad_handle")
        return self._uploads[handle]

    def _new_handle(self) -> bytes:
        """Counted up: one that was closed is never another file's soon."""
        self._handles += 1
        return self._handles.to_bytes(_HANDLE_BYTES, "big")
