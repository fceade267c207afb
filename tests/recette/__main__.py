"""python -m tests.recette: the acceptance record ("procès-verbal de recette"), from the results of tests that ran.

With --results, from JUnit files that are there (`./run test --junitxml FILE`); else the tests that the record names are run.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec
import typst

from actors.local.texts import text
from fleet.errors import FleetError
from tests.recette import machine
from tests.recette.book import HERE, ROOT, book
from tests.recette.results import SUITE, Evidence, Run, read_run
from tests.recette.sheet import Sheet, sheet
from tests.recette.verdict import judged

# A test spends most of its time waiting for real servers; the longest files begin first, as tests/conftest.py orders them.
PROCESSES: Final = ("--numprocesses", "3", "--dist", "loadfile", "--no-loadscope-reorder")
FROM_IMAGES: Final = "compose/"  # proofs that need an engine


def main(arguments: Sequence[str]) -> int:
    """0 = the record is written and no test in it failed; 1 = one failed, or there is no record; 2 = bad arguments."""
    chosen = _parser().parse_args(arguments)
    try:
        files = chosen.results or [_run_tests(chosen.out.with_suffix(".junit.xml"), images=chosen.compose)]
        runs = [read_run(file) for file in files]
        return _write(chosen.out, runs)
    except FleetError as error:
        print(f"solarperform: {error.detail}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="solarperform recette", description="The acceptance record as PDF, in French.", allow_abbrev=False
    )
    parser.add_argument("--out", type=Path, default=Path("recette.pdf"), metavar="FILE", help="default: %(default)s")
    parser.add_argument(
        "--results",
        type=Path,
        nargs="+",
        metavar="JUNIT.xml",
        help="what `./run test --junitxml FILE` has written, of one or more runs; without it the named tests are run now",
    )
    parser.add_argument(
        "--compose", action="store_true", help="when they are run now: also those that need a container engine"
    )
    return parser


def _run_tests(results: Path, *, images: bool) -> Path:
    """All proofs in one run, whose progress pytest shows. The commit goes along, in the results themselves."""
    named = [each for each in book().proofs() if images or not each.startswith(FROM_IMAGES)]
    print(text("recette_runs", number=len(named)), file=sys.stderr)
    subject = machine.subject()
    command = [sys.executable, "-m", "pytest", "--quiet", *PROCESSES]
    command += [
        "--junitxml",
        str(results.absolute()),
        "-o",
        f"junit_suite_name={SUITE}{subject.commit}{'+' * subject.altered}",
    ]
    if images:
        command += ["-m", ""]  # whatever pyproject.toml leaves out otherwise
    results.unlink(missing_ok=True)  # those of an earlier run are not this one's
    subprocess.run([*command, *(f"tests/{each}" for each in named)], cwd=ROOT, check=False)
    return results


def _write(out: Path, runs: Sequence[Run]) -> int:
    lines = judged(book(), Evidence(runs))
    content = sheet(book(), lines, runs, machine.subject(), machine.facts(), datetime.now().astimezone())
    out.write_bytes(pdf(content))
    counts = content.counts
    print(text("recette_written", file=out, ok=counts.conforme, bad=counts.non_conforme, open=counts.non_verifie))
    return 1 if any(proof.state == "failed" for line in lines.values() for proof in line.proofs) else 0


def pdf(content: Sheet) -> bytes:
    """PDF/UA-1: tagged, so that it can be read aloud. Fonts: those inside typst alone."""
    document = typst.compile(
        HERE / "recette.typ",
        root=HERE,
        ignore_system_fonts=True,
        format="pdf",
        pdf_standards=["ua-1"],
        sys_inputs={"data": msgspec.json.encode(content).decode()},
    )
    if not isinstance(document, bytes):
        raise TypeError("typst made several documents of one")
    return document


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
