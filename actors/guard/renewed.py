"""The broker's copies of certificates, renewed when their originals were."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from actors.broker_files import content_of

log = structlog.get_logger("guard")

_SERVER: Final = ("chain.pem", "key.pem")
_ANCHORS: Final = ("devices.pem", "platform.pem")


def renewed(pki: Path, server_name: str, home: Path) -> dict[str, bytes]:
    """What the broker's folder should have in place of what it has; by file name.

    Key and chain go together or not at all: while they are being renewed one may be new and the other old, and a broker with
    such a pair serves nobody.
    """
    found: dict[str, bytes] = {}
    server = {name: content_of(pki / "servers" / server_name / name) for name in _SERVER}
    if any(content is not None and content != content_of(home / name) for name, content in server.items()):
        chain, key = server["chain.pem"], server["key.pem"]
        if chain is not None and key is not None and _fit(chain, key):
            found |= {"chain.pem": chain, "key.pem": key}
    for name in _ANCHORS:
        anchor = content_of(pki / "trust" / name)
        if anchor is not None and anchor != content_of(home / name) and _is_certificate(anchor):
            found[name] = anchor
    if found:
        log.info("broker_certificates_renewed", files=sorted(found))
    return found


def _fit(chain: bytes, key: bytes) -> bool:
    try:
        leaf = x509.load_pem_x509_certificates(chain)[0]
        fits = leaf.public_key() == load_pem_private_key(key, None).public_key()
    except (ValueError, TypeError):
        return False
    return fits and leaf.not_valid_before_utc <= datetime.now(UTC) < leaf.not_valid_after_utc


def _is_certificate(pem: bytes) -> bool:
    try:
        return bool(x509.load_pem_x509_certificates(pem))
    except ValueError:
        return False
