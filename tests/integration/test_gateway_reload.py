"""Certificates and keys that change while the gateway runs, how it ends, and the shell that runs it."""

import os
import shutil
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import pytest
from cryptography import x509

from actors.local import debian
from actors.local.ports import LOOPBACK
from tests.gateway import Gateway, gateway
from tests.servers import Pki, certs, server_folder


@pytest.fixture
def front(pki: Pki) -> Iterator[Gateway]:
    """Nothing is behind it."""
    with server_folder("gateway") as folder, gateway(folder, pki.folder, web_port=1, pki_port=1) as made:
        yield made


def shown(front: Gateway) -> int:
    """The serial number of what a new connection is shown."""
    with (
        socket.create_connection((LOOPBACK, front.port), timeout=60) as plain,
        front.tls().wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        der = connection.getpeercert(True)
    assert der is not None
    return x509.load_der_x509_certificate(der).serial_number


def renewed(folder: Path) -> Path:
    """Another PKI's certificate for localhost: (chain, key) in a folder, and what to know it by."""
    certs("init", str(folder))
    certs("issue-server", str(folder), "--name", "localhost")
    return folder


def test_a_renewed_certificate_is_shown_and_nobody_is_dropped(front: Gateway, tmp_path: Path) -> None:
    front.start()
    before = shown(front)
    plain = socket.create_connection((LOOPBACK, front.port), timeout=60)
    asking = front.tls().wrap_socket(plain, server_hostname="localhost")
    asking.sendall(f"POST /login HTTP/1.1\r\nHost: localhost:{front.port}\r\nContent-Length: 4\r\n\r\nab".encode())
    public, fresh = front.secrets / "public", renewed(tmp_path / "fresh")
    shutil.copy(fresh / "trust" / "servers.pem", front.trust)
    shutil.copy(fresh / "servers" / "localhost" / "chain.pem", public / "chain.pem")  # chain and key do not fit yet
    front.until(lambda: "gateway_keeps" in front.errors, "half a renewal was not noticed")
    with pytest.raises(ssl.SSLCertVerificationError):
        shown(front)  # still the old one, which is not known by the new anchor
    shutil.copy(fresh / "servers" / "localhost" / "key.pem", public / "key.pem")
    front.until(lambda: "gateway_reloads" in front.errors, "a renewal was not noticed")
    # asked once: for a moment after a reload old workers take connections, too
    front.until(lambda: _shown(front) not in (None, before), "the renewed certificate is not shown")
    asking.sendall(b"cd")  # the other half of a request that was under way all the time
    assert asking.recv(1_000).startswith(b"HTTP/1.1 502")  # there is no web here
    asking.close()
    assert front.stop() == 0


def test_keys_of_tokens_are_read_anew_and_a_bad_file_is_not(front: Gateway) -> None:
    front.start()
    file = front.secrets / "jwks.json"
    file.write_text("{")
    front.until(lambda: "gateway_keeps" in front.errors, "a bad file was not noticed")
    assert (
        httpx.get(f"{front.url}/metrics", verify=front.tls(), timeout=60.0, trust_env=False).status_code
        == httpx.codes.NOT_FOUND
    )
    file.write_bytes(msgspec.json.encode({"keys": [], "renewed": True}))
    front.until(lambda: "gateway_reloads" in front.errors, "the good file was not noticed")


def test_what_cannot_be_read_at_its_start_is_said(front: Gateway) -> None:
    (front.secrets / "public" / "key.pem").write_text("no key")
    with pytest.raises(AssertionError, match=r"public/key\.pem"):
        front.start()
    assert front.process is not None
    assert front.process.wait(timeout=60) == 1
    assert "gateway_not_started" in front.errors


class Resolver:
    """What `getent` says in the gateway's shell: the lines of a script, which is called as `getent` is.

    The shell's looks follow each other at once, so that many of them take no time; it waits longer for an answer, so that a
    machine that stands still is no silent resolver.
    """

    def __init__(self, front: Gateway, script: str) -> None:
        self._folder = front.folder / "resolver"
        self._folder.mkdir()
        self._program("getent", f"echo $2 >>{self._folder}/asked\n. {self._folder}/script")
        self._program("timeout", f'shift\nexec {shutil.which("timeout")} 15 "$@"')
        self._program("sleep", f'[ "$1" != 2 ] || set -- 0.02\nexec {shutil.which("sleep")} "$@"')
        self.answers(script)
        front.environment = {
            **front.environment,
            "SP_GATEWAY_WEB": "web:8000",
            "SP_GATEWAY_PKI": "pki:8443",
            "PATH": f"{self._folder}:{os.environ['PATH']}",
        }

    def asked(self, name: str) -> int:
        return (self._folder / "asked").read_text().splitlines().count(name)

    def answers(self, script: str) -> None:
        (self._folder / "new").write_text(f"{script}\n")
        (self._folder / "new").replace(self._folder / "script")

    def file(self, name: str) -> Path:
        """For a script to count in."""
        return self._folder / name

    def _program(self, name: str, script: str) -> None:
        program = self._folder / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)


