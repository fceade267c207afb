"""Where everything of one installation lives, its secrets, and the lock that keeps it to one launcher."""

import fcntl
import getpass
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from actors.local.postgres import SUPERUSER
from actors.local.texts import text
from fleet.errors import Conflict, Unavailable
from fleet.storage import pull_secrets
from fleet.storage.migrate import SERVICE_ROLES


class Layout:
    """The data folder. Everything below it is the platform's; only ready.json is meant for others."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.secrets = self.folder / "secrets"
        self.settings = self.folder / "settings"
        self.logs = self.folder / "logs"
        self.run = self.folder / "run"
        self.postgres = self.folder / "postgres"
        self.broker = self.folder / "broker"
        self.pki = self.folder / "pki"
        self.simulator = self.folder / "simulator"
        self.history = self.folder / "history"
        self.mail = self.folder / "mail"
        self.dropbox = self.folder / "dropbox"
        self.intake = self.folder / "intake"
        self.agent = self.folder / "agent"  # of whoever plays a device on this machine
        self.plan = self.folder / "plan.json"
        self.ready_file = self.folder / "ready.json"
        self.record = self.run / "processes.json"
        self.setup_token = self.secrets / "setup_token"
        self.sftp_host_key = self.secrets / "sftp_host_key"
        self.demo_logins = self.secrets / "demo_logins.json"

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def secret(self, name: str) -> Path:
        return self.secrets / name

    def make(self) -> None:
        """The folders. Raises Unavailable (no_permission, not_a_folder)."""
        try:
            for folder in (self.folder, self.settings, self.run):
                folder.mkdir(parents=True, exist_ok=True)
            for ours in (self.secrets, self.dropbox, self.intake, self.mail, self.logs):  # whoever else is on this machine
                ours.mkdir(mode=0o700, exist_ok=True)
                ours.chmod(0o700)
            (self.folder / "lock").touch()
        except (FileExistsError, NotADirectoryError):
            raise Unavailable("not_a_folder", text("not_a_folder", folder=self.folder)) from None
        except PermissionError:
            raise Unavailable("no_permission", text("no_permission", folder=self.folder, user=getpass.getuser())) from None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """The kernel holds the lock for as long as we live, so a stale one cannot be. Raises Conflict (another_instance)."""
        with (self.folder / "lock").open("r+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                pid = lock.read().strip() or "?"
                raise Conflict("another_instance", text("another_instance", folder=self.folder, pid=pid)) from None
            lock.truncate()
            lock.write(f"{os.getpid()}\n")
            lock.flush()
            yield

    def make_secrets(self) -> None:
        """Each one once; what exists stays."""
        for name in (SUPERUSER, *SERVICE_ROLES, "ray_token"):
            keep_secret(self.secret(name), secrets.token_hex(32))
        keep_secret(self.secret("pull_key"), pull_secrets.make_key())
        key = Ed25519PrivateKey.generate()
        keep_secret(
            self.secret("jwt_key.pem"), key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        )


def keep_secret(file: Path, content: str) -> None:
    """Writes a file that only we can read, unless it is there already; whole or not at all."""
    if file.exists():
        return
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    fresh.touch(mode=0o600)
    fresh.write_text(content)
    fresh.rename(file)
