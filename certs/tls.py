"""ssl contexts. The only module of this room that the long-running processes may import."""

import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509

from fleet.errors import BadInput, Unavailable
from fleet.settings import BrokerSettings

# What OpenSSL says of a connection that did not come about → code, and what to do about it.
_FAULTS: Final = (
    (
        "certificate has expired",
        "broker_certificate_expired",
        "the broker's server certificate has ended; the authority renews it and the guard brings it: look at their logs",
    ),
    (
        "certificate is not yet valid",
        "broker_certificate_early",
        "the broker's server certificate begins in the future; set the clocks by NTP",
    ),
    (
        "mismatch",
        "broker_name_wrong",
        "its certificate is for another name; name the broker as its certificate does, or issue one for this name",
    ),
    (
        "CERTIFICATE_VERIFY_FAILED",
        "broker_unknown",
        "its certificate is of another authority than our trust anchor; is the volume of keys of this installation?",
    ),
    (
        "ALERT",
        "broker_refuses_us",
        "it does not take our client certificate; is it of this installation's authority, and of the platform's?",
    ),
)


def client_context(*, ca_file: Path, cert_file: Path, key_file: Path) -> ssl.SSLContext:
    """For a client of the broker: verifies the server's chain and name, and shows its own certificate.

    Raises BadInput (bad_tls_files) naming the files.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(context, ca_file, cert_file, key_file)
    return context


def broker_context(broker: BrokerSettings) -> ssl.SSLContext:
    """For the broker's internal listener, to be made anew for each connection: then a renewed certificate is used.

    Raises BadInput (bad_tls_files, certificate_expired, certificate_early): what the broker would only answer by hanging up.
    """
    context = client_context(ca_file=broker.ca_file, cert_file=broker.cert_file, key_file=broker.key_file)
    require_in_force(broker.cert_file, datetime.now(UTC))
    return context


def require_in_force(cert_file: Path, now: datetime) -> None:
    """By the leaf's own dates. Raises BadInput (bad_tls_files, certificate_expired, certificate_early)."""
    try:
        leaf = x509.load_pem_x509_certificate(cert_file.read_bytes())
    except (OSError, ValueError) as error:
        raise BadInput("bad_tls_files", f"{cert_file}: {error}") from None
    form = "%Y-%m-%d %H:%M UTC"
    if leaf.not_valid_after_utc <= now:
        raise BadInput(
            "certificate_expired",
            f"{cert_file} ended on {leaf.not_valid_after_utc:{form}}; the authority renews it while it runs:"
            " run the job that makes the keys (`init-pki`) again, then restart",
        )
    if leaf.not_valid_before_utc > now:
        raise BadInput(
            "certificate_early",
            f"{cert_file} begins on {leaf.not_valid_before_utc:{form}}, and this clock says {now:{form}};"
            " set the clock by NTP (timedatectl set-ntp true)",
        )


def broker_fault(broker: BrokerSettings, error: BaseException | str) -> Unavailable:
    """Of a connection that did not come about: code, what was said, and what to do."""
    said = str(error) or type(error).__name__
    where = f"the broker at {broker.host}:{broker.port}"
    for sign, code, hint in _FAULTS:
        if sign in said:
            return Unavailable(code, f"{where} is not trusted: {said}; {hint}")
    return Unavailable("broker_away", f"{where} does not answer: {said}")


def _load(context: ssl.SSLContext, ca_file: Path, cert_file: Path, key_file: Path) -> None:
    try:
        context.load_verify_locations(ca_file)
        context.load_cert_chain(cert_file, key_file)
    except (OSError, ssl.SSLError) as error:
        raise BadInput("bad_tls_files", f"{ca_file}, {cert_file}, {key_file}: {error}") from None
