"""python -m actors.health: the health check of the images' processes. 0 = well. Standard library only: it runs often.

file FILE              its process has become ready, and its event loop has turned since (see fleet.runtime.process), or
                       what it does every few minutes came to its end (--within-s)
http PORT PATH         the answer is 2xx; asked by the loopback name, which every allowed host may be told as
processes NAME ...     programs of these names run in this container, as Ray's own do
"""

import argparse
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

FRESH_S = 60.0  # a ready file is touched every few seconds; a slow disk or a busy core is no illness
_PATIENCE_S = 3.0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m actors.health", description=__doc__)
    ways = parser.add_subparsers(dest="way", required=True)
    file = ways.add_parser("file")
    file.add_argument("file", type=Path)
    file.add_argument("--within-s", type=float, default=FRESH_S)
    http = ways.add_parser("http")
    http.add_argument("port", type=int)
    http.add_argument("path")
    ways.add_parser("processes").add_argument("names", nargs="+")
    chosen = parser.parse_args(arguments)
    match chosen.way:
        case "file":
            ill = file_ill(chosen.file, time.time(), chosen.within_s)
        case "http":
            ill = http_ill(chosen.port, chosen.path)
        case _:
            ill = processes_ill(chosen.names)
    sys.stdout.write(f"{ill or 'well'}\n")  # the engine keeps what a check has said
    return 1 if ill else 0


def file_ill(file: Path, now_s: float, within_s: float = FRESH_S) -> str | None:
    try:
        age_s = now_s - file.stat().st_mtime
    except OSError:
        return f"{file} is not there: not ready yet; the log says what it waits for"
    return (
        f"{file} was not touched for {age_s:.0f} s: the process hangs, or fails; see its log" if age_s > within_s else None
    )


def http_ill(port: int, path: str) -> str | None:
    """A socket rather than a client: importing one takes longer than all the rest."""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_S) as connection:
            connection.sendall(request.encode())
            answer = b""
            while piece := connection.recv(4096):
                answer += piece
    except OSError as error:
        return f"port {port} does not answer: {error}"
    status = answer.split(b" ", 2)[1:2]
    if status and status[0].startswith(b"2"):
        return None
    return f"{path} says {answer.partition(chr(13).encode())[0].decode(errors='replace')} {_body(answer)}"


def processes_ill(names: Sequence[str]) -> str | None:
    running = {_name(folder) for folder in Path("/proc").iterdir() if folder.name.isdigit()}
    missing = [name for name in names if name[:15] not in running]  # so much of a name is kept by the kernel
    return f"not running: {', '.join(missing)}" if missing else None


def _name(folder: Path) -> str:
    """Empty for one that has ended, also where nobody has taken note of it yet."""
    try:
        text = (folder / "stat").read_text()
    except OSError:
        return ""
    name, _, rest = text.partition("(")[2].rpartition(")")
    return "" if rest.split()[0] == "Z" else name


def _body(answer: bytes) -> str:
    return answer.partition(b"\r\n\r\n")[2][:200].decode(errors="replace")


if __name__ == "__main__":
    sys.exit(main())
