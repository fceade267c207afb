"""Real OpenSSL handshakes in memory: who accepts whom."""

import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest

from certs import tls
from certs.authority import Pki
from fleet.errors import BadInput


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pki")
    now = datetime.now(UTC)
    pki = Pki.create(folder, now)
    pki.issue_device("inv-1", now)
    pki.issue_platform("sp-twins", now)
    pki.issue_server(["localhost"], ["127.0.0.1"], now)
    return folder


def server(folder: Path, trust: str, leaf: str = "servers/localhost") -> ssl.SSLContext:
    """Asks every client for a certificate below `trust`, as the broker's listeners do."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(folder / "trust" / f"{trust}.pem")
    context.load_cert_chain(folder / leaf / "chain.pem", folder / leaf / "key.pem")
    return context


def client(folder: Path, leaf: str, trust: str = "servers") -> ssl.SSLContext:
    return tls.client_context(
        ca_file=folder / "trust" / f"{trust}.pem", cert_file=folder / leaf / "chain.pem", key_file=folder / leaf / "key.pem"
    )


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, name: str = "localhost") -> None:
    """Raises ssl.SSLError as soon as either side refuses the other."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(8):  # more than any handshake takes
        for end in list(ends):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            ends.remove(end)
    assert not ends


@pytest.mark.parametrize(("trust", "leaf"), [("devices", "devices/inv-1"), ("platform", "platform/sp-twins")])
@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_each_listener_accepts_its_own_clients(folder: Path, trust: str, leaf: str, name: str) -> None:
    shake_hands(server(folder, trust), client(folder, leaf), name)


@pytest.mark.parametrize(
    ("trust", "leaf"),
    [
        ("devices", "platform/sp-twins"),
        ("devices", "servers/localhost"),
        ("platform", "devices/inv-1"),
        ("platform", "servers/localhost"),
        ("servers", "devices/inv-1"),
        ("servers", "platform/sp-twins"),
        ("servers", "servers/localhost"),
    ],
)
def test_no_listener_accepts_the_clients_of_another(folder: Path, trust: str, leaf: str) -> None:
    with pytest.raises(ssl.SSLError):
        shake_hands(server(folder, trust), client(folder, leaf))


@pytest.mark.parametrize("trust", ["servers", "devices"])
def test_a_device_cannot_play_the_server(folder: Path, trust: str) -> None:
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        shake_hands(server(folder, "devices", "devices/inv-1"), client(folder, "devices/inv-1", trust), "inv-1")


def test_a_server_of_another_name_is_refused(folder: Path) -> None:
    with pytest.raises(ssl.SSLError, match="match"):
        shake_hands(server(folder, "devices"), client(folder, "devices/inv-1"), "elsewhere.example")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"nobody\.pem"):
        tls.client_context(ca_file=tmp_path / "nobody.pem", cert_file=tmp_path / "c", key_file=tmp_path / "k")
