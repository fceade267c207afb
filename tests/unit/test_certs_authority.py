import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from structlog.testing import capture_logs

from certs import keys
from certs.authority import Pki
from certs.figures import OwnCertificates
from fleet.errors import BadInput, Conflict, NotFound

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def chain(folder: Path) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates((folder / "chain.pem").read_bytes())


def test_making_a_pki_twice_changes_nothing(tmp_path: Path) -> None:
    Pki.create(tmp_path, NOW)
    before = contents(tmp_path)
    Pki.create(tmp_path, NOW + timedelta(days=300))
    assert contents(tmp_path) == before


def test_opening_without_a_pki_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="init"):
        Pki(tmp_path)


def test_a_making_that_was_cut_short_is_completed(tmp_path: Path) -> None:
    pki = Pki.create(tmp_path, NOW)
    root = pki.root.cert
    for lost in ("servers-ca/cert.pem", "platform-ca/cert.pem", "platform-ca/key.pem", "trust/servers.pem"):
        (tmp_path / lost).unlink()
    (tmp_path / "root" / "key.pem.new").write_bytes(b"half a k")
    pki = Pki.create(tmp_path, NOW)
    assert pki.root.cert == root
    assert pki.issue_server(["localhost"], [], NOW)
    assert pki.issue_platform("sp-web", NOW)


def test_a_good_leaf_is_kept_and_one_in_its_last_third_is_replaced(tmp_path: Path) -> None:
    pki = Pki.create(tmp_path, NOW)
    assert pki.issue_device("inv-1", NOW)
    before = contents(tmp_path / "devices")
    assert not pki.issue_device("inv-1", NOW + timedelta(days=59))
    assert contents(tmp_path / "devices") == before
    assert pki.issue_device("inv-1", NOW + timedelta(days=61))
    assert contents(tmp_path / "devices").keys() == before.keys()
    assert contents(tmp_path / "devices") != before


@pytest.mark.parametrize("damage", ["chain.pem", "key.pem"])
def test_an_emptied_leaf_file_is_issued_again(tmp_path: Path, damage: str) -> None:
    pki = Pki.create(tmp_path, NOW)
    pki.issue_device("inv-1", NOW)
    (tmp_path / "devices" / "inv-1" / damage).write_bytes(b"")
    assert pki.issue_device("inv-1", NOW)
    assert not pki.issue_device("inv-1", NOW)


def test_a_leaf_with_the_key_of_another_is_issued_again(tmp_path: Path) -> None:
    pki = Pki.create(tmp_path, NOW)
    pki.issue_device("inv-1", NOW)
    keys.save(tmp_path / "devices" / "inv-1" / "key.pem", keys.make())
    assert pki.issue_device("inv-1", NOW)


def test_a_server_gets_a_new_certificate_when_its_addresses_change(tmp_path: Path) -> None:
    pki = Pki.create(tmp_path, NOW)
    assert pki.issue_server(["localhost"], ["127.0.0.1"], NOW)
    assert not pki.issue_server(["localhost"], ["127.0.0.1"], NOW)
    assert pki.issue_server(["localhost"], ["127.0.0.1", "192.0.2.7"], NOW)


def test_a_leaf_of_another_pki_is_not_kept(tmp_path: Path) -> None:
    Pki.create(tmp_path / "old", NOW).issue_device("inv-1", NOW)
    (tmp_path / "new").mkdir()
    (tmp_path / "old" / "devices").rename(tmp_path / "new" / "devices")
    assert Pki.create(tmp_path / "new", NOW).issue_device("inv-1", NOW)


def test_keys_are_for_their_owner_only(tmp_path: Path) -> None:
    pki = Pki.create(tmp_path, NOW)
    pki.issue_device("inv-1", NOW)
    pki.issue_platform("sp-web", NOW)
    pki.issue_server(["localhost"], [], NOW)
    found = list(tmp_path.rglob("key.pem"))
    assert len(found) == 7
    assert {path.stat().st_mode & 0o777 for path in found} == {0o600}


def test_leaves_are_issued_while_the_root_key_is_kept_elsewhere(tmp_path: Path) -> None:
    Pki.create(tmp_path, NOW)
    (tmp_path / "root" / "key.pem").unlink()
    pki = Pki.create(tmp_path, NOW)
    assert pki.issue_server(["localhost"], [], NOW)
    assert pki.issue_device("inv-1", NOW)


def test_the_servers_authority_waits_for_the_root_key_and_everything_else_goes_on(tmp_path: Path) -> None:
    Pki.create(tmp_path, NOW)
    key = tmp_path / "root" / "key.pem"
    kept_elsewhere = key.rename(tmp_path / "in-the-safe.pem")
    late = NOW + timedelta(days=4 * 365)
    with capture_logs() as told:
        pki = Pki.create(tmp_path, late)
    assert [(line["event"], line["authority"]) for line in told] == [("root_needed", "servers-ca")]
    assert pki.servers.cert.not_valid_after_utc == NOW + timedelta(days=5 * 365)
    assert pki.devices.cert.not_valid_after_utc == late + timedelta(days=5 * 365), "those with their own key are renewed"
    assert pki.issue_server(["localhost"], [], late)
    kept_elsewhere.rename(key)
    with capture_logs() as told:
        pki = Pki.create(tmp_path, late)
    assert told == []
    assert pki.servers.cert.not_valid_after_utc == late + timedelta(days=5 * 365)


def test_the_servers_authority_that_has_ended_asks_for_the_root_key(tmp_path: Path) -> None:
    Pki.create(tmp_path, NOW)
    (tmp_path / "root" / "key.pem").unlink()
    with pytest.raises(Conflict, match=r"root/key\.pem") as raised:
        Pki.create(tmp_path, NOW + timedelta(days=6 * 365))
    assert raised.value.code == "authority_expired"