KNOWN = "echo '127.0.0.9 STREAM somebody'; echo '127.0.0.9 DGRAM'; echo '::1 STREAM'"


@pytest.fixture
def resolver(front: Gateway) -> Resolver:
    """Of a gateway that runs and knows everybody."""
    made = Resolver(front, KNOWN)
    front.start()
    text = upstreams(front)
    assert [text.count(address) for address in ("server 127.0.0.9:8", "server [::1]:8")] == [2, 2]
    return made


def upstreams(front: Gateway) -> str:
    return (front.folder / "run" / "conf" / "upstreams.conf").read_text()


def test_a_resolver_that_is_silent_for_a_moment_changes_nothing(front: Gateway, resolver: Resolver) -> None:
    before = upstreams(front)
    resolver.answers(f"[ $2 != web ] || {{ echo x >>{resolver.file('silent')}; exec sleep 30; }}\n{KNOWN}")
    front.until(lambda: resolver.file("silent").exists(), "nobody was asked")  # for longer than anybody waits
    resolver.answers(KNOWN)
    asked = resolver.asked("web")
    front.until(lambda: resolver.asked("web") >= asked + 2, "nobody was asked again")  # one look is over for sure
    assert "gateway_reloads" not in front.errors
    front.until(lambda: upstreams(front) == before, "who was only not heard of is gone")


def test_a_resolver_that_refuses_now_and_then_takes_nobody_away(front: Gateway, resolver: Resolver) -> None:
    """getent ends with 2 for whatever was wrong: no such name, or a resolver that is being restarted."""
    before = upstreams(front)
    count = resolver.file("count")
    row = f"echo x >>{count}; [ $(($(wc -l <{count}) % 7)) = 0 ] || exit 2\n{KNOWN}"  # at most six misses in a row
    resolver.answers(f"[ $2 = web ] || {{ {KNOWN}; exit; }}\n{row}")
    asked = resolver.asked("web")
    front.until(lambda: resolver.asked("web") >= asked + 40, "nobody was asked")
    assert "gateway_reloads" not in front.errors
    resolver.answers(KNOWN)
    front.until(lambda: upstreams(front) == before, "who was only not heard of is gone")


def test_who_is_not_found_for_a_while_is_away_and_comes_back(front: Gateway, resolver: Resolver) -> None:
    before = upstreams(front)
    resolver.answers(f"[ $2 != web ] || exit 2\n{KNOWN}")
    front.until(lambda: "gateway_reloads" in front.errors, "nginx still asks who is gone")
    front.until(lambda: "server 127.0.0.1:1;" in upstreams(front), "who is gone is still there")
    assert "server 127.0.0.9:8443;" in upstreams(front), "the other one was found all the time"
    resolver.answers(KNOWN)
    front.until(lambda: upstreams(front) == before, "who is back is not asked")
    front.until(lambda: front.errors.count("gateway_reloads") == 2, "nginx has not read that")


def test_many_cores_make_no_crowd_of_workers(front: Gateway) -> None:
    """After each reload the old ones stay for as long as somebody looks at a live page; memory and processes are counted."""
    tools = front.folder / "tools"
    tools.mkdir()
    (tools / "nproc").write_text("#!/bin/sh\necho 64\n")
    (tools / "nproc").chmod(0o755)
    front.environment = {**front.environment, "PATH": f"{tools}:{os.environ['PATH']}"}
    front.start()
    assert "worker_processes 4;" in (front.folder / "run" / "conf" / "nginx.conf").read_text()


def test_it_runs_below_busybox(front: Gateway) -> None:
    """Its shell and its tools, as in small images."""
    found = shutil.which("busybox") or debian.unpack("busybox-static", "bin/busybox")
    if found is None:
        pytest.skip("no busybox here, and none to be had: its shell stays unproven")
    busybox = found if isinstance(found, str) else str(found.path)
    tools = front.folder / "tools"
    tools.mkdir()
    for tool in (
        "sh",
        "sed",
        "find",
        "sort",
        "sha256sum",
        "cat",
        "mkdir",
        "mkfifo",
        "mv",
        "rm",
        "date",
        "sleep",
        "dirname",
        "tr",
        "env",
    ):
        (tools / tool).symlink_to(busybox)
    front.environment = {**front.environment, "PATH": str(tools)}
    if "SP_GATEWAY_NGINX" not in front.environment:
        front.environment |= {"SP_GATEWAY_NGINX": str(shutil.which("nginx"))}
    front.start(f"{busybox} sh")
    (front.secrets / "jwks.json").write_bytes(msgspec.json.encode({"keys": [], "renewed": True}))
    front.until(lambda: "gateway_reloads" in front.errors, "a change was not noticed")
    assert front.stop() == 0


def _shown(front: Gateway) -> int | None:
    """None when it is not trusted, or nobody answers."""
    try:
        return shown(front)
    except OSError:
        return None
