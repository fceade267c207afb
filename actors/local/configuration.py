"""What each process of the single machine is told: its settings, made anew at each start, and its environment."""

import os
import shutil
from hashlib import sha256
from pathlib import Path

import msgspec

from actors.local.layout import Layout
from actors.local.mosquitto import MosquittoServer
from actors.local.ports import LOOPBACK, is_ip_address
from actors.local.postgres import PostgresServer
from fleet.settings import (
    BrokerSettings,
    DatabaseSettings,
    GuardSettings,
    ImporterSettings,
    NotifierSettings,
    PkiSettings,
    RaySettings,
    RolloutsSettings,
    SftpSettings,
    SmtpSettings,
    TwinsSettings,
    WebSettings,
)

DATABASE = "solarperform"
SERVER_NAME = "localhost"
_RAY_PATH_CHARS_MAX = 30  # Ray puts sockets 70 characters below it, and a socket's path has at most 107


class Options(msgspec.Struct, frozen=True):
    """demo_sites: how many simulated ones; None = no demonstration.

    host         where the web server listens
    device_host  where devices reach the broker and enrol: both listen there, and their certificate names it
    est_port     where they enrol
    sftp_port    where data loggers put their files
    sftp_legacy_port  the same for loggers that know older algorithms only; None: there is no such listener
    pull_networks  private networks in which customers' SFTP servers may be fetched from
    smtp         the mail server; None = e-mail is written to a folder
    """

    folder: Path
    port: int
    mqtt_port: int
    demo_sites: int | None = None
    host: str = LOOPBACK
    device_host: str = LOOPBACK
    est_port: int = 8443
    smtp: SmtpSettings | None = None
    sftp_port: int = 2222
    pull_networks: tuple[str, ...] = ()
    sftp_legacy_port: int | None = None

    @property
    def url(self) -> str:
        return f"http://{_name_of(self.host)}:{self.port}"

    @property
    def device_name(self) -> str:
        """What devices call the broker."""
        return _name_of(self.device_host)

    @property
    def est_url(self) -> str:
        return f"https://{self.device_name}:{self.est_port}"

    def certificate_names(self) -> list[str]:
        """Of the server's certificate, as `python -m certs issue-server` takes them."""
        names = ["--name", SERVER_NAME, "--ip", LOOPBACK]
        if self.device_host != LOOPBACK:
            names += ["--ip" if is_ip_address(self.device_host) else "--name", self.device_host]
        return names


def _name_of(host: str) -> str:
    return SERVER_NAME if host == LOOPBACK else host


class Configuration:
    """Read after the servers were started: they choose their own ports."""

    def __init__(self, options: Options, layout: Layout, postgres: PostgresServer, broker: MosquittoServer) -> None:
        self._options = options
        self._layout = layout
        self._postgres = postgres
        self._broker = broker

    def database(self, user: str, name: str = DATABASE) -> DatabaseSettings:
        return DatabaseSettings(LOOPBACK, self._postgres.port, name, user, self._layout.secret(user))

    def twins(self) -> TwinsSettings:
        return TwinsSettings(
            shards=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
            database=self.database("sp_twins"),
            broker=self._internal("sp-twins"),
            ray=self._ray(),
            broker_log_file=self._broker.log_file,
        )

    def web(self) -> WebSettings:
        return WebSettings(
            host=self._options.host,
            port=self._options.port,
            public_url=self._options.url,
            database=self.database("sp_web"),
            broker=self._internal("sp-web"),
            ray=self._ray(),
            jwt_key_file=self._layout.secret("jwt_key.pem"),
            demo_logins_file=self._layout.demo_logins if self._options.demo_sites is not None else None,
            setup_token_file=self._layout.setup_token,
            est_url=self._options.est_url,
            est_ca_file=self._layout.pki / "trust" / "servers.pem",
            intake_folder=self._layout.intake,
            sftp_public_host=self._options.device_name,
            sftp_port=self._options.sftp_port,
            sftp_host_key_file=self._layout.sftp_host_key.with_name(f"{self._layout.sftp_host_key.name}.pub"),
            pull_key_file=self._layout.secret("pull_key"),
            pull_networks=self._options.pull_networks,
        )

    def pki(self) -> PkiSettings:
        return PkiSettings(
            folder=self._layout.pki,
            host=self._options.device_host,
            port=self._options.est_port,
            server_name=SERVER_NAME,
            public_url=self._options.est_url,
            mqtt_host=self._options.device_name,
            mqtt_port=self._broker.device_port,
            database=self.database("sp_pki"),
            ready_file=self._layout.run / "pki.ready",
        )

    def guard(self) -> GuardSettings:
        return GuardSettings(
            database=self.database("sp_guard"),
            broker=self._internal("sp-guard"),
            broker_folder=self._broker.folder.resolve(),
            pid_file=self._broker.pid_file,
            pki=self._layout.pki,
            server_name=SERVER_NAME,
            device_host=self._options.device_host,
            device_port=self._broker.device_port,
            ready_file=self._layout.run / "guard.ready",
        )

    def notifier(self) -> NotifierSettings:
        return NotifierSettings(
            database=self.database("sp_notifier"),
            mail_folder=self._layout.mail,
            ready_file=self._layout.run / "notifier.ready",
            smtp=self._options.smtp,
        )

    def sftp(self) -> SftpSettings:
        return SftpSettings(
            host=self._options.device_host,
            port=self._options.sftp_port,
            folder=self._layout.dropbox,
            host_key_file=self._layout.sftp_host_key,
            database=self.database("sp_sftp"),
            ready_file=self._layout.run / "sftp.ready",
            legacy_port=self._options.sftp_legacy_port,
        )

    def importer(self) -> ImporterSettings:
        return ImporterSettings(
            database=self.database("sp_importer"),
            ray=self._ray(),
            intake_folder=self._layout.intake,
            dropbox_folder=self._layout.dropbox,
            pull_key_file=self._layout.secret("pull_key"),
            public_url=self._options.url,
            ready_file=self._layout.run / "importer.ready",
            pull_networks=self._options.pull_networks,
        )

    def rollouts(self) -> RolloutsSettings:
        return RolloutsSettings(
            database=self.database("sp_rollouts"),
            ray=self._ray(),
            public_url=self._options.url,
            ready_file=self._layout.run / "rollouts.ready",
        )

    def _internal(self, name: str) -> BrokerSettings:
        pki = self._layout.pki
        own = pki / "platform" / name
        return BrokerSettings(
            SERVER_NAME, self._broker.internal_port, pki / "trust" / "servers.pem", own / "chain.pem", own / "key.pem"
        )

    def _ray(self) -> RaySettings:
        return RaySettings(
            self._layout.run / "ray.address", self._layout.secret("ray_token"), ray_folder(self._layout.folder)
        )


def ray_folder(folder: Path) -> Path:
    """Ray's own folder: below ours, unless its sockets' paths would become too long for the kernel."""
    if len(str(folder / "ray")) <= _RAY_PATH_CHARS_MAX:
        return folder / "ray"
    return Path("/tmp") / f"sp-{os.getuid()}-{sha256(str(folder).encode()).hexdigest()[:8]}"  # noqa: S108 - see fresh_ray_folder


def fresh_ray_folder(folder: Path) -> None:
    """Empty, ours, closed to others. Raises FileExistsError when a stranger has put something in its place."""
    ray = ray_folder(folder)
    shutil.rmtree(ray, ignore_errors=True)
    ray.mkdir(mode=0o700)


def ray_environment(layout: Layout) -> dict[str, str]:
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(layout.secret("ray_token")),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DEDUP_LOGS": "0",
    }
