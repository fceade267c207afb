"""python -m tests.bench [NAME …]: each benchmark prints one JSON line per figure."""

import importlib
import sys

from tests.bench.figures import print_figure

NAMES = (
    "ingest",
    "overload",
    "twins",
    "ask",
    "live",
    "storm",
    "enrol",
    "revoke",
    "onboard",
    "demo",
    "raw",
    "files",
    "sftp",
    "commands",
    "rollouts",
    "lost",
    "backup",
    "gateway",
    "cluster",
    "sizing",
    "images",
    "compose",
)
ON_REQUEST = ("fuzz",)  # it takes a quarter of an hour, and looks for mistakes


def main(names: list[str]) -> int:
    unknown = set(names) - {*NAMES, *ON_REQUEST}
    if unknown:
        known = ", ".join((*NAMES, *ON_REQUEST))
        print(f"no benchmark is called {', '.join(sorted(unknown))}; there are {known}", file=sys.stderr)
        return 2
    for name in names or NAMES:
        for one in importlib.import_module(f"tests.bench.{name}").run():
            print_figure(one)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
