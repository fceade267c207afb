"""The house rules, over every file that git knows. A rule that has to give way gives way here, in the open."""

import ast
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENTRIES = {
    "actors", "certs", "deploy", "edge", "fleet", "tests", "web",
    "docker-compose.yml", "pyproject.toml", "README.md", "CHANGELOG.md", "run",
}  # fmt: skip
ROOMS = ("actors/", "certs/", "edge/", "fleet/", "web/")
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60
# What a command line says, it prints; everything else is logged.
SPEAKERS = {
    "actors/doctor/__main__.py", "actors/keeping/__main__.py", "actors/local/audit.py", "actors/local/checks.py",
    "actors/local/cli.py", "actors/local/doctor.py", "actors/local/progress.py", "certs/__main__.py",
    "edge/__main__.py", "edge/agent/cli.py",
}  # fmt: skip
CODE = {".py", ".sql", ".ts", ".js", ".css", ".html", ".po", ".toml", ".sh", ".yml", ".conf", ""}
UNFINISHED = re.compile(r"\b(?:TO[D]O|FIX[M]E|X[X]X)\b|(?i:coming[ ]soon)")
# The places that packages come from are the user's settings; a folder of somebody's machine is nobody else's.
# (Ubuntu's own package of the engine is called like one of them.)
REGISTRY = re.compile(
    r"pypi\.org|pythonhosted\.org|npmjs\.(?:org|com)|yarnpkg\.com"
    r"|(?<!apt-get install )(?<!apt-get install -y )docker\.io"  # Debian calls the engine's package so
    r"|ghcr\.io|quay\.io|crates\.io|jsdelivr\.net"
    r"|unpkg\.com|esm\.sh|deb\.debian\.org|[-]index-url"
)
PRIVATE_PATH = re.compile(r"(?<![\w.~-])/(?:home|root|tmp|work|Users)/\w")
SILENCED = re.compile(r"#\s*noqa(?P<codes>: [A-Z]+\d+(?:, [A-Z]+\d+)*)?(?P<reason> - \w)?")


@cache
def files() -> tuple[str, ...]:
    """As git names them."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("not a clone: nobody knows which files belong to it")
    listed = subprocess.run([git, "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout.decode()
    return tuple(name for name in listed.split("\0") if name and (ROOT / name).is_file())


def modules() -> Iterator[tuple[str, str]]:
    """Each Python file's name and text."""
    return ((name, (ROOT / name).read_text()) for name in files() if name.endswith(".py"))


@cache
def nodes(name: str) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(ast.parse((ROOT / name).read_text(), name)))


def lines(names: Iterator[str]) -> Iterator[tuple[str, str]]:
    """Where, and what stands there."""
    for name in names:
        for number, line in enumerate((ROOT / name).read_text(errors="replace").splitlines(), 1):
            yield f"{name}:{number}", line


def calls(name: str, function: str) -> list[str]:
    found = (node for node in nodes(name) if isinstance(node, ast.Call) and ast.unparse(node.func) == function)
    return [f"{name}:{node.lineno}" for node in found]


def test_the_repository_holds_its_rooms_and_nothing_else() -> None:
    found = {name.partition("/")[0] for name in files()}
    assert {entry for entry in found if not entry.startswith(".")} <= ENTRIES


def test_files_are_short() -> None:
    assert [name for name, text in modules() if text.count("\n") > FILE_LINES_MAX] == []


def test_functions_are_short() -> None:
    long = [
        f"{name}:{node.lineno} {node.name} has {length} lines"
        for name, _ in modules()
        for node in nodes(name)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (length := lines_of(node)) > FUNCTION_LINES_MAX
    ]
    assert long == []


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Without its docstring."""
    length = (function.end_lineno or 0) - function.lineno + 1
    if ast.get_docstring(function) is None:
        return length
    said = function.body[0]
    return length - ((said.end_lineno or 0) - said.lineno + 1)


def test_only_command_lines_print() -> None:
    elsewhere = ("tests/bench/", "tests/recette/")
    silent = (name for name, _ in modules() if name not in SPEAKERS and not name.startswith(elsewhere))
    assert [where for name in silent for where in calls(name, "print")] == []


def test_tests_wait_for_something() -> None:
    """A condition with a deadline, not some time that is usually enough."""
    tests = (name for name, _ in modules() if name.startswith("tests/") and not name.startswith("tests/bench/"))
    assert [where for name in tests for where in calls(name, "time.sleep")] == []


def test_ray_is_wrapped_in_one_place() -> None:
    remote = [
        f"{name}:{node.lineno}"
        for name, _ in modules()
        for node in nodes(name)
        if (isinstance(node, ast.Attribute) and ast.unparse(node) == "ray.remote")
        or (isinstance(node, ast.ImportFrom) and node.module == "ray" and any(each.name == "remote" for each in node.names))
    ]
    assert {where.partition(":")[0] for where in remote} == {"actors/remote.py"}


def test_one_module_knows_the_topics() -> None:
    """Tests may spell them out: they hold the contract with the devices."""
    rooms = (name for name, _ in modules() if name.startswith(ROOMS) and name != "fleet/topics.py")
    assert [where for where, line in lines(rooms) if "sp/v1" in line] == []


def test_whoever_catches_everything_says_why() -> None:
    """Or passes it on. Ruff asks for a mark only where the traceback is not logged; the reason is due in any case."""
    silent = []
    for name, text in modules():
        source = text.splitlines()
        for node in nodes(name):
            if not isinstance(node, ast.ExceptHandler) or isinstance(node.body[-1], ast.Raise):
                continue
            everything = node.type is None or re.search(r"\bException\b", ast.unparse(node.type))
            if everything and not re.search(r": +# (?:noqa: BLE001 - )?(?!noqa)\w", source[node.lineno - 1]):
                silent.append(f"{name}:{node.lineno}")
    assert silent == []


def test_every_silenced_lint_carries_its_reason() -> None:
    python = (name for name, _ in modules())
    found = ((where, SILENCED.search(line)) for where, line in lines(python) if not where.startswith("tests/unit/test_tidy"))
    assert [where for where, mark in found if mark and not (mark["codes"] and mark["reason"])] == []


def test_nothing_is_left_for_later() -> None:
    code = (name for name in files() if Path(name).suffix in CODE)
    assert [where for where, line in lines(code) if UNFINISHED.search(line)] == []


def test_no_registry_and_no_machine_is_named() -> None:
    text = (name for name in files() if Path(name).suffix not in {".png", ".woff2", ".ico"})
    assert [where for where, line in lines(text) if REGISTRY.search(line) or PRIVATE_PATH.search(line)] == []
