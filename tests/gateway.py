"""The gateway as it is deployed, in front of the real web and the real authority: real nginx, started by its own script."""

import asyncio
import os
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from actors.local import debian
from actors.local.ports import LOOPBACK, free_port
from fleet import settings
from tests.authority import with_patience
from tests.servers import Database, certs
from tests.web_app import PASSWORD, seed, web_settings
from web.tokens import load_tokens

FOLDER = Path(__file__).parents[1] / "deploy" / "gateway"
_MODULE = "usr/lib/nginx/modules/ngx_http_js_module.so"
_START_S = 90.0  # Python, on a machine with much else to do


@cache
def nginx() -> dict[str, str]:
    """What start.sh's environment says of this machine's nginx. Without one the test is skipped, and says so."""
    if shutil.which("nginx") and Path("/", _MODULE).exists():
        return {}
    program = debian.unpack("nginx", "usr/sbin/nginx")
    module = debian.unpack("libnginx-mod-http-js", _MODULE)
    if program is None or module is None:
        pytest.skip("no nginx with its JavaScript module here, and none to be had: the gateway stays unproven")
    return program.env | {"SP_GATEWAY_NGINX": str(program.path), "SP_GATEWAY_MODULE": str(module.path)}


@dataclass
class Gateway:
    """url: of the portal, by its name; port: of every name. secrets: as the containers' volume of that name.

    environment: of start.sh. image: the one to run it in, as the installation does; None: with this machine's nginx.
    """

    port: int
    url: str
    folder: Path
    environment: Mapping[str, str]
    image: str | None = None
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def secrets(self) -> Path:
        return self.folder / "secrets"

    @property
    def trust(self) -> Path:
        return self.secrets / "servers.pem"

    @property
    def log(self) -> list[dict[str, Any]]:
        """One entry a request."""
        return [msgspec.json.decode(line) for line in self.log_lines]

    @property
    def log_lines(self) -> list[str]:
        """Those that are written to their end: nginx may be at work on another one."""
        return (self.folder / "access.log").read_text().rpartition("\n")[0].splitlines()

    @property
    def errors(self) -> str:
        return (self.folder / "gateway.log").read_text()

    def start(self, shell: str = "sh") -> None:
        command, env = [*shell.split(), str(FOLDER / "start.sh")], {**os.environ, **self.environment}
        if self.image is None:
            env |= nginx()
        else:
            told = [word for name, value in self.environment.items() for word in ("-e", f"{name}={value}")]
            mounts = ["-v", f"{self.folder}:{self.folder}", "-v", f"{FOLDER}:{FOLDER}:ro"]
            # the folder belongs to whoever runs this
            user = f"{os.getuid()}:{os.getgid()}"
            command = ["docker", "run", "--rm", "--network", "host", "--user", user, *mounts, *told, self.image, *command]
        with (self.folder / "gateway.log").open("ab") as log:
            self.process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
        self.until(lambda: "gateway_starts" in self.errors and self._listens(), "the gateway did not start")

    def until(self, condition: Any, what: str) -> None:
        assert self.process is not None
        end = time.monotonic() + _START_S
        while not condition():
            assert self.process.poll() is None, f"the gateway ended: {self.errors[-3000:]}"
            assert time.monotonic() < end, f"{what}: {self.errors[-3000:]}"
            with_patience()

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(timeout=60)

    def tls(self, shown: tuple[Path, Path] | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.trust))
        if shown is not None:
            context.load_cert_chain(*shown)
        return context

    def client(self, **more: Any) -> httpx.Client:
        return httpx.Client(base_url=self.url, verify=self.tls(), timeout=60.0, trust_env=False, **more)

    def _listens(self) -> bool:
        try:
            with httpx.Client(verify=self.tls(), timeout=5.0, trust_env=False) as client:
                client.get(f"{self.url}/health/live")
        except httpx.TransportError:
            return False
        return True


