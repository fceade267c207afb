"""The acceptance record names only what exists, covers all that was promised, and believes only tests that ran."""

import ast
import re
import tomllib
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest
from litestar import Router

from actors.local import cli
from certs import est
from fleet import topics
from fleet.errors import BadInput
from fleet.ids import device_id, site_id
from tests.recette.__main__ import pdf
from tests.recette.book import ROOT, Book, Requirement, book
from tests.recette.machine import Subject
from tests.recette.results import SUITE, Case, Evidence, Run, digest, read_run
from tests.recette.sheet import Sheet, sheet
from tests.recette.verdict import judge, judged, worst
from web.app import API_ROUTERS
from web.health import router as health

PACKAGES = ("ray", "aiomqtt", "asyncssh", "litestar", "msgspec", "asyncpg", "jwt", "cryptography", "structlog", "pytest")
DISTRIBUTIONS = {"jwt": "pyjwt"}
LAYOUT = ("actors", "fleet", "web", "certs", "deploy", "docker-compose.yml", "pyproject.toml", "tests", "README.md")
REQUIREMENTS = book().requirements()
PROMISES = {key for group in book().promises for key in group.promises}
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@cache
def names_in(file: str) -> frozenset[str]:
    path = ROOT / "tests" / file
    tree = ast.parse(path.read_text()) if path.is_file() else ast.Module(body=[], type_ignores=[])
    functions = (each for each in tree.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(each.name for each in functions if each.name.startswith("test_"))


@cache
def every_route() -> frozenset[str]:
    """ "GET /sites/{site}" for every method and path of the web and of the enrolment service."""
    router = Router("/", route_handlers=[*API_ROUTERS, health])
    served = {
        f"{method} {re.sub(r':[a-z]+}', '}', route.path)}"
        for route in router.routes
        for method in getattr(route, "methods", ())
    }
    enrolment = {
        f"{method.upper()} {path}" for method, path in re.findall(r'@(get|post)\("([^"]+)"', Path(est.__file__).read_text())
    }
    return frozenset(served | enrolment)


def test_numbers_are_unique() -> None:
    numbers = [each.id for each in (*REQUIREMENTS, *book().reserves)]
    assert len(numbers) == len(set(numbers))


def test_requirements_name_what_exists() -> None:
    gone = [proof for each in REQUIREMENTS for proof in each.proofs if not _exists(proof)]
    lost = [
        place for each in REQUIREMENTS for place in each.places if not place.startswith("/") and not (ROOT / place).exists()
    ]
    assert (gone, lost) == ([], [])


def _exists(proof: str) -> bool:
    file, _, test = proof.partition("::")
    return test in names_in(file) if test else bool(names_in(file))


def test_requirements_are_french_sentences_that_are_proven_or_say_why_not() -> None:
    for each in REQUIREMENTS:
        assert re.search(r"\b(?:le|la|les|un|une|des|de|du|et|à|est|en|ce)\b.{10,}\.$", each.text), each.id
        assert each.places, each.id
        assert each.promises, each.id
        assert set(each.promises) <= PROMISES, each.id
        assert each.proofs or each.reason or each.lacking, each.id
        assert not (each.proofs and each.lacking), each.id


def test_every_promise_is_covered() -> None:
    assert PROMISES - {key for each in REQUIREMENTS for key in each.promises} == set()


def test_a_call_of_the_contract_is_served_or_the_record_says_that_it_is_lacking() -> None:
    calls = {key for key in PROMISES if re.match(r"(?:GET|POST|PUT|PATCH|DELETE) ", key)} - {"POST /auth/login otp"}
    lacking = {key for each in REQUIREMENTS if each.lacking for key in each.promises}
    assert {call for call in calls if _pattern(call) not in {_pattern(route) for route in every_route()}} == calls & lacking


def _pattern(call: str) -> str:
    return re.sub(r"\{\w+}", "{}", call)


def test_the_channels_of_the_contract_are_the_topics() -> None:
    site, device = site_id("s"), device_id("d")
    channels = {topics.parse(topic).channel for topic in (*topics.up(site, device), *topics.down(site, device))}
    assert channels <= PROMISES
    assert {key for key in PROMISES if key.startswith(("up/", "down/"))} - channels == {"up/raw"}


def test_the_commands_of_the_contract_exist() -> None:
    promised = {key.removeprefix("./run ") for key in PROMISES if key.startswith("./run ")}
    offered = set(re.findall(r"^    (\w+) ", cli._parser().format_help(), re.MULTILINE))
    assert promised <= offered


def test_the_packages_of_the_order_are_depended_on_and_used() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = [*project["dependencies"], *(each for extra in project["optional-dependencies"].values() for each in extra)]
    required = {re.split(r"[\[<>=~! ]", each)[0] for each in named}
    imported: set[str] = set()
    for room in ("actors", "fleet", "web", "certs", "edge", "tests"):
        for file in (ROOT / room).rglob("*.py"):
            imported |= set(re.findall(r"^\s*(?:import|from) (\w+)", file.read_text(), re.MULTILINE))
    assert {DISTRIBUTIONS.get(each, each) for each in PACKAGES} <= required
    assert set(PACKAGES) <= imported


def test_the_layout_of_the_order_is_there() -> None:
    assert [name for name in LAYOUT if not (ROOT / name).exists()] == []


# what is believed -------------------------------------------------------------------------------------------------

PROVEN = "unit/test_x.py::test_a"
XML = '<testsuites><testsuite name="{suite}" timestamp="2026-03-01T10:00:00" time="4.5">{cases}</testsuite></testsuites>'


def results(folder: Path, cases: str, suite: str = SUITE + "c" * 40) -> Run:
    file = folder / "results.xml"
    file.write_text(XML.format(suite=suite, cases=cases))
    return read_run(file)


def requirement(*proofs: str, lacking: str = "", reason: str = "") -> Requirement:
    return Requirement("X-01", "Une exigence.", ["python"], ["README.md"], list(proofs), lacking, reason)


A = '<testcase classname="tests.unit.test_x" name="test_a[{set}]" time="1.5">{inside}</testcase>'


@pytest.mark.parametrize(
    ("cases", "status", "state"),
    [
        ("", "non vérifié", "absent"),
        (A.format(set=1, inside=""), "conforme", "passed"),
        (A.format(set=1, inside="") + A.format(set=2, inside='<failure message="1 != 2"/>'), "non conforme", "failed"),
        (A.format(set=1, inside="") + A.format(set=1, inside='<error message="teardown"/>'), "non conforme", "failed"),
        (A.format(set=1, inside="") + A.format(set=2, inside='<skipped message="no engine"/>'), "non vérifié", "skipped"),
        ('<testcase classname="tests.unit.test_x" name="test_ab"/>', "non vérifié", "absent"),
        ('<testcase classname="tests.unit.test_xy" name="test_a"/>', "non vérifié", "absent"),
    ],
)
def test_only_what_ran_and_passed_is_proven(tmp_path: Path, cases: str, status: str, state: str) -> None:
    line = judge(requirement(PROVEN), Evidence([results(tmp_path, cases)]))
    assert (line.status, line.proofs[0].state) == (status, state)


def test_a_file_that_could_not_be_collected_fails_its_proofs(tmp_path: Path) -> None:
    broken = '<testcase classname="" name="tests.unit.test_x"><error message="collection failure"/></testcase>'
    assert judge(requirement("unit/test_x.py"), Evidence([results(tmp_path, broken)])).status == "non conforme"


def test_one_failure_in_any_run_counts(tmp_path: Path) -> None:
    good, bad = (
        Run(name, name, "", "", 1.0, [Case("unit/test_x.py", "test_a", outcome, "", 1.0)])
        for name, outcome in (("good", "passed"), ("bad", "failed"))
    )
    assert judge(requirement(PROVEN), Evidence([good, bad])).status == "non conforme"
    assert digest([good, bad]) == digest([bad, good]) != digest([good])


def test_what_is_lacking_or_not_wholly_proven_never_conforms(tmp_path: Path) -> None:
    evidence = Evidence([results(tmp_path, A.format(set=1, inside=""))])
    assert judge(requirement(lacking="Rien n'est livré."), evidence).status == "non conforme"
    assert judge(requirement(PROVEN, reason="Une partie n'est qu'essayée à la main."), evidence).status == "non vérifié"
    assert worst(["conforme", "non vérifié", "non conforme"]) == "non conforme"
    assert worst([]) == "non vérifié"


@pytest.mark.parametrize("text", ["", "<testsuites>", "PK\x03\x04", '<testsuite time="soon"/>'])
def test_what_is_no_result_is_refused_by_name(tmp_path: Path, text: str) -> None:
    file = tmp_path / "other.xml"
    file.write_text(text)
    with pytest.raises(BadInput, match=r"other\.xml") as caught:
        read_run(file)
    assert caught.value.code == "bad_results"


def printed(content: Book, runs: list[Run], commit: str = "c" * 40) -> Sheet:
    lines = judged(content, Evidence(runs))
    return sheet(content, lines, runs, Subject("1.2.3", commit, altered=False), [("Python", "3.13.0")], NOW)


def test_results_of_another_commit_are_told_as_such(tmp_path: Path) -> None:
    own = results(tmp_path, "")
    assert printed(book(), [own]).warnings == []
    assert "autre révision" in printed(book(), [own], "d" * 40).warnings[0]
    assert "fichiers modifiés" in printed(book(), [results(tmp_path, "", f"{SUITE}{'c' * 40}+")]).warnings[0]
    assert "ne dit pas" in printed(book(), [results(tmp_path, "", "pytest")]).warnings[0]
    assert "rien n'est prouvé" in printed(book(), []).warnings[0]


def test_the_whole_book_is_printed_with_every_number(tmp_path: Path) -> None:
    hostile = A.format(set=1, inside='<failure message="#panic() &lt;b&gt; * _ $ \\ \u202e"/>')
    content = printed(book(), [results(tmp_path, hostile)])
    counts = content.counts
    assert counts.conforme + counts.non_conforme + counts.non_verifie == len(REQUIREMENTS)
    assert [line.id for chapter in content.chapters for line in chapter.lines] == [each.id for each in REQUIREMENTS]
    assert pdf(content).startswith(b"%PDF-")
