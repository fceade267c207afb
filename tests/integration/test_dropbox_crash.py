"""Cut lines, kills, and many at once: what was acknowledged is there, and what was not can be gone on with."""

import asyncio
import os
import random
import signal
import time

import asyncssh
import pytest

from actors.dropbox.box import Box, link_stamped
from actors.dropbox.names import Name
from actors.dropbox.refused import Status
from actors.dropbox.wire import Kind
from tests.drop_rig import DEADLINE_S, DropRig, Login, as_process, raw, running, until

SEED = 104


async def until_cut(dropbox: DropRig, login: Login, name: str) -> int:
    """How much of it lies there, once its connection is known to be gone."""
    assert dropbox.server is not None
    account = dropbox.server.account(login.device)
    await until(lambda: not account._uploads)
    return len(dropbox.lying(login, "open").get(name, b""))


async def test_a_line_that_breaks_anywhere_is_resumed(dropbox: DropRig) -> None:
    chance = random.Random(SEED)
    for number in range(5):
        login = await dropbox.logger()
        content = chance.randbytes(chance.randrange(1, 300_000))
        name = f"{number}.csv"
        at = 0
        while True:
            async with dropbox.connected(login) as connection:
                client = await connection.start_sftp_client()
                file = await client.open(name, "r+b" if at else "wb", block_size=8_192)
                upto = chance.randrange(at, len(content) + 1)
                sending = asyncio.create_task(file.write(content[at:upto], at))
                if chance.random() < 0.3:
                    await asyncio.sleep(0)
                else:
                    await sending
                if upto == len(content) and chance.random() < 0.5:
                    await sending
                    await file.close()
                    break
                connection.abort()
                await asyncio.gather(sending, return_exceptions=True)
            at = await until_cut(dropbox, login, name)
            assert dropbox.lying(login, "open").get(name, b"") == content[:at]
            assert dropbox.waiting(login) == []
        assert dropbox.contents(login) == {name: content}


async def test_a_dead_connection_gives_its_file_to_the_next_one(dropbox: DropRig) -> None:
    """A logger whose network changed comes again while the old connection still seems to be there."""
    login = await dropbox.logger()
    async with raw(dropbox, login) as dead, raw(dropbox, login) as alive:
        old = await dead.open(b"day.csv")
        dead.send_write(old, 0, b"begin")
        assert await dead.next_status() == Status.OK
        new = await alive.open(b"day.csv", 0x0A)  # not emptied: gone on with
        dead.send_write(old, 5, b" wrong")
        assert await dead.next_status() == Status.FAILURE
        alive.send_write(new, 5, b" end")
        assert await alive.next_status() == Status.OK
        assert await dead.status(Kind.CLOSE, old) == Status.FAILURE
        assert await alive.status(Kind.CLOSE, new) == Status.OK
    assert dropbox.contents(login) == {"day.csv": b"begin end"}


async def test_a_received_file_is_gone_on_with_beside_it(dropbox: DropRig) -> None:
    """The day's file grows; each closing is a version of its own, and what waits for the importer never changes."""
    login = await dropbox.logger()
    async with dropbox.sftp(login) as client:
        for hour in range(3):
            async with client.open("day.csv", "ab") as file:
                await file.write(b"%d;1\n" % hour)
        assert (await client.stat("day.csv")).size == 12
        half = await client.open("day.csv", "ab")
        await half.write(b"3;")
    await until_cut(dropbox, login, "day.csv")
    versions = [b"0;1\n", b"0;1\n1;1\n", b"0;1\n1;1\n2;1\n"]
    assert [each.path.read_bytes() for each in dropbox.waiting(login)] == versions
    for each in dropbox.waiting(login):
        each.path.unlink()  # taken
    async with dropbox.sftp(login) as client:
        assert (await client.stat("day.csv")).size == 14
        async with client.open("day.csv", "wb") as file:
            await file.write(b"all anew")
    assert dropbox.contents(login) == {"day.csv": b"all anew"}


async def test_what_replaces_in_two_steps_may_remove_before(dropbox: DropRig) -> None:
    login = await dropbox.logger()
    async with dropbox.sftp(login) as client:
        for content in (b"old", b"new"):
            async with client.open("x.csv.filepart", "wb") as file:
                await file.write(content)
            if content == b"new":
                await client.remove("x.csv")
            await client.rename("x.csv.filepart", "x.csv")
        with pytest.raises(asyncssh.SFTPPermissionDenied):
            await client.remove("x.csv")
        async with client.open("y.csv.tmp", "wb") as file:
            await file.write(b"never mind")
        await client.remove("y.csv.tmp")
        assert await client.listdir() == ["x.csv"]
        for old, new in (("x.csv", "x.csv.tmp"), ("none.csv", "y.csv")):
            with pytest.raises(asyncssh.SFTPError):
                await client.rename(old, new)
        async with client.open("data.up", "wb") as file:  # a temporary name that we do not know as one
            await file.write(b"data")
        await client.rename("data.up", "data.csv")
    assert [(each.name, each.path.read_bytes()) for each in dropbox.waiting(login)] == [
        ("x.csv", b"old"), ("x.csv", b"new"), ("data.csv", b"data"),
    ]  # fmt: skip


async def test_a_cut_file_is_not_made_whole_by_a_rename(dropbox: DropRig) -> None:
    login = await dropbox.logger()
    async with raw(dropbox, login) as client:
        handle = await client.open(b"x.csv.tmp")
        client.send_write(handle, 0, b"half")
        await client.next_status()
        assert await client.status(Kind.RENAME, b"x.csv.tmp", b"x.csv") == Status.FAILURE  # still open
    await until_cut(dropbox, login, "x.csv.tmp")
    async with dropbox.sftp(login) as client2:
        with pytest.raises(asyncssh.SFTPFailure, match="cut off"):
            await client2.rename("x.csv.tmp", "x.csv")
    assert dropbox.waiting(login) == []


