"""What each process is told at its start: one JSON file per process, read once, at its start.

Secrets are never in it: it names files that hold them. A text may hold ${NAME} or ${NAME:-otherwise}, which the environment
fills in: so the same files serve every installation made from images.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import msgspec

from fleet.errors import BadInput
from fleet.file_limits import DROP_DISK_FREE_MIN_BYTES

S = TypeVar("S", bound=msgspec.Struct)

EVERY_PROXY: Final = "*"
_VARIABLE: Final = re.compile(r"\$\{([A-Z][A-Z0-9_]*)(?::-([^}]*))?\}")


class DatabaseSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    host: str
    port: int
    name: str
    user: str
    password_file: Path


class BrokerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The broker's internal listener, and the platform certificate that opens it."""

    host: str
    port: int
    ca_file: Path
    cert_file: Path
    key_file: Path


class MetricsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a process that serves no HTTP of its own tells its figures, without a sign-in. Among containers host is the name
    that it has on the network of Prometheus, and there only: on its other networks the port stays shut.
    """

    port: int
    host: str = "127.0.0.1"


class TracingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """OpenTelemetry traces; needs the extra `otel`.

    endpoint      of a collector that takes OTLP over HTTP, such as http://collector:4318/v1/traces
    sample_ratio  of the messages and requests that are followed, 0 to 1
    """

    endpoint: str
    sample_ratio: float = 0.001


class RaySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """address_file is written by the twins' process once Ray listens, and read by those who ask.

    cluster  "host:port" of the head of a Ray cluster in which every process is a node; address_file says nothing then.
             None: the twins' process starts a Ray for this machine alone
    node_address  this process's own in the cluster's network; None: the one from which the head is reached
    first_port    of the hundred that its node listens on; see actors.cluster.node_command
    """

    address_file: Path
    token_file: Path
    temp_dir: Path
    object_store_bytes: int = 80 * 1024 * 1024  # Ray's minimum is 75 MiB; nothing large passes through it
    cluster: str | None = None
    node_address: str | None = None
    first_port: int = 6400


class RedisSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the head of a Ray cluster keeps what it knows, so that another head can go on with it."""

    host: str
    port: int
    password_file: Path


class NodeSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A node of a Ray cluster. ray.cluster is needed.

    shards_max  how many shards a worker may hold; all of them, if it is to carry on alone
    redis       the head's memory; None: the cluster does not survive its head
    """

    ray: RaySettings
    shards_max: int = 4
    redis: RedisSettings | None = None


class TwinsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    shards: int
    database: DatabaseSettings
    broker: BrokerSettings
    ray: RaySettings
    broker_log_file: Path | None = None  # where Mosquitto writes what it refused and dropped
    tracing: TracingSettings | None = None
    metrics: MetricsSettings | None = None  # of the keeper of a cluster's shards; the shards' own are told by the web


class WebSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """public_url: what people type; its host is allowed, its scheme decides whether cookies are Secure.

    demo_logins_file  in demo mode only; its logins are offered on the log-in page
    setup_token_file  the one-time token that makes the first administrator; deleted when it was used
    trusted_proxies   whose X-Forwarded-For is believed: see web.proxies; EVERY_PROXY: anybody's
    allowed_hosts     further names that requests may ask for, such as the service's name among containers
    est_url           where devices enrol, as the installer's screen shows it; est_ca_file: its trust anchor
    intake_folder     shared with the importer: uploads/ takes what people send, originals/ holds every file as it came
    sftp_public_host, sftp_port, sftp_host_key_file   the drop box, as a logger is told of it; the file: its public host keys
    pull_key_file     seals what opens customers' servers; the importer is told of the same
    pull_networks     private networks where such servers may stand all the same
    """

    host: str
    port: int
    public_url: str
    database: DatabaseSettings
    broker: BrokerSettings
    ray: RaySettings
    jwt_key_file: Path
    demo_logins_file: Path | None = None
    setup_token_file: Path | None = None
    trusted_proxies: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    est_url: str | None = None
    est_ca_file: Path | None = None
    intake_folder: Path | None = None
    sftp_public_host: str | None = None
    sftp_port: int | None = None
    sftp_host_key_file: Path | None = None
    pull_key_file: Path | None = None
    pull_networks: tuple[str, ...] = ()
    tracing: TracingSettings | None = None


class PkiSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The certificate authority's process: the only one that is told where the devices' signing key lies.

    folder       as `python -m certs init` lays it out
    host, port   where enrolment (EST) listens, with TLS; server_name: which certificate of folder/servers it shows
    public_url   what devices are told to call it by
    mqtt_host, mqtt_port   where an enrolled device is told to publish
    """

    folder: Path
    host: str
    port: int
    server_name: str
    public_url: str
    mqtt_host: str
    mqtt_port: int
    database: DatabaseSettings
    ready_file: Path
    metrics: MetricsSettings | None = None


class GuardSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The process beside the broker that lets revocation take effect, and proves it.

    broker_folder  the broker's own: crl.pem, acl, denied, its copies of keys
    pid_file       the broker's, for SIGHUP; None: it runs in a container of its own, under deploy/broker/run.sh
    pki            whence the broker's server certificate and trust anchors are copied when they were renewed
    server_name    which certificate of pki/servers that is
    device_host, device_port   the devices' listener, which the canary tries
    """

    database: DatabaseSettings
    broker: BrokerSettings
    broker_folder: Path
    pki: Path
    server_name: str
    device_host: str
    device_port: int
    ready_file: Path
    pid_file: Path | None = None
    metrics: MetricsSettings | None = None


class SftpSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The drop box: where loggers put files.

    port           0: a free one. ready_file tells which: {"port":…, "legacy_port":…, "host_key":"ssh-ed25519 …"}
    legacy_port    a second listener with older algorithms, for accounts that are marked for it; None: there is none
    folder         of the boxes; the importer takes files out of it (actors/dropbox/box.py)
    host_key_file  made at the first start and kept; <host_key_file>.pub is for those who pin it
    """

    host: str
    port: int
    folder: Path
    host_key_file: Path
    database: DatabaseSettings
    ready_file: Path
    legacy_port: int | None = None
    disk_free_min_bytes: int = DROP_DISK_FREE_MIN_BYTES
    metrics: MetricsSettings | None = None


class SmtpSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """security: how the connection is kept secret; 'none' only towards a relay on this machine."""

    host: str
    port: int
    sender: str
    security: Literal["tls", "starttls", "none"] = "starttls"
    user: str | None = None
    password_file: Path | None = None


class NotifierSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """smtp None: mail is written to mail_folder as .eml files, for a machine without a mail server."""

    database: DatabaseSettings
    mail_folder: Path
    ready_file: Path
    smtp: SmtpSettings | None = None
    metrics: MetricsSettings | None = None


class ImporterSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """intake_folder: originals, spools, and what was uploaded by hand. dropbox_folder: the SFTP drop box's.

    pull_key_file: opens the secrets of customers' own servers (Fernet); made at the first start.
    pull_networks: private networks that may be fetched from, such as '10.20.0.0/16'; the Internet always may
    public_url: of the portal, for links in e-mail
    """

    database: DatabaseSettings
    ray: RaySettings
    intake_folder: Path
    dropbox_folder: Path
    pull_key_file: Path
    public_url: str
    ready_file: Path
    pull_networks: tuple[str, ...] = ()
    metrics: MetricsSettings | None = None


class RolloutsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """public_url: of the portal, for links in e-mail."""

    database: DatabaseSettings
    ray: RaySettings
    public_url: str
    ready_file: Path
    metrics: MetricsSettings | None = None


class MigrateSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The job that brings the database to this release's schema, as its owner.

    passwords_folder   one file per service role
    public_url         of the portal, for the link that makes the first administrator
    setup_token_file   shared with the web process
    snapshots_folder   of the database as it was before a new schema, and their key; None: there are none
    """

    database: DatabaseSettings
    passwords_folder: Path
    public_url: str
    setup_token_file: Path
    snapshots_folder: Path | None = None


class DemoSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The job that makes the demonstration's fleet and its past.

    folder    of its own, shared with the simulator
    database  as its owner; twins: the settings file of the twins' process
    """

    sites: int
    folder: Path
    pki: Path
    dropbox_folder: Path
    database: DatabaseSettings
    twins: Path


class KeptFolder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A folder (or a single file) that a backup holds beside the database.

    first  copied before the database's view is taken: what leaves it goes into the database; the others are copied after it
    bulky  original files and boxes: not in the snapshot before an upgrade
    skip   names of files and folders directly below it that are not kept
    leave  names that a restore does not write: what there is stays
    made_anew  the first start fills it, so a restore into an empty database moves that aside first
    """

    name: str
    path: Path
    first: bool = False
    bulky: bool = False
    skip: tuple[str, ...] = ()
    leave: tuple[str, ...] = ()
    made_anew: bool = False


class KeepingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """database: as its owner. passwords: the folder with a file per service role; a restored database takes those.

    folders    in the order in which they are copied
    originals  where original files lie, below one of them; pki: the authority's folder, which is one of them
    archives   where archives are written and pruned
    recipient  for whom they are sealed where a command does not say it: age keys, with commas between them
    """

    database: DatabaseSettings
    passwords: Path
    folders: tuple[KeptFolder, ...]
    originals: Path
    pki: Path
    archives: Path
    recipient: str | None = None


def load(path: Path, kind: type[S], environment: Mapping[str, str] = os.environ) -> S:
    """Raises BadInput (bad_settings) that names the file and the field, or the variable that is not set."""
    try:
        told = _filled_in(msgspec.json.decode(path.read_bytes()), environment)
        return msgspec.convert(told, kind, dec_hook=path_of, strict=False)  # not strict: a variable's number is a text
    except OSError as error:
        raise BadInput("bad_settings", f"{path} cannot be read: {error.strerror}") from None
    except KeyError as error:
        raise BadInput("bad_settings", f"{path} needs the environment variable {error.args[0]}, which is not set") from None
    except msgspec.DecodeError as error:
        raise BadInput("bad_settings", f"{path}: {error}") from None


def save(path: Path, settings: msgspec.Struct) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(settings, enc_hook=text_of), indent=2))


def _filled_in(told: Any, environment: Mapping[str, str]) -> Any:
    """Raises KeyError with the name of a variable that is not set and has no default. An empty one counts as not set.

    ${NAME:-} alone is null while nothing is set.
    """
    match told:
        case str():
            text = _VARIABLE.sub(lambda found: _value(found, environment), told)
            return text if text or not _VARIABLE.fullmatch(told) else None
        case list():
            return [_filled_in(each, environment) for each in told]
        case dict():
            return {key: _filled_in(value, environment) for key, value in told.items()}
        case _:
            return told


def _value(found: re.Match[str], environment: Mapping[str, str]) -> str:
    value = environment.get(found[1]) or found[2]
    if value is None:
        raise KeyError(found[1])
    return value


def text_of(value: object) -> str:
    """msgspec's enc_hook for paths."""
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError  # how msgspec is told that a hook does not know a type; it makes a clear error of it


def path_of(kind: type, value: object) -> Path:
    """msgspec's dec_hook for paths."""
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise NotImplementedError
