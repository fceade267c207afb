"""What no honest logger does: paths that lead out, links, holes, floods, garbage. All is refused; the box stays whole."""

import asyncio
import random

import asyncssh
import paramiko
import pytest

from actors.dropbox import account as account_module
from actors.dropbox import door as door_module
from actors.dropbox import server as server_module
from actors.dropbox import upload as upload_module
from actors.dropbox.refused import Status
from actors.dropbox.wire import Kind
from actors.local.ports import LOOPBACK
from fleet.file_limits import DROP_AHEAD_PIECES_MAX, DROP_CHANNELS_MAX, DROP_HANDLES_MAX, DROP_WRITE_BYTES_MAX
from tests.drop_rig import DropRig, Login, RawSftp, raw, string, until

ESCAPES = [
    b"../x", b"../../etc/cron.d/x", b"/etc/passwd", b"a/../../x", b"DATA/../../x", b"DATA/../x", b"..", b"/..", b"....//x",
    b"..\\x", b"a\\..\\x", b"C:\\x", b"x\0.csv", b"x\n.csv", b"x\r", b"\x1b[2Jx", b"x\x7f", b"\xe2\x80\xaex.csv",
    b"\xef\xbb\xbfx", b"\xff\x80x", b" x", b"x ", b"", b".", b"/", b"//", b"x" * 300, b"x/" * 600, b"DATA",
    b"proc/self/root/x", b"DATA/LOG/DEF/x", b"whole/x", b"../gw-1/whole/x", b"~/../x/..", b"%2e%2e%2fx/..",
    b"\xc0\xae\xc0\xae/x",
]  # fmt: skip


def tree(dropbox: DropRig) -> set[str]:
    """Everything below, and beside, the boxes."""
    root = dropbox.folder.parent
    return {str(path.relative_to(root)) for path in root.rglob("*")}


@pytest.fixture
async def login(dropbox: DropRig) -> Login:
    return await dropbox.logger()


async def test_no_path_leads_out(dropbox: DropRig, login: Login) -> None:
    stranger = await dropbox.logger()
    async with dropbox.sftp(stranger) as other, other.open("theirs.csv", "wb") as file:
        await file.write(b"theirs")
    async with raw(dropbox, login) as client:
        assert await client.status(Kind.CLOSE, await client.open(b"mine.csv")) == Status.OK
        before = tree(dropbox)
        for path in [*ESCAPES, f"../{stranger.device}/listed/theirs.csv".encode(), b"../../ready.json"]:
            for kind, fields in (
                (Kind.OPEN, (path, 0x1A, 0)),
                (Kind.OPEN, (path, 1, 0)),
                (Kind.REMOVE, (path,)),
                (Kind.RENAME, (b"mine.csv", path)),
                (Kind.RENAME, (path, b"other.csv")),
                (Kind.EXTENDED, (b"posix-rename@openssh.com", b"mine.csv", path)),
                (Kind.SYMLINK, (path, b"link")),
                (Kind.SYMLINK, (b"link", path)),
                (Kind.EXTENDED, (b"hardlink@openssh.com", path, b"link")),
                (Kind.EXTENDED, (b"hardlink@openssh.com", b"mine.csv", path)),
                (Kind.EXTENDED, (b"copy-data", path, path)),
                (Kind.EXTENDED, (b"statvfs@openssh.com", path)),
                (Kind.EXTENDED, (b"expand-path@openssh.com", path)),
                (Kind.READLINK, (path,)),
                (Kind.SETSTAT, (path, 1, 0, 0)),
                (Kind.SETSTAT, (path, 4, 0o777)),
                (Kind.MKDIR, (path, 0)),
                (Kind.RMDIR, (path,)),
            ):
                assert await client.status(kind, *fields) not in (Status.OK, Status.EOF), (kind, path)
        assert tree(dropbox) == before


