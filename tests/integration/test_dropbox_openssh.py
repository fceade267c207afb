"""The drop box as OpenSSH's sftp and scp, rsync, lftp and paramiko see it: the programs themselves."""

import asyncio
import shutil
from pathlib import Path

import paramiko
import pytest

from actors.local.ports import LOOPBACK
from tests.drop_rig import DropRig, Login

CURVE = b"time;value\n" + b"".join(b"2024-07-01T%02d:00:00Z;%d\n" % (hour, hour * 100) for hour in range(24))


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


async def run(*command: str | Path, said: str = "") -> tuple[int, str]:
    """(exit status, what it printed)."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(60):
        printed, _ = await process.communicate(said.encode())
    return process.returncode or 0, printed.decode(errors="replace")


def options(dropbox: DropRig, login: Login) -> list[str]:
    return [
        "-F", "none", "-i", str(login.key_file), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
        "-o", f"UserKnownHostsFile={dropbox.known_hosts}", "-o", "StrictHostKeyChecking=yes",
    ]  # fmt: skip


async def sftp(dropbox: DropRig, login: Login, *lines: str) -> str:
    """What it says to a batch; a line with '-' before it may fail."""
    target = f"{login.device}@{LOOPBACK}"
    _, printed = await run(
        "sftp", *options(dropbox, login), "-P", str(dropbox.port), "-b", "-", target, said="\n".join(lines)
    )
    return printed


@pytest.fixture
async def login(dropbox: DropRig) -> Login:
    return await dropbox.logger()


@pytest.fixture
def curve(tmp_path: Path) -> Path:
    file = tmp_path / "curve.csv"
    file.write_bytes(CURVE)
    return file


@needs("sftp")
async def test_sftp_puts_and_lists(dropbox: DropRig, login: Login, curve: Path) -> None:
    said = await sftp(dropbox, login, f"put {curve}", f"put -p {curve} été.csv", "ls -l", "pwd")
    assert "curve.csv" in said
    assert f"{len(CURVE)}" in said
    assert "Remote working directory: /" in said
    assert dropbox.contents(login) == {"curve.csv": CURVE, "été.csv": CURVE}


@needs("sftp")
async def test_sftp_resumes_where_it_was_cut(dropbox: DropRig, login: Login, curve: Path, tmp_path: Path) -> None:
    async with dropbox.connected(login) as connection:
        client = await connection.start_sftp_client()
        half = await client.open("curve.csv", "wb")
        await half.write(CURVE[:200])
        connection.abort()
    said = await sftp(dropbox, login, f"reput {curve}", "ls -l")
    assert "curve.csv" in said
    assert dropbox.contents(login) == {"curve.csv": CURVE}


@needs("sftp")
async def test_sftp_renames_in_two_steps(dropbox: DropRig, login: Login, curve: Path) -> None:
    await sftp(dropbox, login, f"put {curve} curve.csv.tmp")
    assert dropbox.contents(login) == {}
    await sftp(dropbox, login, "rename curve.csv.tmp curve.csv")
    assert dropbox.contents(login) == {"curve.csv": CURVE}


@needs("sftp")
async def test_sftp_is_refused_all_else_in_words(dropbox: DropRig, login: Login, curve: Path, tmp_path: Path) -> None:
    (tmp_path / "back").mkdir()
    said = await sftp(
        dropbox, login, f"put {curve}", f"-get curve.csv {tmp_path}/back/", "-ln curve.csv other.csv",
        "-symlink /etc/passwd x", "-chmod 777 curve.csv", "-chown 0 curve.csv", "-rm curve.csv", "-mkdir sub", "-rmdir sub",
        "-rename curve.csv ../x.csv", f"-put {curve} ../../x.csv", f"-put {curve} sub/x.csv", "-cd /etc", "-ls /etc",
        "-get /etc/passwd", "-df", "ls -la",
    )  # fmt: skip
    assert list((tmp_path / "back").iterdir()) == []
    assert "files can be put here, not read back / on dépose des fichiers ici" in said
    assert "no links here" in said or "not support" in said
    assert "rights, owners and sizes cannot be set here" in said
    assert "this file was received: it stays" in said
    assert "no folders can be made here" in said
    assert "passwd" not in said.split("ls -la")[-1]
    assert dropbox.contents(login) == {"curve.csv": CURVE}
    assert {path.name for path in dropbox.folder.iterdir()} == {login.device}


@needs("sftp")
async def test_sftp_finds_the_folders_that_loggers_insist_on(dropbox: DropRig, login: Login, curve: Path) -> None:
    said = await sftp(
        dropbox, login, "cd /DATA", "-mkdir /data", f"put {curve}", "pwd", "ls", f"put {curve} /log/x.csv", "ls /"
    )
    assert "Remote working directory: /DATA" in said
    assert [(each.prefix, each.name) for each in dropbox.waiting(login)] == [("DATA", "curve.csv"), ("LOG", "x.csv")]


@needs("scp")
@pytest.mark.parametrize("mode", [[], ["-O"]])
async def test_scp_puts(dropbox: DropRig, login: Login, curve: Path, mode: list[str]) -> None:
    target = f"{login.device}@{LOOPBACK}"
    scp = ["scp", *mode, *options(dropbox, login), "-P", str(dropbox.port)]
    other = curve.with_name("other one.csv")
    other.write_bytes(CURVE * 2_000)
    assert (await run(*scp, "-p", curve, other, f"{target}:"))[0] == 0
    assert (await run(*scp, curve, f"{target}:/DATA/final.csv"))[0] == 0
    assert dropbox.contents(login) == {"curve.csv": CURVE, "other one.csv": CURVE * 2_000, "final.csv": CURVE}
    status, said = await run(*scp, f"{target}:curve.csv", curve.with_name("back.csv"))
    assert status != 0
    assert "not read back" in said
    status, said = await run(*scp, "-r", curve.parent, f"{target}:")
    assert status != 0
    assert "no folders can be made here" in said
    status, said = await run(*scp, curve, f"{target}:../x.csv")
    assert status != 0
    assert len(dropbox.waiting(login)) == 3


@needs("rsync")
async def test_rsync_is_told_what_works(dropbox: DropRig, login: Login, curve: Path) -> None:
    ssh = " ".join(["ssh", "-p", str(dropbox.port), *options(dropbox, login)])
    status, said = await run("rsync", "-e", ssh, curve, f"{login.device}@{LOOPBACK}:")
    assert status != 0
    assert "only sftp and scp work here" in said
    assert dropbox.waiting(login) == []


@needs("ssh")
async def test_a_shell_is_told_what_works(dropbox: DropRig, login: Login) -> None:
    ssh = ["ssh", *options(dropbox, login), "-p", str(dropbox.port)]
    for command in ([], ["id"]):
        status, said = await run(*ssh, f"{login.device}@{LOOPBACK}", *command)
        assert status == 1
        assert "SolarPerform" in said
    status, said = await run(*ssh, "-W", f"{LOOPBACK}:{dropbox.database.owner.port}", f"{login.device}@{LOOPBACK}")
    assert status != 0
    assert "forwarding" in said


@needs("lftp")
async def test_lftp_puts_and_resumes(dropbox: DropRig, login: Login, curve: Path) -> None:
    large = curve.with_name("large.csv")
    large.write_bytes(CURVE * 500)
    ssh = " ".join(["ssh", "-a", "-x", *options(dropbox, login)])
    script = (
        f"set sftp:connect-program '{ssh}'; set net:max-retries 1; set cmd:fail-exit yes;"
        f" open -u {login.device},x -p {dropbox.port} sftp://{LOOPBACK};"
        f" put {curve}; cd DATA; put -c {large}; mput {curve}; ls; cd ..; ls"
    )
    status, said = await run("lftp", "-c", script)
    assert status == 0, said
    assert dropbox.contents(login) == {"curve.csv": CURVE, "large.csv": CURVE * 500}
    assert [each.prefix for each in dropbox.waiting(login)] == ["", "DATA", "DATA"]


async def test_paramiko_puts_and_appends(dropbox: DropRig, login: Login, curve: Path) -> None:
    def talk() -> list[str]:
        client = paramiko.SSHClient()
        client.load_host_keys(str(dropbox.known_hosts))
        client.connect(
            LOOPBACK, dropbox.port, login.device, login.password, look_for_keys=False, allow_agent=False, timeout=60
        )
        with client, client.open_sftp() as box:
            assert box.put(str(curve), "day.csv").st_size == len(CURVE)
            with box.open("day.csv", "a") as day:
                day.write(b"more\n")
            with box.open("/data/x.csv.part", "w") as part:
                part.write(CURVE)
            box.rename("/data/x.csv.part", "/data/x.csv")
            with pytest.raises(OSError, match="not read back"):
                box.open("day.csv", "r")
            with pytest.raises(PermissionError):
                box.remove("day.csv")
            return box.listdir()

    assert await asyncio.to_thread(talk) == ["day.csv"]
    assert [each.path.read_bytes() for each in dropbox.waiting(login)] == [CURVE, CURVE + b"more\n", CURVE]
