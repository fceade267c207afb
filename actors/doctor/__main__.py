"""python -m actors.doctor --settings FILE [--lang fr|en] [--json]: looks at an installation from images, part by part.

Exit code 0: nothing is broken, though something may have to be looked at. 1: something is.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from actors.doctor import database_checks, door_checks
from actors.doctor.finding import Line, examined
from actors.doctor.settings import DoctorSettings
from actors.doctor.texts import text
from fleet.errors import FleetError
from fleet.settings import load

_SIGNS: Final = {"ok": "✓", "warning": "!", "broken": "✗"}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m actors.doctor", description=__doc__)
    parser.add_argument("--settings", type=Path, required=True)
    parser.add_argument("--lang", choices=("fr", "en"), help="default: by LANG")
    parser.add_argument("--json", action="store_true", help="for machines")
    chosen = parser.parse_args(arguments)
    if chosen.lang is not None:
        os.environ["LC_ALL"] = chosen.lang
    try:
        settings = load(chosen.settings, DoctorSettings)
    except FleetError as error:
        print(f"doctor: {error}", file=sys.stderr)
        return 1
    lines = examined([*database_checks.checks(settings), *door_checks.checks(settings)])
    print(msgspec.json.encode(lines).decode() if chosen.json else _written(lines))
    return 1 if any(line.state == "broken" for line in lines) else 0


def _written(lines: Sequence[Line]) -> str:
    broken, warnings = (sum(line.state == state for line in lines) for state in ("broken", "warning"))
    well = text("summary_ok", all=len(lines))
    summary = text("summary_bad", broken=broken, warnings=warnings, all=len(lines)) if broken or warnings else well
    return "\n".join([*(f"  {_SIGNS[line.state]} {line.check}: {line.what}" for line in lines), summary])


if __name__ == "__main__":
    sys.exit(main())
