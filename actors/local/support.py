"""support-bundle of this machine's installation, whether it runs or not."""

import argparse
import asyncio
import contextlib
import io
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from actors.keeping import bundle
from actors.keeping.bundle import Piece
from actors.keeping.redaction import Redactor
from actors.keeping.texts import text
from actors.local import doctor
from actors.local.keeping import database_of
from actors.local.layout import Layout
from actors.local.onboarding_checks import is_running
from fleet import settings
from fleet.errors import FleetError
from fleet.settings import WebSettings

_PATIENCE_S = 10.0


def add_to(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--to", type=Path, metavar="FILE", help="default: support-<time>.tar.gz in the current folder")


def make(layout: Layout, to: Path | None) -> Iterator[str]:
    """Sentences of what was done."""
    file = to or Path(f"support-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.tar.gz")
    size = bundle.write(file, _pieces(layout, Redactor()))
    yield text("bundle_done", file=file, size_kb=size / 1e3)


def _pieces(layout: Layout, redactor: Redactor) -> Iterator[Piece]:
    """The small ones first: should they ever be too large together, it is logs that are cut."""
    yield bundle.versions()
    yield Piece("doctor.txt", redactor.text(_doctor(layout)).encode())
    try:
        with database_of(layout) as database:
            yield asyncio.run(bundle.database(database, redactor))
    except FleetError as error:
        yield Piece("database.json", redactor.text(str(error)).encode())
    yield bundle.certificates(layout.pki, redactor)
    yield from bundle.settings_in(layout.settings, redactor)
    if is_running(layout):
        yield Piece("metrics.txt", redactor.lines(_metrics(layout)))
    yield from bundle.logs_in(layout.logs, redactor)


def _doctor(layout: Layout) -> str:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        doctor.examine(layout)
    return said.getvalue()


def _metrics(layout: Layout) -> bytes:
    told = settings.load(layout.settings / "web.json", WebSettings)
    try:
        with urllib.request.urlopen(f"http://{told.host}:{told.port}/metrics", timeout=_PATIENCE_S) as answer:
            return bytes(answer.read())
    except (urllib.error.URLError, OSError) as error:
        return str(error).encode()