async def test_what_a_path_shows_is_one_s_own(dropbox: DropRig, login: Login) -> None:
    stranger = await dropbox.logger()
    async with dropbox.sftp(stranger) as other, other.open("theirs.csv", "wb") as file:
        await file.write(b"theirs")
    async with raw(dropbox, login) as client:
        for path in ESCAPES:
            client.send(Kind.STAT, path)
            kind, content = await client.answer()
            if kind == Kind.ATTRS:  # the box itself, or a folder that is always there
                assert content[:8] == bytes.fromhex("00000004 000041c0"), path
            client.send(Kind.OPENDIR, path)
            kind, content = await client.answer()
            if kind == Kind.HANDLE:
                assert await client.status(Kind.READDIR, content[4:]) == Status.EOF, path
                assert await client.status(Kind.CLOSE, content[4:]) == Status.OK
        for path, shown in ((b".", b"/"), (b"", b"/"), (b"/..", b"/"), (b"../../..", b"/"), (b"/data/../x", b"/x")):
            client.send(Kind.REALPATH, path)
            kind, content = await client.answer()
            assert kind == Kind.NAME
            assert content[4:].startswith(string(shown)), path
        assert await client.status(Kind.REALPATH, b"../../etc/passwd") == Status.NO_SUCH_FILE
        assert await client.status(Kind.LSTAT, b"theirs.csv") == Status.NO_SUCH_FILE


async def test_nothing_is_read_back(dropbox: DropRig, login: Login) -> None:
    async with raw(dropbox, login) as client:
        both = await client.open(b"x.csv", 0x1B)  # read and write
        client.send_write(both, 0, b"secret")
        assert await client.next_status() == Status.OK
        for kind, fields in ((Kind.READ, (both, 0, 0, 100)), (Kind.OPEN, (b"x.csv", 1, 0)), (Kind.OPEN, (b"x.csv", 0, 0))):
            assert await client.status(kind, *fields) == Status.PERMISSION_DENIED
        assert await client.status(Kind.EXTENDED, b"copy-data", both, 0, 0, 0, 0, both, 0, 0) == Status.OP_UNSUPPORTED


async def test_a_hole_is_never_stored(dropbox: DropRig, login: Login, monkeypatch: pytest.MonkeyPatch) -> None:
    async with raw(dropbox, login) as client:
        sparse = await client.open(b"sparse.csv")
        client.send_write(sparse, 2**40, b"x")
        assert await client.next_status() == Status.FAILURE
        client.send_write(sparse, 2**63 + 5, b"x")
        assert await client.next_status() == Status.FAILURE
        assert await client.status(Kind.CLOSE, sparse) == Status.FAILURE
        small = await client.open(b"small.csv")
        client.send_write(small, 0, b"ab")
        client.send_write(small, 5, b"fg")
        assert [await client.next_status(), await client.next_status()] == [Status.OK, Status.OK]
        assert await client.status(Kind.CLOSE, small) == Status.FAILURE
        assert dropbox.waiting(login) == []
        assert dropbox.lying(login, "open")["small.csv"] == b"ab"  # what came; it can be resumed there
        overtaking = await client.open(b"overtaking.csv")
        pieces = [(offset, bytes([offset % 251]) * 1_000) for offset in range(0, 64_000, 1_000)]
        for offset, piece in random.Random(4).sample(pieces, len(pieces)):
            client.send_write(overtaking, offset, piece)
        assert {await client.next_status() for _ in pieces} == {Status.OK}
        assert await client.status(Kind.CLOSE, overtaking) == Status.OK
    assert dropbox.contents(login) == {"overtaking.csv": b"".join(piece for _, piece in pieces)}


async def test_what_waits_in_memory_is_bounded(dropbox: DropRig, login: Login, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_module, "DROP_AHEAD_BYTES_MAX", 10_000)
    async with raw(dropbox, login) as client:
        handle = await client.open(b"x.csv")
        for number in range(1, 20):
            client.send_write(handle, number * 1_000, b"x" * 1_000)
        answers = [await client.next_status() for _ in range(1, 20)]
        assert answers[:9] == [Status.OK] * 9
        assert set(answers[9:]) == {Status.FAILURE}


async def test_one_large_write_goes_through_in_pieces(dropbox: DropRig, login: Login) -> None:
    large = random.Random(1).randbytes(DROP_WRITE_BYTES_MAX)
    async with raw(dropbox, login) as client:
        handle = await client.open(b"large.bin")
        client.send_write(handle, 0, large)
        assert await client.next_status() == Status.OK
        assert await client.status(Kind.CLOSE, handle) == Status.OK
        assert dropbox.contents(login)["large.bin"] == large
        client.send_write(await client.open(b"larger.bin"), 0, large + b"x")
        with pytest.raises(asyncio.IncompleteReadError):
            await client.answer()


