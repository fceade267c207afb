"""Mosquitto as a child process: devices on one listener, the platform's own clients on another that devices cannot open."""

import os
import resource
import shutil
import signal
import subprocess
from pathlib import Path

import psutil

from actors import broker_home
from actors.broker_files import PID, replace
from actors.local.account import own_folder, service_account
from actors.local.debian import Unpacked, obtain
from actors.local.ports import LOOPBACK, free_port
from actors.local.process import wait_ready
from actors.local.spawn import explain_log, spawn, tail
from actors.local.texts import text
from fleet import limits
from fleet.errors import Unavailable

_ACCOUNTS = ("mosquitto", "nobody")
START_DEADLINE_S = 60.0  # takes tenths of a second; a machine may stand still meanwhile
STOP_DEADLINE_S = 20.0  # it writes its sessions and queues first
_SPARE_DESCRIPTORS = 200  # files, the internal listener, the platform's clients


class MosquittoServer:
    """start() … stop(); for fault tests kill(), then start() again, with or without wipe().

    folder         its own: configuration, copies of the keys it needs, sessions and queues
    pki            as `python -m certs` lays it out
    server_name    which certificate of pki/servers both listeners show
    device_port, internal_port   0 = a free one, chosen at start
    """

    name = "Mosquitto"

    def __init__(
        self,
        folder: Path,
        *,
        pki: Path,
        log_file: Path,
        device_port: int,
        internal_port: int,
        device_host: str = LOOPBACK,
        server_name: str = "localhost",
        queued_messages_max: int = limits.BROKER_QUEUED_MESSAGES_MAX,
    ) -> None:
        self.folder = folder
        self.log_file = log_file
        self.device_host = device_host
        self.device_port = device_port
        self.internal_port = internal_port
        self._pki = pki
        self._server_name = server_name
        self._queued_messages_max = queued_messages_max
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start_byte = 0

    @property
    def pid_file(self) -> Path:
        """There while it runs; written by the broker itself."""
        return self.folder.resolve() / PID

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Returns when both listeners are open. Raises Unavailable (broker_failed, broker_missing)."""
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Writes the configuration and starts the broker without waiting for it."""
        program = find()
        account = service_account(self.folder, _ACCOUNTS)
        home = own_folder(self.folder, account)
        self.device_port = self.device_port or free_port()
        self.internal_port = self.internal_port or free_port()
        descriptors = _descriptors()
        (home / PID).unlink(missing_ok=True)  # of one that was killed
        broker_home.lay_out(home, self._pki, self._server_name)
        replace(home / broker_home.CONFIGURATION, self._configuration(home, descriptors - _SPARE_DESCRIPTORS).encode())
        self._log_start_byte = self.log_file.stat().st_size if self.log_file.exists() else 0
        env = {**os.environ, **program.env}
        self._process = spawn(
            [program.path, "-c", home / broker_home.CONFIGURATION],
            log_file=self.log_file,
            account=account,
            env=env,
            descriptors=descriptors,
        )

    def ready(self) -> bool:
        """Looks at its sockets: a trial connection would stand in the log as a refused client."""
        if self._process is None or not self.running:
            return False
        try:
            connections = psutil.Process(self._process.pid).net_connections("tcp")
        except psutil.Error:
            return False
        listening = {connection.laddr.port for connection in connections if connection.status == psutil.CONN_LISTEN}
        return {self.device_port, self.internal_port} <= listening

    def wait_ready(self, deadline_s: float = START_DEADLINE_S) -> None:
        wait_ready(self, deadline_s)

    def reload(self) -> None:
        """Takes in renewed certificates and a changed ACL; connected clients stay."""
        if self._process is not None:
            broker_home.copy_keys(self.folder.resolve(), self._pki, self._server_name)
            self._process.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """With -9: what it had in memory since the last autosave is gone."""
        self._end(signal.SIGKILL)

    def wipe(self) -> None:
        """Forgets every session and queue. Only while stopped."""
        (self.folder / "mosquitto.db").unlink(missing_ok=True)

    def explain(self) -> str:
        if "Address already in use" in tail(self.log_file, since_byte=self._log_start_byte):
            return text("broker_port", device=self.device_port, internal=self.internal_port)
        return explain_log(self.log_file, self._log_start_byte)

    def _configuration(self, home: Path, devices_max: int) -> str:
        return broker_home.configuration(
            home,
            devices=(self.device_host, self.device_port),
            internal=(LOOPBACK, self.internal_port),
            devices_max=devices_max,
            queued_messages_max=self._queued_messages_max,
        )

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


def find() -> Unpacked:
    """Mosquitto from PATH or /usr/sbin, else from the distribution. Raises Unavailable (broker_missing)."""
    path = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin")
    if path is not None:
        return Unpacked(Path(path), {})
    found = obtain("mosquitto", "usr/sbin/mosquitto")
    if found is None:
        raise Unavailable(
            "broker_missing",
            "the MQTT broker Mosquitto is not installed; install it (apt install mosquitto) and start again",
        )
    return found


def version() -> str:
    """Such as "mosquitto version 2.0.18". Raises Unavailable (broker_missing)."""
    program = find()
    answer = subprocess.run(
        [program.path, "-h"], capture_output=True, text=True, env={**os.environ, **program.env}, check=False
    )
    return (answer.stdout or answer.stderr).partition("\n")[0].strip()


def _descriptors() -> int:
    """File descriptors for every device that we allow; where the machine sets a lower limit, that many."""
    wanted = limits.BROKER_DEVICES_MAX + _SPARE_DESCRIPTORS
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
