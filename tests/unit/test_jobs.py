"""The jobs of an installation from images: who holds which key, and what is made once."""

import json
import shutil
import signal
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509

from actors.broker_files import ACL, CRL, DENIED, Denied
from actors.broker_home import CONFIGURATION
from actors.jobs import keys
from actors.jobs.holders import HOLDERS, Holder
from actors.jobs.keys import Places, hand_out
from certs.authority import Pki
from fleet.errors import BadInput
from web.tokens import load_tokens

HOSTS = ("sun.example.org", "devices.example.org")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Places:
    """Handed out once; for tests that change nothing."""
    made = places_in(tmp_path_factory.mktemp("jobs"))
    for volume in (made.owner, *(made.keys / name for name in ("broker", *(holder.name for holder in HOLDERS)))):
        volume.mkdir(parents=True)
    assert len(hand_out(made, HOSTS)) > len(HOLDERS)
    return made


@pytest.fixture
def places(shared: Places, tmp_path: Path) -> Places:
    """A copy: making all the keys takes seconds."""
    shutil.copytree(shared.owner.parent, tmp_path, dirs_exist_ok=True)
    return places_in(tmp_path)


def places_in(folder: Path) -> Places:
    return Places(folder / "vault", folder / "pki", folder / "keys", folder / "owner", folder / "data")


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def names_for(holder: Holder) -> set[str]:
    names = {*holder.secrets, *(f"{name}.pem" for name in holder.trust)}
    folders = [holder.client] if holder.client else []
    if holder.server:
        folders += ["server", "public"]
    if holder.like_pki:
        folders.append("pki/servers/broker")
        names |= {"pki/trust/devices.pem", "pki/trust/platform.pem"}
    return names | {f"{folder}/{name}" for folder in folders for name in ("chain.pem", "key.pem")}


def test_each_holder_gets_exactly_its_own(shared: Places) -> None:
    found = {holder.name: set(files_of(shared.keys / holder.name)) for holder in HOLDERS}
    assert found == {holder.name: names_for(holder) for holder in HOLDERS}
    assert {path.name for path in shared.keys.iterdir()} == {*found, "broker"}


def test_nobody_else_can_read_them(shared: Places) -> None:
    open_to_others = [str(path) for path in shared.keys.rglob("*") if path.stat().st_mode & 0o077]
    assert open_to_others == []


def test_signing_keys_stay_where_they_are(shared: Places) -> None:
    """What a service holds as a key is of a leaf, never of an authority."""
    files = [shared.pki / name / "key.pem" for name in ("root", "devices-ca", "platform-ca", "servers-ca")]
    authorities = {file.read_bytes() for file in files}
    assert not authorities & set(files_of(shared.keys).values())


def test_a_second_time_changes_nothing(places: Places) -> None:
    before = files_of(places.keys), files_of(places.vault)
    assert hand_out(places, HOSTS) == []
    assert (files_of(places.keys), files_of(places.vault)) == before


def test_the_gateway_knows_tokens_by_the_name_that_the_web_gives_their_key(shared: Places) -> None:
    (published,) = json.loads((shared.keys / "gateway" / "jwks.json").read_bytes())["keys"]
    told = load_tokens(shared.keys / "web" / "jwt_key.pem", "https://sun.example.org").jwk
    assert {name: published[name] for name in ("kid", "x", "y", "crv", "kty", "alg")} == {
        name: told[name] for name in ("kid", "x", "y", "crv", "kty", "alg")
    }
    assert "d" not in published


def test_the_servers_certificate_names_the_installation(shared: Places) -> None:
    chain = x509.load_pem_x509_certificates((shared.keys / "gateway" / "server" / "chain.pem").read_bytes())
    names = chain[0].extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {*HOSTS, "broker", "gateway", "pki", "localhost"} <= set(names.get_values_for_type(x509.DNSName))


def test_browsers_see_the_servers_own_until_the_owner_has_one_that_fits(places: Places) -> None:
    public, owner = places.keys / "gateway" / "public", places.owner
    assert files_of(public) == files_of(places.keys / "gateway" / "server")
    lay_owners(places, "chain.pem", "key.pem")
    assert hand_out(places, HOSTS) == ["gateway/public"]
    shown = files_of(public)
    assert shown == files_of(owner)
    lay_owners(places, "chain.pem")  # renewed, but for its key
    assert hand_out(places, HOSTS) == []
    (owner / "key.pem").write_bytes(b"no key")
    assert hand_out(places, HOSTS) == []
    assert files_of(public) == shown, "the one in force stays"
    for name in ("chain.pem", "key.pem"):
        (owner / name).unlink()
    assert hand_out(places, HOSTS) == ["gateway/public"]
    assert files_of(public) == files_of(places.keys / "gateway" / "server")


def lay_owners(places: Places, *names: str) -> None:
    """Of a new pair, as an owner's authority gives one."""
    other = Pki.create(places.owner.parent / f"other-{len(list(places.owner.parent.iterdir()))}", datetime.now(UTC))
    other.issue_server(["sun.example.org"], [], datetime.now(UTC))
    for name in names:
        (places.owner / name).write_bytes((other.folder / "servers" / "sun.example.org" / name).read_bytes())