async def test_handles_and_channels_are_bounded(dropbox: DropRig, login: Login) -> None:
    async with raw(dropbox, login) as client:
        handles = [await client.open(b"%d.csv" % number) for number in range(DROP_HANDLES_MAX)]
        for number in range(2_000):
            client.send(Kind.OPEN, b"more-%d.csv" % number, 0x1A, 0)
        assert {await client.next_status() for _ in range(2_000)} == {Status.FAILURE}
        assert await client.status(Kind.CLOSE, handles[0]) == Status.OK
        await client.open(b"again.csv")
        for _ in range(20):
            client.send(Kind.OPENDIR, b"/")
        kinds = [(await client.answer())[0] for _ in range(20)]
        assert kinds.count(Kind.HANDLE) == 4
    async with dropbox.connected(login) as connection:
        opened = [await connection.open_session(subsystem="sftp", encoding=None) for _ in range(DROP_CHANNELS_MAX)]
        with pytest.raises(asyncssh.ChannelOpenError):
            await connection.open_session(subsystem="sftp", encoding=None)
        assert len(opened) == DROP_CHANNELS_MAX
        for refused in (connection.open_connection(LOOPBACK, 5432), connection.forward_remote_port("", 0, LOOPBACK, 1)):
            with pytest.raises((asyncssh.ChannelOpenError, asyncssh.ChannelListenError)):
                await refused


async def test_handles_are_one_s_own(dropbox: DropRig, login: Login) -> None:
    async with raw(dropbox, login) as one, raw(dropbox, login) as other:
        handle = await one.open(b"x.csv")
        other.send_write(handle, 0, b"x")
        assert await other.next_status() == Status.FAILURE
        assert await other.status(Kind.CLOSE, handle) == Status.FAILURE
        assert await other.status(Kind.FSETSTAT, b"\0\0\0\x09", 0) == Status.FAILURE
        assert await one.status(Kind.CLOSE, handle) == Status.OK
        assert await one.status(Kind.CLOSE, handle) == Status.FAILURE


async def test_garbage_ends_one_session_and_nothing_else(dropbox: DropRig, login: Login) -> None:
    chance = random.Random(31)
    async with dropbox.connected(login) as connection:
        for number in range(40):
            writer, reader, _ = await connection.open_session(subsystem="sftp", encoding=None)
            client = RawSftp(writer, reader)
            if number % 2:
                client.send_bytes(b"\0\0\0\x05\x01\0\0\0\x03")
            size = chance.randrange(1, 60)
            whole = chance.random() < 0.7
            body = bytes([chance.choice([*Kind, 99])]) + chance.randbytes(size)
            client.send_bytes((len(body) if whole else chance.getrandbits(32)).to_bytes(4, "big") + body)
            writer.write_eof()
            async with asyncio.timeout(60):
                await reader.read()
                await writer.channel.wait_closed()
    async with raw(dropbox, login) as client:
        assert await client.status(Kind.CLOSE, await client.open(b"well.csv")) == Status.OK
    assert "well.csv" in dropbox.contents(login)


@pytest.mark.parametrize(
    ("bound", "value", "words"),
    [("DROP_BYTES_MAX", 100_000, "this box is full (bytes)"), ("DROP_FILES_MAX", 3, "this box is full (number of files)")],
)
async def test_a_quota_is_told_and_leaves_nothing_half(
    dropbox: DropRig, login: Login, monkeypatch: pytest.MonkeyPatch, bound: str, value: int, words: str
) -> None:
    monkeypatch.setattr(account_module, bound, value)
    async with dropbox.sftp(login) as client:
        for number in range(3):
            async with client.open(f"{number}.csv", "wb") as file:
                await file.write(b"x" * 30_000)
        with pytest.raises(asyncssh.SFTPFailure, match=words.replace("(", r"\(").replace(")", r"\)")):
            async with client.open("3.csv", "wb") as file:
                await file.write(b"x" * 30_000)
        assert sorted(name for name in await client.listdir() if name not in (".", "..")) == ["0.csv", "1.csv", "2.csv"]
    assert set(dropbox.contents(login)) == {"0.csv", "1.csv", "2.csv"}
    other = await dropbox.logger()
    async with dropbox.sftp(other) as client, client.open("fine.csv", "wb") as file:
        await file.write(b"x")
    for waiting in dropbox.waiting(login):
        waiting.path.unlink()  # the importer has taken them
    monkeypatch.setattr("actors.dropbox.box.DROP_LISTED_BYTES_MAX", 0)
    async with dropbox.sftp(login) as client, client.open("3.csv", "wb") as file:
        await file.write(b"x" * 30_000)
    assert set(dropbox.contents(login)) == {"3.csv"}


