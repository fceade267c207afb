"""A full disk: refused in words, nothing half visible, others go on as soon as there is room."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import asyncssh
import pytest
from msgspec.structs import replace

from tests.drop_rig import DropRig, Login, running


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


async def put(dropbox: DropRig, login: Login, name: str, size: int) -> None:
    async with dropbox.sftp(login) as client, client.open(name, "wb") as file:
        await file.write(b"x" * size)


async def test_a_disk_that_fills_up_loses_nothing_that_was_received(dropbox_rig: DropRig, small_disk: Path) -> None:
    dropbox_rig.settings = replace(dropbox_rig.settings, folder=small_disk / "boxes", disk_free_min_bytes=0)
    async with running(dropbox_rig) as dropbox:
        one, other = await dropbox.logger(), await dropbox.logger()
        await put(dropbox, one, "first.csv", 400_000)
        with pytest.raises(asyncssh.SFTPFailure, match="disk is full: nothing is lost, send again later / le disque"):
            await put(dropbox, one, "second.csv", 900_000)
        async with dropbox.sftp(one) as client:
            assert await client.listdir() == ["first.csv"]
        await put(dropbox, other, "small.csv", 100_000)
        assert dropbox.contents(one) == {"first.csv": b"x" * 400_000}
        assert dropbox.contents(other) == {"small.csv": b"x" * 100_000}
        for folder in ("whole", "listed"):
            for path in (dropbox.folder / one.device / folder).iterdir():
                path.unlink()
        await put(dropbox, one, "second.csv", 600_000)
        assert dropbox.contents(one) == {"second.csv": b"x" * 600_000}


async def test_what_is_left_for_others_is_not_taken(dropbox_rig: DropRig) -> None:
    """Before the disk is full: the database may lie on it."""
    dropbox_rig.settings = replace(dropbox_rig.settings, disk_free_min_bytes=2**60)
    async with running(dropbox_rig) as dropbox:
        login = await dropbox.logger()
        with pytest.raises(asyncssh.SFTPFailure, match="disk is full"):
            await put(dropbox, login, "x.csv", 10)
        async with dropbox.sftp(login) as client:
            assert await client.listdir() == []
