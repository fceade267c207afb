"""The images' health check: what it calls well, and what it says of what is not."""

import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from actors import health


def test_a_ready_file_that_is_touched(tmp_path: Path) -> None:
    file = tmp_path / "ready"
    assert "not ready yet" in str(health.file_ill(file, time.time()))
    file.touch()
    assert health.file_ill(file, time.time()) is None
    assert "hangs" in str(health.file_ill(file, time.time() + health.FRESH_S + 1))


def test_a_process_that_works_every_few_minutes_has_its_own_patience(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "ready"
    file.touch()
    os.utime(file, (time.time(), time.time() - 900))
    assert health.main(["file", str(file), "--within-s", "1000"]) == 0
    os.utime(file, (time.time(), time.time() - 1_100))
    assert health.main(["file", str(file), "--within-s", "1000"]) == 1
    assert "see its log" in capsys.readouterr().out


def test_an_answer(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_PATIENCE_S", 60.0)  # who is asked may be this very process, on a busy machine

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/well" else 503)
            self.end_headers()
            self.wfile.write(b"missing: twins")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]
    try:
        assert health.http_ill(port, "/well") is None
        assert "missing: twins" in str(health.http_ill(port, "/ill"))
        assert health.main(["http", str(port), "/ill"]) == 1
        assert "503" in capsys.readouterr().out
    finally:
        server.shutdown()
        server.server_close()
    assert "does not answer" in str(health.http_ill(port, "/well"))


def test_programs_that_run() -> None:
    own = Path(f"/proc/{os.getpid()}/comm").read_text().strip()
    assert health.processes_ill([own]) is None
    assert health.processes_ill([own, "raylet-of-nobody"]) == "not running: raylet-of-nobody"


def test_it_imports_nothing_of_ours_nor_of_others() -> None:
    code = "import sys, actors.health; print(*{name.partition('.')[0] for name in sys.modules} - sys.stdlib_module_names)"
    said = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    )
    assert set(said.stdout.split()) <= {"actors", "__main__"}