def test_the_owners_mail_password_reaches_who_sends_mail(places: Places) -> None:
    (places.owner / "smtp_password").write_text("hush")
    assert sorted(hand_out(places, HOSTS)) == ["alertmanager/smtp_password", "notifier/smtp_password"]


def test_what_the_guard_laid_before_the_broker_stays(places: Places) -> None:
    home = places.keys / "broker"
    assert {CONFIGURATION, ACL, "chain.pem", "key.pem", "devices.pem", "platform.pem"} <= set(files_of(home))
    (home / ACL).write_text("# the guard's\n")
    (home / DENIED).write_text("[]")
    (home / CONFIGURATION).write_text("# of another release\n")
    hand_out(places, HOSTS)
    assert (home / ACL).read_text() == "# the guard's\n"
    assert (home / DENIED).read_text() == "[]"
    assert "listener 8883" in (home / CONFIGURATION).read_text(), "this release's own configuration is in force"


def test_a_broker_of_another_authority_begins_anew_and_closed(places: Places, tmp_path: Path) -> None:
    """After a restore: until the guard has seen which revocation list is the newest, no device comes in."""
    home, before = places.keys / "broker", files_of(places.keys / "broker")
    other = tmp_path / "of-a-backup"
    Pki.create(other, datetime.now(UTC))
    shutil.rmtree(places.pki)
    other.rename(places.pki)
    hand_out(places, HOSTS)
    for name in ("devices.pem", "platform.pem"):
        assert (home / name).read_bytes() == (places.pki / "trust" / name).read_bytes()
    assert (home / "chain.pem").read_bytes() == (places.pki / "servers" / "broker" / "chain.pem").read_bytes()
    assert (home / CRL).read_bytes() == (places.pki / "trust" / "devices.crl.pem").read_bytes() != before[CRL]
    assert Denied.read(home).closed


def test_a_renewed_authority_beside_the_old_one_is_the_guards_affair(places: Places) -> None:
    home, trust = places.keys / "broker", places.pki / "trust" / "devices.pem"
    before = files_of(home)
    trust.write_bytes(trust.read_bytes() + (places.pki / "trust" / "servers.pem").read_bytes())
    hand_out(places, HOSTS)
    assert files_of(home) == before


def test_secrets_are_made_once_each(shared: Places) -> None:
    secrets = files_of(shared.vault)
    passwords = {name: content for name, content in secrets.items() if name.startswith(("sp_", "postgres", "redis", "ray"))}
    assert len(set(passwords.values())) == len(passwords), "nobody knows another's password"
    assert secrets["redis"] in secrets["redis.conf"]


def test_a_key_that_the_gateway_cannot_use_is_refused(places: Places) -> None:
    (places.vault / "jwt_key.pem").write_text("not a key")
    with pytest.raises(BadInput) as refused:
        hand_out(places, HOSTS)
    assert refused.value.code == "bad_key"


@pytest.fixture
def signals() -> Iterator[set[signal.Signals]]:
    """Blocked, as the job blocks them, and afterwards as before."""
    stops = {signal.SIGTERM, signal.SIGINT}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, stops)
    yield stops
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_what_goes_wrong_once_is_tried_again(
    places: Places, signals: set[signal.Signals], monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds: list[float] = []

    def wait(stops: tuple[signal.Signals, ...], seconds: float) -> bool | None:
        assert set(stops) == signals
        rounds.append(seconds)
        match len(rounds):
            case 1:
                (places.owner / "chain.pem").write_text("half a certificate")
                (places.owner / "key.pem").write_text("half a key")
            case 2:
                lay_owners(places, "chain.pem", "key.pem")
            case _:
                return True
        return None

    monkeypatch.setattr(keys.signal, "sigtimedwait", wait)
    keys.keep_handing_out(places, HOSTS, 300.0, places.keys.parent / "ready")
    assert rounds == [300.0] * 3
    assert files_of(places.keys / "gateway" / "public") == files_of(places.owner)


def test_only_a_round_that_came_to_its_end_counts_as_a_sign_of_life(
    places: Places, signals: set[signal.Signals], monkeypatch: pytest.MonkeyPatch
) -> None:
    ready, seen = places.keys.parent / "ready", list[bool]()
    jwt_key = places.vault / "jwt_key.pem"
    good = jwt_key.read_text()

    def wait(_stops: tuple[signal.Signals, ...], _seconds: float) -> bool | None:
        seen.append(ready.exists())
        ready.unlink(missing_ok=True)
        match len(seen):
            case 1:
                jwt_key.write_text("no key")
            case 2:
                jwt_key.write_text(good)
            case _:
                return True
        return None

    monkeypatch.setattr(keys.signal, "sigtimedwait", wait)
    keys.keep_handing_out(places, HOSTS, 300.0, ready)
    assert seen == [True, False, True]


def test_the_job_that_goes_on_ends_when_it_is_told_to(tmp_path: Path, signals: set[signal.Signals]) -> None:
    """As a container's first process, for which an unheard SIGTERM is ten seconds and a SIGKILL."""
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
    keys.keep_handing_out(keys.Places(vault=tmp_path), [], 3_600.0, tmp_path / "ready")
    assert [file.name for file in tmp_path.iterdir()] == ["ready"]
