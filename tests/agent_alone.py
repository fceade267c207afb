"""The site agent where nothing else of the platform is installed: python -m tests.agent_alone enrol …

Whatever lies outside the standard library, the agent's own packages and the two rooms that it is made of cannot be imported.
With a file's path in AGENT_HALTS_AFTER it halts once it has written that file, to be killed there and nowhere else.
"""

import os
import signal
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Final

# What [project.dependencies] of pyproject.toml brings, by the names of its modules
PACKAGES: Final = {
    "aiomqtt", "paho", "mqtt5", "msgspec", "cryptography", "_cffi_backend", "structlog", "pymodbus", "sunspec2", "serial",
    "typing_extensions",
}  # fmt: skip
SERVER_PARTS: Final = (
    "fleet.storage",
    "fleet.sun",
    "fleet.energy",
    "edge.simulator",
    "edge.site_model",
    "edge.load",
)


class NothingElse(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        top = fullname.partition(".")[0]
        known = top in sys.stdlib_module_names or top in PACKAGES or top in {"edge", "fleet"}
        if not known or fullname.startswith(SERVER_PARTS):
            raise ModuleNotFoundError(f"not on a Raspberry Pi: {fullname}", name=fullname)
        return None


def halt_after(last: Path) -> None:
    from edge.agent import files

    write = files.replace

    def replace(path: Path, content: bytes) -> None:
        write(path, content)
        if path == last:
            os.kill(os.getpid(), signal.SIGSTOP)

    files.replace = replace


if __name__ == "__main__":
    sys.meta_path.insert(0, NothingElse())
    from edge.agent.cli import main

    if "AGENT_HALTS_AFTER" in os.environ:
        halt_after(Path(os.environ["AGENT_HALTS_AFTER"]))
    sys.exit(main())
