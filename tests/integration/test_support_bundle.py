"""The support bundle of an installation that is full of secrets, names and addresses holds none of them."""

import tarfile
from pathlib import Path

from actors.keeping import bundle
from actors.keeping.bundle import Piece
from actors.keeping.redaction import Redactor
from fleet.limits import BUNDLE_BYTES_MAX, BUNDLE_LOG_BYTES_MAX
from fleet.storage.database import connect
from tests.fleet_rig import seed_fleet
from tests.servers import Database, Pki

CANARIES = {
    "email": "zoe.kanarienvogel@example.net",
    "name": "Zoé Kanarienvogel",
    "password": "kv9-Xq77-zzt4",
    "token": "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJrYW5hcmllIn0.a2FuYXJpZQ",
    "pdl": "19876543210987",
    "key": "MC4CAQAwBQYDK2VwBCIEIKanarienvogelKanarienvogelKanarienvog",
    "street": "Kanarienweg",
    "latitude": "44.73219",
    "address": "198.51.100.77",
    "serial": "SN-KV-0012345",
}
LINES = (
    '{{"event": "mail_failed", "recipient": "{email}", "error": "550 {email} unknown", "level": "warning"}}',
    '{{"event": "signed_in", "person": "{name}", "address": "{address}", "at": [{latitude}, 5.02]}}',
    "2026-11-28 10:00:00 UTC [7] ERROR: duplicate key, DETAIL: Key (pdl)=({pdl}) of 12 {street}",
    "psql: password {password} for {serial}; Bearer {token}",
    "-----BEGIN PRIVATE KEY-----\n{key}\n-----END PRIVATE KEY-----",
)


def plant(folder: Path) -> None:
    for name in ("logs", "settings", "secrets"):
        (folder / name).mkdir()
    for name in ("web.log", "postgres.log"):
        (folder / "logs" / name).write_text("\n".join(line.format(**CANARIES) for line in LINES) + "\nto the end\n")
    (folder / "secrets" / "sp_web").write_text(CANARIES["password"])
    (folder / "settings" / "web.json").write_text(
        '{{"public_url": "https://{email}", "smtp": {{"user": "{name}", "password": "{password}"}}, "port": 8080,'
        ' "password_file": "/var/{street}/secrets/sp_web", "allowed_hosts": ["{address}"]}}'.format(**CANARIES)
    )


async def rows(database: Database) -> None:
    await seed_fleet(database, [(CANARIES["street"], {CANARIES["serial"].lower(): "inverter"})])
    owner = await connect(database.owner)
    try:
        await owner.execute(
            "INSERT INTO accounts.person (id, organisation_id, email, name, role, password_hash)"
            " VALUES ('p', 'org-customer', $1, $2, 'customer', $3)",
            CANARIES["email"], CANARIES["name"], CANARIES["password"],
        )  # fmt: skip
        await owner.execute(
            "INSERT INTO supervision.alert (id, site_id, rule, severity, raised_at, evidence)"
            " VALUES ('a', $1, 'offline', 'warning', now(), to_jsonb($2::text))",
            CANARIES["street"], CANARIES["token"],
        )  # fmt: skip
    finally:
        await owner.close()


async def test_no_canary_comes_out(database: Database, pki: Pki, tmp_path: Path) -> None:
    plant(tmp_path)
    await rows(database)
    pki.devices(["kv-device-0012345"])
    redactor = Redactor()
    file = tmp_path / "support.tar.gz"
    bundle.write(
        file,
        [
            bundle.versions(),
            await bundle.database(database.owner, redactor),
            bundle.certificates(pki.folder, redactor),
            *bundle.settings_in(tmp_path / "settings", redactor),
            *bundle.logs_in(tmp_path / "logs", redactor),
        ],
    )
    with tarfile.open(file) as tar:
        said = {each.name: tar.extractfile(each).read().decode() for each in tar.getmembers()}  # type: ignore[union-attr]
    everything = "\n".join([*said, *said.values()]).lower()
    for canary in (*CANARIES.values(), *CANARIES["name"].split(), "kanarien", "kv-device"):
        assert canary.lower() not in everything, canary
    assert file.stat().st_mode & 0o777 == 0o600
    assert '"offline"' in said["support/database.json"]  # and what helps is there
    assert "mail_failed" in said["support/logs/web.log"]
    assert "ERROR: duplicate key" in said["support/logs/postgres.log"]
    assert "to the end" in said["support/logs/web.log"]
    assert '"port": 8080' in said["support/settings/web.json"]
    assert "sp-web" in said["support/certificates.json"]


def test_it_never_grows_beyond_its_bound(tmp_path: Path) -> None:
    (tmp_path / "long.log").write_bytes(b"a line of the log\n" * 100_000)
    kept = bundle.tail(tmp_path / "long.log")
    assert len(kept) <= BUNDLE_LOG_BYTES_MAX
    assert kept.startswith(b"a line")  # whole ones
    size = bundle.write(tmp_path / "b", [Piece(f"{n}", bytes(4_000_000)) for n in range(9)])
    with tarfile.open(tmp_path / "b") as tar:
        assert sum(each.size for each in tar) == BUNDLE_BYTES_MAX
    assert size < BUNDLE_BYTES_MAX
