"""What pytest's JUnit files say: which tests ran, and what became of them."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
from defusedxml import ElementTree

from fleet.errors import BadInput

SUITE: Final = "solarperform@"  # a run that this command starts writes its commit behind that, into the results
Outcome = Literal["passed", "failed", "skipped"]


class Case(msgspec.Struct, frozen=True):
    """One test, or one set of parameters of it. reason: of a failure or a skip."""

    file: str
    test: str
    outcome: Outcome
    reason: str
    seconds: float


class Run(msgspec.Struct, frozen=True):
    """A results file. commit: of the code that was tested, "" where the file does not say it."""

    name: str
    sha256: str
    started: str
    commit: str
    seconds: float
    cases: list[Case]


class Evidence:
    """The cases of one or several runs, by what a proof may name. One failure anywhere is a failure."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self._cases: defaultdict[str, list[Case]] = defaultdict(list)
        for run in runs:
            for case in run.cases:
                self._cases[case.file].append(case)
                self._cases[f"{case.file}::{case.test}"].append(case)

    def of(self, proof: str) -> list[Case]:
        return self._cases.get(proof, [])


def read_run(path: Path) -> Run:
    """Raises BadInput (bad_results) for anything that is not pytest's JUnit XML."""
    try:
        data = path.read_bytes()
        root = ElementTree.fromstring(data)
        suites = [root] if root.tag == "testsuite" else list(root.iter("testsuite"))
        return Run(
            name=path.name,
            sha256=hashlib.sha256(data).hexdigest(),
            started=min((suite.get("timestamp", "") for suite in suites), default=""),
            commit=next(
                (suite.get("name", "")[len(SUITE) :] for suite in suites if suite.get("name", "").startswith(SUITE)), ""
            ),
            seconds=sum(float(suite.get("time", 0)) for suite in suites),
            cases=[_case(each) for suite in suites for each in suite.iter("testcase")],
        )
    except (OSError, ElementTree.ParseError, ValueError) as error:
        raise BadInput("bad_results", f"{path}: {error}") from error


def _case(element: Any) -> Case:
    """tests.unit.test_x and test_y[1-2] → unit/test_x.py, test_y. A file that could not be collected has no class."""
    module = element.get("classname", "") or element.get("name", "")
    outcome: Outcome = "passed"
    reason = ""
    for child in element:
        if child.tag in {"failure", "error"}:
            outcome, reason = "failed", child.get("message", "")
        elif child.tag == "skipped" and outcome == "passed":
            outcome, reason = "skipped", child.get("message", "")
    return Case(
        file=module.removeprefix("tests.").replace(".", "/") + ".py",
        test=element.get("name", "").partition("[")[0],
        outcome=outcome,
        reason=" ".join(reason.split())[:300],
        seconds=float(element.get("time", 0)),
    )


def digest(runs: Sequence[Run]) -> str:
    """One hash over the files' own, in any order."""
    return hashlib.sha256("\n".join(sorted(run.sha256 for run in runs)).encode()).hexdigest()