def test_the_root_itself_waits_for_its_key(tmp_path: Path) -> None:
    """In the last third of its twenty years; the servers' authority was renewed in time."""
    Pki.create(tmp_path, NOW)
    Pki.create(tmp_path, NOW + timedelta(days=13 * 365))
    (tmp_path / "root" / "key.pem").unlink()
    with capture_logs() as told:
        pki = Pki.create(tmp_path, NOW + timedelta(days=14 * 365))
    assert [(line["event"], line["authority"]) for line in told] == [("root_needed", "root")]
    assert pki.root.cert.not_valid_after_utc == NOW + timedelta(days=20 * 365)


def test_renewing_an_authority_keeps_its_key_so_that_its_leaves_stay_good(tmp_path: Path) -> None:
    before = Pki.create(tmp_path, NOW)
    late = NOW + timedelta(days=4 * 365)
    before.issue_device("inv-1", late)
    after = Pki.create(tmp_path, late)
    assert after.devices.cert != before.devices.cert
    assert after.devices.cert.public_key() == before.devices.cert.public_key()
    assert not after.issue_device("inv-1", late)
    assert after.root.cert == before.root.cert


def test_an_authority_whose_key_is_gone_is_not_silently_replaced(tmp_path: Path) -> None:
    Pki.create(tmp_path, NOW)
    (tmp_path / "devices-ca" / "key.pem").unlink()
    with pytest.raises(BadInput, match="devices-ca"):
        Pki.create(tmp_path, NOW + timedelta(days=4 * 365))


def test_an_expired_authority_signs_nothing(tmp_path: Path) -> None:
    pki = Pki.create(tmp_path, NOW)
    with pytest.raises(Conflict, match="init"):
        pki.issue_device("inv-1", NOW + timedelta(days=6 * 365))


def test_only_servers_stand_below_the_root(tmp_path: Path) -> None:
    pki = Pki.create(tmp_path, NOW)
    assert pki.root.signed(pki.servers.cert)
    assert not pki.root.signed(pki.devices.cert)
    assert not pki.root.signed(pki.platform.cert)
    trusted = {
        name: x509.load_pem_x509_certificates((tmp_path / "trust" / f"{name}.pem").read_bytes())
        for name in ("devices", "servers")
    }
    assert trusted == {"devices": [pki.devices.cert], "servers": [pki.root.cert]}


def test_an_open_pki_takes_over_what_another_process_has_renewed(tmp_path: Path) -> None:
    ours = Pki.create(tmp_path, NOW)
    assert ours.refresh() == []
    late = NOW + timedelta(days=4 * 365)
    Pki.create(tmp_path, late)
    assert ours.refresh() == ["devices-ca", "platform-ca", "servers-ca"]
    assert ours.refresh() == []
    for authority in (ours.devices, ours.platform, ours.servers):
        assert authority.cert.not_valid_after_utc == late + timedelta(days=5 * 365)
    assert ours.issue_server(["localhost"], [], NOW + timedelta(days=6 * 365)), "it would have ended without that"


def test_an_authority_that_was_replaced_signs_with_the_new_key(tmp_path: Path) -> None:
    """A backup was brought back while the process ran."""
    ours, other = Pki.create(tmp_path / "ours", NOW), Pki.create(tmp_path / "other", NOW)
    assert ours.issue_platform("sp-web", NOW)
    for name in ("key.pem", "cert.pem"):
        shutil.copy(other.folder / "platform-ca" / name, ours.folder / "platform-ca" / name)
    assert ours.refresh() == ["platform-ca"]
    assert ours.issue_platform("sp-web", NOW)
    assert other.platform.signed(chain(ours.folder / "platform" / "sp-web")[0])


def test_a_renewed_servers_authority_is_shown_at_once(tmp_path: Path) -> None:
    """Not only when the servers' own certificate is renewed, weeks later."""
    Pki.create(tmp_path, NOW)
    late = NOW + timedelta(days=1_217)
    before = Pki(tmp_path)
    before.issue_server(["localhost"], [], late - timedelta(days=1))
    before.issue_platform("sp-web", late - timedelta(days=1))
    renewed = Pki.create(tmp_path, late)
    assert renewed.renew_leaves(late) == ["servers/localhost"]
    assert chain(tmp_path / "servers" / "localhost")[1:] == [renewed.servers.cert]
    assert renewed.renew_leaves(late) == []


def test_leaves_are_listed_with_their_end(tmp_path: Path) -> None:
    pki = Pki.create(tmp_path, NOW)
    pki.issue_device("inv-1", NOW)
    pki.issue_server(["localhost"], [], NOW)
    assert pki.leaves() == [
        ("devices", "inv-1", NOW + timedelta(days=90)),
        ("servers", "localhost", NOW + timedelta(days=90)),
    ]


def test_the_end_that_prometheus_is_told_is_that_of_now(tmp_path: Path) -> None:
    """The authority's process opened its folder years ago; since then another one has renewed an authority in it."""
    figures = OwnCertificates(Pki.create(tmp_path, NOW))
    late = NOW + timedelta(days=4 * 365)
    Pki.create(tmp_path, late)
    ends = {sample.labels["name"]: sample.value for metric in figures.collect() for sample in metric.samples}
    assert ends["devices"] == ends["servers"] == (late + timedelta(days=5 * 365)).timestamp()
    assert ends["root"] == (NOW + timedelta(days=20 * 365)).timestamp()
