"""The keys of an installation from images, where something was lost or is no good: told, and never made anew in silence."""

import shutil
import signal
from pathlib import Path

import pytest
import structlog

from actors.jobs import keys, vault
from actors.jobs.holders import HOLDERS
from actors.jobs.keys import Places, hand_out
from fleet.errors import BadInput, Conflict, NotFound

HOSTS = ("sun.example.org",)


def places_in(folder: Path) -> Places:
    return Places(*(folder / name for name in ("vault", "pki", "keys", "owner", "data")))


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Handed out once: the loggers' keys take their time."""
    folder = tmp_path_factory.mktemp("installation")
    made = places_in(folder)
    for volume in (made.owner, made.keys / "broker", *(made.keys / holder.name for holder in HOLDERS)):
        volume.mkdir(parents=True)
    hand_out(made, HOSTS)
    return folder


@pytest.fixture
def places(first: Path, tmp_path: Path) -> Places:
    return places_in(Path(shutil.copytree(first, tmp_path / "installation")))


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_lost_vault_is_filled_by_those_who_hold_its_secrets(places: Places) -> None:
    before = files_of(places.vault), files_of(places.keys)
    shutil.rmtree(places.vault)
    with structlog.testing.capture_logs() as said:
        assert hand_out(places, HOSTS) == []
    assert (files_of(places.vault), files_of(places.keys)) == before
    assert [line["event"] for line in said] == ["vault_was_lost"]


def test_a_secret_that_was_deleted_is_made_anew(places: Places) -> None:
    """So a secret is changed; and one whose write was cut short is mended."""
    (places.vault / "ray_token").unlink()
    assert {"ray/ray_token", "web/ray_token"} <= set(hand_out(places, HOSTS))


def test_no_new_authority_takes_a_lost_ones_place(places: Places) -> None:
    before = files_of(places.keys)
    shutil.rmtree(places.pki)
    with pytest.raises(NotFound) as refused:
        hand_out(places, HOSTS)
    assert refused.value.code == "no_pki"
    assert files_of(places.keys) == before


@pytest.mark.parametrize("key", ["no key", None])
def test_an_owners_pair_that_is_no_good_keeps_nothing_from_starting(places: Places, key: str | None) -> None:
    shutil.rmtree(places.keys / "gateway" / "public")
    (places.keys / "broker" / "acl").unlink()
    (places.owner / "chain.pem").write_text("half a certificate")
    if key is not None:
        (places.owner / "key.pem").write_text(key)
    with structlog.testing.capture_logs() as said:
        hand_out(places, HOSTS)
    shown = files_of(places.keys / "gateway")
    assert shown["public/chain.pem"] == shown["server/chain.pem"]
    assert shown["public/key.pem"] == shown["server/key.pem"]
    assert "acl" in files_of(places.keys / "broker")
    assert [line["code"] for line in said] == ["bad_certificate"]


def test_whatever_is_in_the_way_is_tried_again(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """An authority that has ended, too: whoever gives up restarts for ever, and says less."""

    rounds = iter([None, None, signal.SIGTERM])

    def ended(*told: object) -> None:
        raise Conflict("authority_expired", "it has ended")

    monkeypatch.setattr(signal, "pthread_sigmask", lambda how, signals: None)  # this process is to hear them again
    monkeypatch.setattr(signal, "sigtimedwait", lambda signals, seconds: next(rounds))
    monkeypatch.setattr(keys, "_issue", ended)
    with structlog.testing.capture_logs() as said:
        keys.keep_handing_out(places, HOSTS, 300.0, places.keys.parent / "ready")
    assert [line["event"] for line in said] == ["keys_not_renewed"] * 2


def test_a_link_that_a_service_has_laid_leads_nobody_astray(places: Places, tmp_path: Path) -> None:
    """Root hands out where the broker may write."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o755)
    (places.keys / "broker" / "mine").symlink_to(elsewhere)
    hand_out(places, HOSTS)
    assert elsewhere.stat().st_mode & 0o777 == 0o755


def test_redis_is_told_what_this_release_says(places: Places) -> None:
    (places.vault / "redis.conf").write_text("of another release\n")
    vault.fill(places.vault)
    assert "requirepass" in (places.vault / "redis.conf").read_text()


def test_a_key_of_tokens_that_is_no_good_says_what_to_do(places: Places) -> None:
    (places.vault / "jwt_key.pem").write_bytes(b"")
    with pytest.raises(BadInput, match="delete it"):
        hand_out(places, HOSTS)
    (places.vault / "jwt_key.pem").unlink()
    assert {"web/jwt_key.pem", "gateway/jwks.json"} <= set(hand_out(places, HOSTS))
