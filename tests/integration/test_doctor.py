"""The doctor of an installation from images, with real servers that are well, ill, or not there."""

import asyncio
import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from actors.doctor import __main__ as doctor
from actors.doctor import database_checks, door_checks, probes
from actors.doctor.settings import DoctorSettings
from actors.local.ports import LOOPBACK, free_port
from certs import keys, last_list, profiles
from certs.authority import Pki as Authorities
from fleet import settings
from fleet.errors import FleetError
from fleet.storage.migrate import SERVICE_ROLES
from tests.drop_rig import DropRig
from tests.servers import Broker, Database, Pki, mosquitto_server, pki_folder, server_folder

NOW = datetime.now(UTC)


@pytest.fixture(autouse=True)
def _in_english(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the doctor was asked for another language before: it tells its whole process."""
    monkeypatch.setenv("LC_ALL", "C")


@pytest.fixture(autouse=True)
def _whatever_else_this_machine_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may stand still for a while, and have little memory left."""
    monkeypatch.setattr(probes, "_PATIENCE_S", 60.0)
    monkeypatch.setattr(database_checks, "_SKEW_WARN_S", 60.0)
    monkeypatch.setattr(door_checks, "_MEMORY_MIN_BYTES", 1)


class Refusing(BaseHTTPRequestHandler):
    """As the gateway answers who has no token; and one that forgot to."""

    answer = 401

    def do_GET(self) -> None:
        self.send_response(200 if self.path.startswith("/health") else self.answer)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Forgetful(Refusing):
    answer = 200


@contextmanager
def https(
    pki: Path, handler: type[BaseHTTPRequestHandler] = Refusing, own: tuple[Path, Path] | None = None
) -> Iterator[int]:
    """own: chain and key that are shown to who asks for a name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki / "servers" / "localhost" / "chain.pem", pki / "servers" / "localhost" / "key.pem")
    if own is not None:
        portal = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        portal.load_cert_chain(*own)

        def choose(tls: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
            if name is not None:
                tls.context = portal

        context.sni_callback = choose
    server = ThreadingHTTPServer((LOOPBACK, 0), handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def told(folder: Path, opens: Database, broker: Broker, **changed: Any) -> DoctorSettings:
    passwords = folder / "passwords"
    passwords.mkdir(exist_ok=True)
    for role in SERVICE_ROLES:
        (passwords / role).write_text(f"test-{role}")
    (folder / "backup-20261128T020000Z-0.1.0.tar.zst.age").touch()
    dead = free_port()
    whole = DoctorSettings(
        database=opens.sp_web,
        passwords_folder=passwords,
        broker=msgspec.structs.replace(broker.sp_web, host="localhost"),
        device_host="localhost",
        device_port=broker.device_port,
        gateway_host=LOOPBACK,
        gateway_port=dead,
        portal_host="localhost",
        sftp_host=LOOPBACK,
        sftp_port=dead,
        services={"web": f"http://{LOOPBACK}:{dead}/health/ready"},
        volumes=(folder, folder / "gone"),
        archives=folder,
    )
    return msgspec.structs.replace(whole, **changed)


def examined(folder: Path, told_of: DoctorSettings, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    file = folder / "doctor.json"
    settings.save(file, told_of)
    code = doctor.main(["--settings", str(file), *words])
    return code, capsys.readouterr().out


async def test_names_what_is_well_and_what_is_not(
    database: Database,
    broker_session: Broker,
    dropbox: DropRig,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with https(broker_session.pki.folder) as port:
        whole = told(tmp_path, database, broker_session, gateway_port=port, sftp_port=dropbox.ready.port)
        (whole.passwords_folder / "sp_guard").write_text("of another installation")
        (whole.passwords_folder / "sp_pki").unlink()
        code, out = await asyncio.to_thread(examined, tmp_path, whole, capsys, "--lang", "en", "--json")
    assert code == 1
    lines = {line["check"]: line for line in json.loads(out)}
    states = {name: line["state"] for name, line in lines.items()}
    for name in ("PostgreSQL and its schema", "clock against PostgreSQL's", "password of sp_web", "drop box (SFTP)",
                 "broker, the platform's listener", "broker, the devices' listener", "gateway",
                 "gateway, as browsers see it", "gateway, access tokens",
                 "revocations", "e-mail", "files of loggers", "memory", "backup"):  # fmt: skip
        assert states[name] == "ok", lines[name]
    assert states["mail server"] == "warning"
    for name, part in (
        ("password of sp_guard", "database_refused"),
        ("password of sp_pki", "bad_secret_file"),
        ("slots that shards hold", "0 of 256"),
        ("web", "docker compose logs web"),
        ("volume gone", "not mounted"),
    ):
        assert states[name] == "broken", lines[name]
        assert part in lines[name]["what"]


def test_speaks_french_and_ends_with_a_sum(
    database: Database,
    broker_session: Broker,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LC_ALL", "fr_FR.UTF-8")
    lost = msgspec.structs.replace(database.sp_web, port=free_port())
    code, out = examined(tmp_path, told(tmp_path, database, broker_session, database=lost), capsys)
    assert code == 1
    assert "✗ PostgreSQL et son schéma: PostgreSQL ne répond pas" in out
    assert "[database_away]" in out
    assert "✓ courtier, côté plateforme" in out
    assert "en panne" in out.splitlines()[-1]


def test_settings_that_are_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.main(["--settings", str(tmp_path / "none.json")]) == 1
    assert "bad_settings" in capsys.readouterr().err


def test_a_gateway_that_lets_everybody_in(
    database: Database, broker_session: Broker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with https(broker_session.pki.folder, Forgetful) as port:
        _, out = examined(tmp_path, told(tmp_path, database, broker_session, gateway_port=port), capsys, "--lang", "en")
    assert "✗ gateway, access tokens: a request without a token was answered 200 instead of 401" in out


def test_an_owners_certificate_that_has_ended(
    database: Database, broker_session: Broker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is shown to who asks for the portal's name; devices see another one."""
    authorities, key = Authorities(broker_session.pki.folder), keys.make()
    life = profiles.Life(4711, NOW - timedelta(days=90), NOW - timedelta(days=1))
    ended = authorities.servers.sign(profiles.SERVER, profiles.server(["localhost"], []), key.public_key(), life)
    keys.save(tmp_path / "own_key.pem", key)
    (tmp_path / "own_chain.pem").write_bytes(ended.public_bytes(Encoding.PEM))
    with https(broker_session.pki.folder, own=(tmp_path / "own_chain.pem", tmp_path / "own_key.pem")) as port:
        _, out = examined(tmp_path, told(tmp_path, database, broker_session, gateway_port=port), capsys, "--lang", "en")
    assert "✗ gateway, as browsers see it: shows a certificate that ended" in out
    assert "✓ gateway: " in out


def problem(broker: Any) -> str | None:
    found: FleetError | None = probes.broker_problem(broker)
    return None if found is None else found.code


def test_the_broker_and_its_certificates(broker_session: Broker, tmp_path: Path) -> None:
    well = msgspec.structs.replace(broker_session.sp_web, host="localhost")
    assert problem(well) is None
    assert problem(msgspec.structs.replace(well, port=free_port())) == "broker_away"
    with pki_folder() as other:
        own = other.folder / "platform" / "sp-web"
        foreign = {"cert_file": own / "chain.pem", "key_file": own / "key.pem"}
        assert problem(msgspec.structs.replace(well, ca_file=other.server_trust)) == "broker_unknown"
        assert problem(msgspec.structs.replace(well, **foreign)) == "broker_refuses_us"
        device, key = broker_session.pki.device("d-doctor")
        assert problem(msgspec.structs.replace(well, cert_file=device, key_file=key)) == "broker_refuses_us"


def test_a_broker_whose_certificate_has_ended(
    database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with server_folder("old-pki") as folder:
        long_ago = NOW - timedelta(days=100)
        aged = Authorities.create(folder / "aged", long_ago)
        aged.issue_server(["localhost"], [LOOPBACK], long_ago)
        aged.issue_platform("sp-web", NOW)
        last_list.ensure(aged, NOW)
        with mosquitto_server(Pki(aged.folder)) as broker:
            whole = told(tmp_path, database, broker)
            assert problem(whole.broker) == "broker_certificate_expired"
            _, out = examined(tmp_path, whole, capsys, "--lang", "en")
    assert "✗ broker, the platform's listener: The broker's certificate has ended" in out
    assert "✗ broker, the devices' listener: shows a certificate that ended" in out


@contextmanager
def aged_installation(*made_before: timedelta) -> Iterator[Broker]:
    """Whose authorities were made, and looked after, so long ago; its leaves are of today. The root's key is in its safe."""
    with server_folder("aged-pki") as folder:
        for age in made_before:
            authorities = Authorities.create(folder / "aged", NOW - age)
        (authorities.folder / "root" / "key.pem").unlink()
        authorities.issue_server(["localhost"], [LOOPBACK], NOW)
        authorities.issue_platform("sp-web", NOW)
        last_list.ensure(authorities, NOW)
        with mosquitto_server(Pki(authorities.folder)) as broker:
            yield broker


def test_an_authority_that_waits_for_the_roots_key(
    database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing else is wrong for the next year."""
    with aged_installation(timedelta(days=4 * 365)) as broker, https(broker.pki.folder) as port:
        whole = told(tmp_path, database, broker, gateway_port=port)
        _, english = examined(tmp_path, whole, capsys, "--lang", "en")
        _, french = examined(tmp_path, whole, capsys, "--lang", "fr")
    for line in ("! broker, the devices' listener: shows a certificate", "! gateway: shows a certificate"):
        assert line in english
    assert english.count("bring root/key.pem back (deploy/README.md, 6)") == 2
    assert "✓ gateway, as browsers see it: " in english, "what stands above an owner's certificate is not ours to renew"
    assert "! courtier, côté appareils: présente un certificat" in french
    assert french.count("remettez root/key.pem (deploy/README.md, 6)") == 2


def test_a_root_that_waits_for_its_own_key(database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of twenty years, in the last third; the servers' authority was renewed last year."""
    with aged_installation(timedelta(days=14 * 365), timedelta(days=365)) as broker, https(broker.pki.folder) as port:
        whole = told(tmp_path, database, broker, gateway_port=port)
        _, english = examined(tmp_path, whole, capsys, "--lang", "en")
        _, french = examined(tmp_path, whole, capsys, "--lang", "fr")
    assert "! broker, the devices' listener: the root" in english
    assert english.count("bring root/key.pem back (deploy/README.md, 6)") == 1
    assert "✓ gateway: " in english
    assert "! courtier, côté appareils: la racine" in french
    assert french.count("remettez root/key.pem (deploy/README.md, 6)") == 1
