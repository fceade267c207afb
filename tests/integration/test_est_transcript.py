"""The README's lines for openssl and curl, run as they stand there: a client that nobody here wrote."""

import json
import re
import subprocess
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from fleet.ids import DeviceId
from fleet.storage import certificates
from tests.authority import Authority, authority_in, make_claim, owner
from tests.servers import Database

README = Path(__file__).parents[2] / "README.md"
HEADING = "## Enrolling with nothing but openssl and curl"


def transcript() -> str:
    section = README.read_text().partition(HEADING)[2].partition("\n## ")[0]
    (block,) = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    return str(block)


def follow(
    running: Authority, folder: Path, *, claim: str, fingerprint: str | None = None
) -> subprocess.CompletedProcess[str]:
    anchor = x509.load_pem_x509_certificate(running.trust.read_bytes())
    told = fingerprint or anchor.fingerprint(hashes.SHA256()).hex()[:32]
    variables = {"EST": running.url, "CLAIM": claim, "FINGERPRINT": told, "PATH": "/usr/local/bin:/usr/bin:/bin"}
    return subprocess.run(
        ["bash", "-c", transcript()], cwd=folder, env=variables, capture_output=True, text=True, check=False
    )


async def test_the_readmes_lines_enrol_and_renew_a_device(database: Database, tmp_path: Path) -> None:
    (tmp_path / "device").mkdir()
    async with authority_in(tmp_path, database) as running:
        code = await make_claim(database, "inv-shell")
        done = follow(running, tmp_path / "device", claim=code.typed)
        assert done.returncode == 0, done.stdout + done.stderr
        facts = json.loads((tmp_path / "device" / "connection.json").read_text())
        assert facts["device"] == "inv-shell"
        held = x509.load_pem_x509_certificate((tmp_path / "device" / "device.pem").read_bytes())
        assert facts["certificate"]["serial"] == f"{held.serial_number:x}"
        async with owner(database) as connection:
            rows = await certificates.certificates_of(connection, DeviceId("inv-shell"))
        assert [row.reason for row in rows] == [None, "superseded"]


async def test_another_server_and_a_used_code_are_noticed(database: Database, tmp_path: Path) -> None:
    async with authority_in(tmp_path, database) as running:
        code = await make_claim(database, "inv-shell")
        for folder in ("cheated", "first", "second"):
            (tmp_path / folder).mkdir()
        cheated = follow(running, tmp_path / "cheated", claim=code.typed, fingerprint="0" * 32)
        assert cheated.returncode != 0
        assert not (tmp_path / "cheated" / "device.key").exists()
        assert follow(running, tmp_path / "first", claim=code.typed).returncode == 0
        again = follow(running, tmp_path / "second", claim=code.typed)
        assert again.returncode != 0
        assert "claim_used" in (tmp_path / "second" / "device.p7.b64").read_text()
