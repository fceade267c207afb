"""The old scp protocol (before OpenSSH 9), for loggers that know no other: files one after the other, into the same box.

Source: OpenSSH's scp.c. The client sends `C0644 <bytes> <name>`, the bytes, and a zero byte; each step is answered by a zero
byte, or by 1 and a line that it prints.
"""

import re
import shlex
from typing import Final, NamedTuple

from actors.dropbox import names
from actors.dropbox.conversation import Conversation, Cut
from actors.dropbox.names import Folder, Name
from actors.dropbox.refused import Refused
from actors.dropbox.upload import Upload
from actors.dropbox.visitor import Visitor
from fleet.file_limits import DROP_PIECE_BYTES

_OK: Final = b"\0"
_LINE_BYTES_MAX: Final = 1_024
_FILE: Final = re.compile(rb"C[0-7]{4} ([0-9]{1,18}) ([^/]+)")


class Wanted(NamedTuple):
    """What `scp …` asks for. target: a path of ours."""

    puts: bool
    target: str


def understand(command: str) -> Wanted | None:
    """None: no scp command that a client makes."""
    try:
        _, *words = shlex.split(command)
    except ValueError:
        return None
    flags = [word for word in words if word.startswith("-")]
    targets = [word for word in words if not word.startswith("-")]
    letters = "".join(flag[1:] for flag in flags)
    if len(targets) != 1 or not ("t" in letters) ^ ("f" in letters):
        return None
    return Wanted("t" in letters, targets[0])


async def serve(conversation: Conversation, visitor: Visitor) -> int:
    """Raises Cut. What was being sent then waits to be resumed by sftp, or to be sent anew."""
    wanted = understand(conversation.command)
    try:
        if wanted is None:
            raise Refused("unsupported")
        if not wanted.puts:
            raise Refused("write_only")
        target = names.place(wanted.target.encode())
    except Refused as refused:
        visitor.refused(refused, "scp")
        await _refuse(conversation, refused)
        return 1
    await conversation.say(_OK)
    worst = 0
    while (line := await _next_line(conversation)) is not None:
        if line[:1] in (b"T", b"E"):  # times, and the end of a folder
            await conversation.say(_OK)
            continue
        found = _FILE.fullmatch(line)
        if found is None:  # a folder, or something else that we do not take: the client would go on with what is in it
            problem = Refused("no_folders" if line[:1] == b"D" else "bad_message")
            visitor.refused(problem, "scp")
            await _refuse(conversation, problem)
            return 1
        worst |= await _receive(conversation, visitor, target, int(found[1]), found[2])
    return worst


async def _next_line(conversation: Conversation) -> bytes | None:
    try:
        return await conversation.line(_LINE_BYTES_MAX)
    except Cut:
        return None


async def _receive(conversation: Conversation, visitor: Visitor, target: Folder | Name, size: int, said: bytes) -> int:
    """One file. 0, or 1 for one that was refused."""
    try:
        name = target if isinstance(target, Name) else names.file_name(f"{target.path}/".encode() + said)
        upload = await visitor.account.open(name, create=True, fresh=True, exclusive=False, append=False)
    except Refused as refused:
        visitor.refused(refused, "scp")
        await _refuse(conversation, refused)
        return 1
    received = False
    try:
        await conversation.say(_OK)
        problem = await _fill(conversation, visitor, upload, size)
        if await conversation.exactly(1) != _OK:  # the client could not read its own file to the end, and says why
            await conversation.line(_LINE_BYTES_MAX)
            return 1
        if problem is None:
            await visitor.account.close(upload)
            received = True
    except Refused as refused:
        problem = refused
    finally:
        if not received:
            await visitor.account.cut(upload)
            visitor.cut(upload)
    if problem is not None:
        visitor.refused(problem, "scp", upload.name.stored)
        await _refuse(conversation, problem)
        return 1
    visitor.closed(upload, way="scp")
    await conversation.say(_OK)
    return 0


async def _fill(conversation: Conversation, visitor: Visitor, upload: Upload, size: int) -> Refused | None:
    """What it was refused by. The client sends all of it in any case."""
    problem: Refused | None = None
    offset = 0
    while offset < size:
        piece = await conversation.some(min(size - offset, DROP_PIECE_BYTES))
        if problem is None:
            try:
                await visitor.account.write(upload, offset, piece)
            except Refused as refused:
                problem = refused
        offset += len(piece)
    return problem


async def _refuse(conversation: Conversation, refused: Refused) -> None:
    await conversation.say(b"\x01scp: " + refused.words.encode() + b"\n")
