"""ssl contexts. The only module of this room that the long-running processes may import."""

import ssl
from pathlib import Path

from fleet.errors import BadInput


def client_context(*, ca_file: Path, cert_file: Path, key_file: Path) -> ssl.SSLContext:
    """For a client of the broker: verifies the server's chain and name, and shows its own certificate.

    Raises BadInput (bad_tls_files) naming the files.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(context, ca_file, cert_file, key_file)
    return context


def server_context(*, ca_file: Path, cert_file: Path, key_file: Path) -> ssl.SSLContext:
    """For a server that asks every client for a certificate below `ca_file`. Raises BadInput (bad_tls_files)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    _load(context, ca_file, cert_file, key_file)
    return context


def _load(context: ssl.SSLContext, ca_file: Path, cert_file: Path, key_file: Path) -> None:
    try:
        context.load_verify_locations(ca_file)
        context.load_cert_chain(cert_file, key_file)
    except (OSError, ssl.SSLError) as error:
        raise BadInput("bad_tls_files", f"{ca_file}, {cert_file}, {key_file}: {error}") from None
