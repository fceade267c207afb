"""What is in the way is one sentence, and nothing is left running: not after a refusal, a signal half way, or a kill."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from actors.local.layout import Layout
from actors.local.ports import free_port
from actors.local.postgres import PostgresServer
from fleet.errors import Unavailable
from tests.servers import server_folder

DEADLINE_S = 120.0
PORTS = ("port", "mqtt_port", "est_port", "sftp_port")


@pytest.fixture
def folder() -> Iterator[Path]:
    with server_folder("launcher") as made:
        yield made / "data"


def launch(folder: Path, *more: str, **ports_taken: int) -> "subprocess.Popen[str]":
    ports = [word for name in PORTS for word in (f"--{name.replace('_', '-')}", str(ports_taken.get(name) or free_port()))]
    return subprocess.Popen(
        [sys.executable, "-m", "actors.local.cli", "up", "--data-dir", folder, *ports, *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "LC_ALL": "C.UTF-8", "SOLARPERFORM_SKIP_ASSETS": "1"},
    )


def refusal(launcher: "subprocess.Popen[str]") -> str:
    said, _ = launcher.communicate(timeout=DEADLINE_S)
    assert launcher.returncode == 1
    assert "Traceback" not in said
    return next(line for line in said.splitlines() if line.startswith("solarperform:"))


def wait_for_line(launcher: "subprocess.Popen[str]", part: str) -> None:
    assert launcher.stdout is not None
    for line in launcher.stdout:
        if part in line:
            return
    pytest.fail(f"the launcher ended without saying {part!r}")


def left_of(folder: Path) -> list[psutil.Process]:
    """Processes that name the folder."""
    everyone = (process for process in psutil.process_iter(["cmdline"]) if process.pid != os.getpid())
    return [process for process in everyone if any(str(folder) in word for word in process.info["cmdline"] or ())]


def wait_until_nothing_is_left_of(folder: Path) -> None:
    give_up_at = time.monotonic() + DEADLINE_S
    while left := left_of(folder):
        assert time.monotonic() < give_up_at, left
        psutil.wait_procs(left, timeout=0.5)


@pytest.mark.parametrize("option", PORTS)
def test_a_busy_port_is_named_and_a_free_one_offered(folder: Path, option: str) -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        sentence = refusal(launch(folder, **{option: port}))
    assert f"Port {port} is taken by" in sentence
    assert f"({os.getpid()})" in sentence
    assert f"try --{option.replace('_', '-')} " in sentence
    assert left_of(folder) == []


@pytest.mark.parametrize("option", ["--host", "--device-host"])
@pytest.mark.parametrize("host", ["192.0.2.1", "0.0.0.0", "nobody.invalid"])  # noqa: S104 - to be refused
def test_a_host_that_is_not_this_machine_is_named(folder: Path, option: str, host: str) -> None:
    assert f"{option} {host}: not an IPv4 address of this machine" in refusal(launch(folder, option, host))
    assert left_of(folder) == []


def test_a_demonstration_s_data_is_not_served_to_the_network(folder: Path) -> None:
    layout = Layout(folder)
    layout.make()
    layout.plan.write_text("{}")
    assert "whose passwords everyone knows" in refusal(launch(folder, "--host", "127.0.0.2"))


def test_a_second_instance_on_the_same_data_is_refused(folder: Path) -> None:
    layout = Layout(folder)
    layout.make()
    with layout.locked():
        sentence = refusal(launch(folder))
    assert f"already runs on {folder} (process {os.getpid()})" in sentence


def test_a_file_in_the_folder_s_place(folder: Path) -> None:
    folder.touch()
    assert "is a file" in refusal(launch(folder))


@pytest.mark.skipif(sys.platform != "linux", reason="needs a folder in which even root may not write")
def test_a_folder_that_may_not_be_written() -> None:
    sentence = refusal(launch(Path("/sys/solarperform")))
    assert "/sys/solarperform cannot be written to" in sentence
    assert "--data-dir" in sentence


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_half_way_leaves_nothing(folder: Path, how: signal.Signals) -> None:
    launcher = launch(folder)
    wait_for_line(launcher, "✓ PostgreSQL")
    launcher.send_signal(how)
    launcher.communicate(timeout=DEADLINE_S)
    assert launcher.returncode == 130
    assert left_of(folder) == []
    assert not (folder / "ready.json").exists()


def test_after_a_kill_the_next_start_takes_over(folder: Path) -> None:
    killed = launch(folder)
    wait_for_line(killed, "✓ PostgreSQL")
    killed.kill()
    killed.communicate()
    heir = launch(folder)
    wait_for_line(heir, "✓ PostgreSQL")
    heir.terminate()
    heir.communicate(timeout=DEADLINE_S)
    assert heir.returncode == 130
    wait_until_nothing_is_left_of(folder)


def test_a_stale_lock_is_taken_over(folder: Path) -> None:
    layout = Layout(folder)
    layout.make()
    (folder / "lock").write_text("999999\n")
    with layout.locked():
        assert (folder / "lock").read_text() == f"{os.getpid()}\n"
    with (folder / "lock").open("r+") as free_again:
        fcntl.flock(free_again, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_secrets_are_made_once_and_for_us_alone(folder: Path) -> None:
    layout = Layout(folder)
    layout.make()
    layout.make_secrets()
    first = {file.name: file.read_text() for file in layout.secrets.iterdir()}
    layout.make_secrets()
    assert {file.name: file.read_text() for file in layout.secrets.iterdir()} == first
    for ours in (layout.secrets, layout.dropbox, layout.intake, layout.mail, layout.logs):
        assert ours.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in layout.secrets.iterdir()} == {0o600}


@pytest.fixture
def small_disk() -> Iterator[Path]:
    with server_folder("small-disk") as mount:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=24m,mode=0755", "tmpfs", mount], capture_output=True, check=False
        )
        if mounted.returncode != 0:
            pytest.skip("may not mount a small disk here")
        try:
            yield mount
        finally:
            subprocess.run(["umount", mount], check=True)


def test_a_full_disk_is_named_before_the_start(small_disk: Path) -> None:
    sentence = refusal(launch(small_disk / "data"))
    assert f"The disk that holds {small_disk}/data is full" in sentence
    assert "free some space" in sentence


def test_a_disk_that_fills_up_under_postgresql_is_named(small_disk: Path, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret")
    server = PostgresServer(small_disk / "postgres", port=0, password_file=tmp_path / "password", log_file=tmp_path / "log")
    with pytest.raises(Unavailable, match="is full"):
        server.start()
    assert not server.running
