"""The broker's own folder as it has to be before Mosquitto starts, on one machine and in an image alike.

No `per_listener_settings`: 2.0.12 to 2.0.18 lose persistent sessions with it. Nothing here needs it.
"""

from pathlib import Path
from typing import Final

from actors.broker_files import ACL, CRL, DENIED, PID, Denied, acl, content_of, crl_readable, replace
from fleet import limits

CONFIGURATION: Final = "mosquitto.conf"


def lay_out(home: Path, pki: Path, server_name: str) -> None:
    """Keys, revocation list and access list; what the guard wrote there stays in force. pki: as `python -m certs` does it.

    server_name: which certificate of pki/servers both listeners show.
    """
    copy_keys(home, pki, server_name)
    replace(home / ACL, acl(_denied(home, pki)).encode())


def copy_keys(home: Path, pki: Path, server_name: str) -> None:
    """The PKI folder belongs to us alone; the broker gets what it needs and nothing else."""
    server = pki / "servers" / server_name
    trust = pki / "trust"
    for source, name in (
        (trust / "devices.pem", "devices.pem"),
        (trust / "platform.pem", "platform.pem"),
        (server / "chain.pem", "chain.pem"),
        (server / "key.pem", "key.pem"),
    ):
        replace(home / name, source.read_bytes())


def configuration(
    home: Path,
    *,
    devices: tuple[str, int],
    internal: tuple[str, int],
    devices_max: int,
    queued_messages_max: int,
    data: Path | None = None,
) -> str:
    """mosquitto.conf. (host, port) of each listener; data: where sessions and queues are kept, None: with the rest."""
    return f"""\
# Written at each start; changes here are lost.
allow_anonymous false
acl_file {home}/{ACL}
pid_file {home}/{PID}
retain_available false
max_packet_size {limits.PAYLOAD_BYTES_MAX + limits.BROKER_PACKET_HEADROOM_BYTES}
max_inflight_messages {limits.INFLIGHT_MESSAGES_MAX}
max_queued_messages {queued_messages_max}
max_queued_bytes {limits.BROKER_QUEUED_BYTES_MAX}
set_tcp_nodelay true
persistence true
persistence_location {data or home}/
autosave_interval {limits.BROKER_AUTOSAVE_S}
log_dest stderr
log_type error
log_type warning
log_type notice
log_type information
connection_messages true
log_timestamp_format %Y-%m-%dT%H:%M:%S

listener {devices[1]} {devices[0]}
max_connections {devices_max}
tls_version tlsv1.2
cafile {home}/devices.pem
crlfile {home}/{CRL}
certfile {home}/chain.pem
keyfile {home}/key.pem
require_certificate true
use_identity_as_username true
use_username_as_clientid true

# The platform's client ids are fixed per shard, so they are not the user name here.
listener {internal[1]} {internal[0]}
tls_version tlsv1.2
cafile {home}/platform.pem
certfile {home}/chain.pem
keyfile {home}/key.pem
require_certificate true
use_identity_as_username true
"""


def _denied(home: Path, pki: Path) -> Denied:
    """Whom the guard has denied, so that no start of the broker forgets it.

    The guard puts the revocation list there. At the very first start it is the one that the PKI was made with. Where a
    list was lost, that one is too old to trust: the broker starts with it, and closed, until the guard has seen to it.
    """
    denied = Denied.read(home)
    if crl_readable(content_of(home / CRL)):
        return denied
    lost = (home / CRL).exists() or (home / DENIED).exists()
    replace(home / CRL, (pki / "trust" / "devices.crl.pem").read_bytes())
    if lost:
        denied = Denied(denied.devices, closed=True)
        replace(home / DENIED, denied.text().encode())
    return denied
