"""deploy/ci/deploy.sh, with an engine that does whatever it is told."""

import os
import subprocess
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "deploy" / "ci" / "deploy.sh"


def program(file: Path, *lines: str) -> Path:
    file.parent.mkdir(exist_ok=True)
    file.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    file.chmod(0o755)
    return file


def test_what_an_owner_writes_for_compose_is_run_by_no_shell(tmp_path: Path) -> None:
    """An address with its name is fine in `.env`, and means something else to a shell."""
    engine = program(tmp_path / "bin" / "docker", "exit 0")
    smoke = program(tmp_path / "smoke", 'echo "$SP_HOST:${SP_HTTPS_PORT:-none}" >"$SP_STATE/seen"')
    state = tmp_path / "state"
    state.mkdir()
    (state / ".env").write_text('SP_HOST="sun.example.org"\nSP_SMTP_FROM=Solar <solar@example.org>\nSP_ODD=$(touch ran)\n')
    told = {"HOME": str(tmp_path), "SP_STATE": str(state), "SMOKE": str(smoke)}
    path = f"{engine.parent}:{os.environ['PATH']}"
    done = subprocess.run(
        [SCRIPT, "1.2.3"], env=told | {"PATH": path}, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (state / "seen").read_text() == "sun.example.org:none\n"
    assert (state / "current").read_text() == "1.2.3\n"
    assert not (tmp_path / "ran").exists()
