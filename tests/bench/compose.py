"""The installation from images: how long until all of it is healthy, and what of it is open to whoever is outside."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.figures import Figure, figure, note
from tests.bench.images import engine_missing
from tests.compose.confinement import scanned_from
from tests.compose.stack import Stack

PUBLISHED = {8443, 8883, 2222}  # as the containers number them: gateway, broker, drop box


def run() -> Iterator[Figure]:
    """Nothing, and why, where there is no engine. Images are built first, unless SP_TEST_IMAGES=present."""
    why = engine_missing()
    if why:
        note(f"compose: no container engine: {why}")
        return
    with tempfile.TemporaryDirectory() as folder:
        stack = Stack(Path(folder))
        stack.build()
        try:
            begin = time.monotonic()
            stack.up()
            yield figure("compose", "docker compose up, from built images to all healthy", time.monotonic() - begin, "s")
            on_edge = scanned_from(stack, "edge", stack.addresses("edge"))
            open_ports = [port for ports in on_edge.values() for port in ports]
            yield figure("compose", "open ports seen from the edge network", len(open_ports), "ports", len(PUBLISHED))
            yield figure("compose", "of these, not published", len(set(open_ports) - PUBLISHED), "ports")
        finally:
            stack.down()