@contextmanager
def gateway(
    folder: Path, pki: Path, *, web_port: int, pki_port: int, jwks: Any = None, image: str | None = None
) -> Iterator[Gateway]:
    """Not started. pki: with a certificate of servers/localhost, which the authority shows as well."""
    port = free_port()
    made = Gateway(port, f"https://localhost:{port}", folder, {}, image)
    certs("issue-platform", str(pki), "sp-gateway")
    certs("issue-server", str(pki), "--name", "devices.test")
    for name, source in (
        ("public", pki / "servers" / "localhost"),
        ("server", pki / "servers" / "devices.test"),
        ("sp-gateway", pki / "platform" / "sp-gateway"),
    ):
        shutil.copytree(source, made.secrets / name)
    for name in ("devices.pem", "servers.pem"):
        shutil.copy(pki / "trust" / name, made.secrets / name)
    (made.secrets / "jwks.json").write_bytes(msgspec.json.encode(jwks or {"keys": []}))
    made.environment = {
        "SP_HOST": "localhost",
        "SP_PUBLIC_URL": made.url,
        "SP_GATEWAY_SECRETS": str(made.secrets),
        "SP_GATEWAY_RUN": str(folder / "run"),
        "SP_GATEWAY_LOG": str(folder / "access.log"),
        "SP_GATEWAY_LISTEN": f"{LOOPBACK}:{port}",
        "SP_GATEWAY_HEALTH_PORT": str(free_port()),
        "SP_GATEWAY_WEB": f"{LOOPBACK}:{web_port}",
        "SP_GATEWAY_PKI": f"{LOOPBACK}:{pki_port}",
        "SP_GATEWAY_PKI_NAME": "localhost",
    }
    try:
        yield made
    finally:
        if made.process is not None and made.process.poll() is None:
            made.stop()


class WebProcess:
    """`python -m web` but for the twins, which are away. key_file, jwks: of its access tokens."""

    def __init__(self, folder: Path, database: Database) -> None:
        self.folder = folder
        self.port = free_port()
        self.key_file = folder / "jwt_key.pem"
        key = ec.generate_private_key(ec.SECP256R1())
        self.key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        self.jwks = {"keys": [load_tokens(self.key_file, "any").jwk]}
        self._database = database
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def log(self) -> str:
        return (self.folder / "web.log").read_text()

    def start(self, public_url: str) -> None:
        wanted = msgspec.structs.replace(
            web_settings(self._database, self.folder, None),
            port=self.port,
            public_url=public_url,
            jwt_key_file=self.key_file,
            trusted_proxies=(LOOPBACK,),
        )
        settings.save(self.folder / "web.json", wanted)
        words = [str(self.folder / "web.json"), str(self.folder / "no-twins")]
        command = [sys.executable, "-m", "tests.crash.web_process", *words]
        with (self.folder / "web.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log)
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()
        end = time.monotonic() + _START_S
        while not self._answers():
            assert self._process.poll() is None, self.log[-3000:]
            assert time.monotonic() < end, self.log[-3000:]
            with_patience()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=60)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health/live", trust_env=False).is_success
        except httpx.TransportError:
            return False


@dataclass
class Site:
    """A gateway with the web behind it; no authority listens."""

    gateway: Gateway
    web: WebProcess

    def sign_in(self, client: httpx.Client, email: str = "otto@example.org") -> dict[str, str]:
        """Headers of a request by this person."""
        answer = client.post("/api/v1/auth/login", json={"email": email, "password": PASSWORD})
        assert answer.status_code == httpx.codes.OK, answer.text
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}

    def entry(self, answer: httpx.Response) -> dict[str, Any]:
        """What the gateway has logged of it."""
        wanted = answer.headers["x-request-id"]
        found: list[str] = []

        def logged() -> bool:
            found[:] = [line for line in self.gateway.log_lines if wanted in line]
            return bool(found)

        self.gateway.until(logged, "nothing was logged")
        entry: dict[str, Any] = msgspec.json.decode(found[0])
        return entry


@contextmanager
def gateway_site(folder: Path, database: Database, pki: Path, image: str | None = None) -> Iterator[Site]:
    """Not within an event loop."""
    asyncio.run(seed(database.owner))
    web = WebProcess(folder, database)
    with gateway(folder, pki, web_port=web.port, pki_port=free_port(), jwks=web.jwks, image=image) as made:
        try:
            made.start()
            web.start(made.url)
            yield Site(made, web)
        finally:
            web.kill()