async def test_a_file_that_is_too_large_is_refused_while_it_comes(
    dropbox: DropRig, login: Login, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_module, "FILE_BYTES_MAX", 50_000)
    async with dropbox.sftp(login) as client:
        with pytest.raises(asyncssh.SFTPFailure, match="larger than what is taken"):
            async with client.open("x.csv", "wb") as file:
                await file.write(b"x" * 60_000)
    assert dropbox.lying(login, "open") == {}


async def test_uploads_have_a_rate(dropbox: DropRig, login: Login, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account_module, "DROP_UPLOADS_BURST", 5)
    monkeypatch.setattr(account_module, "DROP_UPLOADS_PER_S", 0.0)
    async with dropbox.sftp(login) as client:
        for number in range(5):
            async with client.open(f"{number}.csv", "wb"):
                pass
        with pytest.raises(asyncssh.SFTPFailure, match="too many files in a short time"):
            await client.open("5.csv", "wb")
    async with dropbox.sftp(login) as client:  # coming again does not help
        with pytest.raises(asyncssh.SFTPFailure, match="too many files in a short time"):
            await client.open("5.csv", "wb")


async def test_pieces_that_never_meet_take_no_memory(dropbox: DropRig, login: Login) -> None:
    """Each of one byte, and a gap after it: what is kept of them costs far more than what was sent."""
    async with raw(dropbox, login) as client:
        handle = await client.open(b"holes.bin")
        answers = []
        for number in range(DROP_AHEAD_PIECES_MAX + 10):
            client.send_write(handle, 1 + 2 * number, b"x")
            answers.append(await client.next_status())
        assert answers == [Status.OK] * DROP_AHEAD_PIECES_MAX + [Status.FAILURE] * 10


async def test_a_file_that_is_opened_for_ever_keeps_no_handles(dropbox: DropRig, login: Login) -> None:
    async with raw(dropbox, login) as client:
        for _ in range(DROP_HANDLES_MAX):
            handle = await client.open(b"again.bin")
        client.send(Kind.OPEN, b"again.bin", 0x1A, 0)
        kind, content = await client.answer()
        assert (kind, content[3]) == (Kind.STATUS, Status.FAILURE)
        assert await client.status(Kind.CLOSE, handle) == Status.OK
        await client.open(b"again.bin")


async def test_what_a_client_wants_in_its_environment_is_not_kept(dropbox: DropRig, login: Login) -> None:
    assert dropbox.server is not None
    async with dropbox.connected(login) as connection:
        await connection.open_session(subsystem="sftp", encoding=None, env={"A": "x" * 10_000, "B": "y"})
        (door,) = dropbox.server._doors
        (conversation,) = door.conversations
        assert conversation._channel is not None
        assert dict(conversation._channel.get_environment()) == {}


async def test_a_channel_that_wants_nothing_ends(dropbox: DropRig, login: Login, monkeypatch: pytest.MonkeyPatch) -> None:
    assert dropbox.server is not None
    monkeypatch.setattr(server_module, "DROP_CREDENTIAL_POLL_S", 0.05)
    connecting = paramiko.Transport((LOOPBACK, dropbox.port))
    try:
        key = paramiko.Ed25519Key.from_private_key_file(str(login.key_file))
        await asyncio.to_thread(connecting.connect, username=login.device, pkey=key)
        for _ in range(2 * DROP_CHANNELS_MAX):  # one after the other they leave nothing behind
            channel = await asyncio.to_thread(connecting.open_session)
            await asyncio.to_thread(channel.close)
        (door,) = dropbox.server._doors
        await until(lambda: not door.conversations)
        await asyncio.to_thread(connecting.open_session)
        monkeypatch.setattr(door_module, "DROP_IDLE_S", 0.2)
        await until(lambda: not connecting.is_active())
    finally:
        await asyncio.to_thread(connecting.close)


async def test_a_command_of_any_length_is_refused_as_others_are(dropbox: DropRig, login: Login) -> None:
    async with dropbox.connected(login) as connection:
        answer = await connection.run("scp -t " + "'a b' " * 5_000)
        assert (answer.exit_status, "only sftp and scp work here" in str(answer.stderr)) == (1, True)