async def test_a_cut_try_is_over_when_its_name_is_given_to_another_file(dropbox: DropRig) -> None:
    login = await dropbox.logger()
    async with raw(dropbox, login) as client:
        client.send_write(await client.open(b"x.csv"), 0, b"half")
        await client.next_status()
    await until_cut(dropbox, login, "x.csv")
    async with dropbox.sftp(login) as sender:
        async with sender.open("x.csv.tmp", "wb") as file:
            await file.write(b"all of it")
        await sender.rename("x.csv.tmp", "x.csv")
        assert (await sender.stat("x.csv")).size == 9
    assert dropbox.contents(login) == {"x.csv": b"all of it"}
    assert dropbox.lying(login, "open") == {}


async def test_fifty_at_once_lose_nothing(dropbox: DropRig) -> None:
    logins = [await dropbox.logger() for _ in range(50)]
    contents = {login.device: random.Random(login.device).randbytes(40_000) for login in logins}

    async def send(login: Login) -> None:
        async with dropbox.sftp(login) as client:
            async with client.open("day.csv.tmp", "wb") as file:
                await file.write(contents[login.device])
            await client.rename("day.csv.tmp", "day.csv")

    await asyncio.gather(*(send(login) for login in logins))
    for login in logins:
        assert dropbox.contents(login) == {"day.csv": contents[login.device]}


async def test_a_killed_drop_box_has_all_that_it_acknowledged(dropbox_rig: DropRig) -> None:
    chance = random.Random(SEED)
    logins = [await dropbox_rig.logger() for _ in range(6)]
    acknowledged: dict[str, dict[str, bytes]] = {login.device: {} for login in logins}

    async def send_until_killed(login: Login, life: int) -> None:
        try:
            async with dropbox_rig.sftp(login) as client:
                for number in range(1_000):
                    content = f"{login.device} {life} {number};".encode() * chance.randrange(1, 4_000)
                    two_steps = chance.random() < 0.5
                    name = f"{life}-{number}.csv"
                    async with client.open(f"{name}.tmp" if two_steps else name, "wb") as file:
                        await file.write(content)
                    if two_steps:
                        await client.rename(f"{name}.tmp", name)
                    acknowledged[login.device][name] = content
        except (asyncssh.Error, OSError):
            return

    for life in range(2):
        async with as_process(dropbox_rig) as dropbox:
            assert dropbox.process is not None
            sending = [asyncio.create_task(send_until_killed(login, life)) for login in logins]
            goal = sum(len(files) for files in acknowledged.values()) + 25
            await until(lambda: sum(len(files) for files in acknowledged.values()) >= goal)  # noqa: B023 - awaited in its turn
            os.kill(dropbox.process.pid, signal.SIGKILL)
            await asyncio.gather(*sending)
    async with running(dropbox_rig) as dropbox:
        for login in logins:
            async with dropbox.sftp(login) as client:
                listed = await client.listdir()
            found = dropbox.contents(login)
            assert {name: found.get(name) for name in acknowledged[login.device]} == acknowledged[login.device]
            assert set(acknowledged[login.device]) <= set(listed)
            unfinished = dropbox.lying(login, "open") | dropbox.lying(login, "closed")
            assert len(set(found) - set(acknowledged[login.device])) + len(unfinished) <= 3  # one under way at each kill


async def test_at_its_start_it_puts_in_order_what_was_left(dropbox_rig: DropRig) -> None:
    """By a kill between two steps, and by a logger that was cut off yesterday and did not come back."""
    login = await dropbox_rig.logger()
    left = Box(dropbox_rig.folder, login.device)
    left.make()
    for name, age_s in (("whole.csv", 0), ("yesterday.csv", 90_000), ("today.csv", 3_600)):
        path = left.path("open", Name(name))
        path.write_bytes(name.encode())
        os.utime(path, (time.time() - age_s, time.time() - age_s))
    link_stamped(left.path("open", Name("whole.csv")), left.folder / "whole", Name("whole.csv"), time.time_ns())
    async with running(dropbox_rig) as dropbox:
        await until(lambda: len(dropbox.waiting(login)) == 2)
        assert {(each.name, each.complete) for each in dropbox.waiting(login)} == {
            ("whole.csv", True),
            ("yesterday.csv", False),
        }
        async with dropbox.sftp(login) as client:
            assert sorted(await client.listdir()) == ["today.csv", "whole.csv", "yesterday.csv"]
    assert list(dropbox_rig.lying(login, "open")) == ["today.csv"]


async def test_told_to_stop_it_answers_what_was_asked(dropbox_rig: DropRig) -> None:
    login = await dropbox_rig.logger()
    async with as_process(dropbox_rig) as dropbox:
        assert dropbox.process is not None
        async with raw(dropbox, login) as client:
            handle = await client.open(b"half.csv")
            client.send_write(handle, 0, b"half")
            await client.next_status()
            os.kill(dropbox.process.pid, signal.SIGTERM)
            with pytest.raises((asyncio.IncompleteReadError, asyncssh.Error)):
                await client.answer()
        async with asyncio.timeout(DEADLINE_S):
            assert await dropbox.process.wait() == 0
        assert not dropbox.settings.ready_file.exists()
    assert dropbox_rig.lying(login, "open") == {"half.csv": b"half"}
