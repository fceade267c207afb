"""One installation from images: docker compose with settings of its own, on free ports of loopback, taken away at the end.

SP_TEST_IMAGES=present      uses the images that are there; otherwise they are built first, as an owner does
SP_TEST_BUILD_NETWORK=host  lets a build use the machine's own network, where the engine's leads nowhere
SP_IMAGES, SP_RELEASE, SP_…_IMAGE are handed on: which images
"""

import json
import os
import re
import ssl
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from ipaddress import IPv4Network
from pathlib import Path
from random import choice
from typing import Any, Final, NamedTuple
from uuid import uuid4

import yaml

from actors.local.ports import free_port
from tests.compose.record import FOLDER, until

ROOT: Final = Path(__file__).parents[2]
HEALTHY_S: Final = 300.0
COMMAND_S: Final = 300.0
BUILT: Final = ("slim", "platform", "gateway")


class Container(NamedTuple):
    """One line of `docker ps`. status: such as "Up 3 seconds (healthy)"."""

    id: str
    service: str
    status: str

    @property
    def healthy(self) -> bool:
        return "(healthy)" in self.status


class Stack:
    """Nothing runs yet. port_of: "https", "mqtt", "sftp"; others take the same ones to see what happens.

    variables: as an owner sets them in .env. What the machine's environment or the checkout's .env says counts for nothing.
    """

    def __init__(self, folder: Path, ports: Mapping[str, int] | None = None, **variables: str) -> None:
        self.project = f"sptest{uuid4().hex[:8]}"
        self.folder = folder / self.project
        self.owner = self.folder / "owner"
        self.backups = self.folder / "backups"
        for made in (self.owner, self.backups):
            made.mkdir(parents=True)
        self.ports = dict(ports or {name: free_port() for name in ("https", "mqtt", "sftp")})
        self.url = f"https://localhost:{self.ports['https']}"
        told = {
            "COMPOSE_PROJECT_NAME": self.project,
            "SP_BIND": "127.0.0.1",
            "SP_HTTPS_PORT": str(self.ports["https"]),
            "SP_MQTT_PORT": str(self.ports["mqtt"]),
            "SP_SFTP_PORT": str(self.ports["sftp"]),
            "SP_PUBLIC_URL": self.url,
            # An address is no server name: the gateway answers as it does devices, whatever the owner's certificate is
            "SP_EST_URL": f"https://127.0.0.1:{self.ports['https']}",
            "SP_OWNER_DIR": str(self.owner),
            "SP_BACKUP_DIR": str(self.backups),
            "SP_PROMETHEUS_PORT": str(free_port()),
            "SP_GRAFANA_PORT": str(free_port()),
        }
        self.variables = told | variables
        handed_on = ("SP_IMAGES", "SP_RELEASE")
        self._environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("SP_", "COMPOSE_")) or name in handed_on or name.endswith("_IMAGE")
        }
        self._block = IPv4Network((f"10.{choice(range(64, 192))}.{choice(range(0, 256, 2))}.0", 23))
        self._env_file = self.folder / "env"
        self._override = self.folder / "override.yml"
        self._write()

    def set(self, **variables: str) -> None:
        """As an owner who edits .env."""
        self.variables |= variables
        self._write()

    def _write(self) -> None:
        self._env_file.write_text("".join(f"{name}={value}\n" for name, value in self.variables.items()))
        network = os.environ.get("SP_TEST_BUILD_NETWORK")
        services = [name for name, service in definition()["services"].items() if network and "build" in service]
        # The engine has about thirty networks to give away, other installations of this machine included.
        places = dict(zip(definition()["networks"], self._block.subnets(new_prefix=27), strict=False))
        override = {
            "services": {name: {"build": {"network": network}} for name in services},
            "networks": {name: {"ipam": {"config": [{"subnet": str(place)}]}} for name, place in places.items()},
        }
        self._override.write_text(json.dumps(override))

    # commands -----------------------------------------------------------------------------------------------------------

    def try_compose(
        self, *words: str, told: str | None = None, deadline_s: float = COMMAND_S
    ) -> "subprocess.CompletedProcess[str]":
        """Whatever it comes to. told: on standard input."""
        command = ["docker", "compose", "--project-directory", str(ROOT), "--env-file", str(self._env_file)]
        command += ["-f", str(ROOT / "docker-compose.yml"), "-f", str(self._override), *words]
        return subprocess.run(
            command,
            cwd=ROOT,
            env=self._environment,
            input=told if told is not None else "",
            capture_output=True,
            text=True,
            check=False,
            timeout=deadline_s,
        )

    def compose(self, *words: str, told: str | None = None, deadline_s: float = COMMAND_S) -> str:
        """Its output. AssertionError with what it said when it fails."""
        done = self.try_compose(*words, told=told, deadline_s=deadline_s)
        assert done.returncode == 0, f"docker compose {' '.join(words)}: {done.stdout[-1500:]}\n{done.stderr[-3000:]}"
        return done.stdout

    def exec(self, service: str, *words: str, told: str | None = None) -> str:
        return self.compose("exec", "-T", service, *words, told=told)

    def sql(self, statement: str) -> list[list[str]]:
        """Rows, each value as text."""
        psql = ("psql", "-q", "-A", "-t", "-F", "\x1f", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", "solarperform")
        return [line.split("\x1f") for line in self.exec("postgres", *psql, told=statement).splitlines() if line]

    def logs(self, *services: str) -> str:
        """Lines as the services wrote them: compose clears the terminal's line before each, terminal or not."""
        return self.compose("logs", "--no-color", "--no-log-prefix", *services).replace("\x1b[2K", "")

    # containers ---------------------------------------------------------------------------------------------------------

    def containers(self, service: str | None = None) -> list[Container]:
        """Of compose, in any state; not those of `docker compose run`."""
        wanted = [f"label=com.docker.compose.project={self.project}", "label=com.docker.compose.oneoff=False"]
        if service is not None:
            wanted.append(f"label=com.docker.compose.service={service}")
        shown = '{{.ID}}\t{{.Label "com.docker.compose.service"}}\t{{.Status}}'
        filters = [word for each in wanted for word in ("--filter", each)]
        lines = docker("ps", "--all", *filters, "--format", shown).splitlines()
        return sorted(Container(*line.split("\t")) for line in lines)

    def wait_healthy(self, service: str | None = None, deadline_s: float = HEALTHY_S) -> None:
        """Every running service (but those that have no health check), or those containers."""

        def sick() -> list[str]:
            checked = has_health_check()
            found = self.containers(service)
            return [f"{each.service}: {each.status}" for each in found if each.service in checked and not each.healthy]

        until(lambda: not sick(), lambda: f"healthy: {sick()}", deadline_s)

    def addresses(self, network: str) -> dict[str, str]:
        """Address → name of the container, of all that are attached now."""
        (found,) = json.loads(docker("network", "inspect", f"{self.project}_{network}"))
        return {each["IPv4Address"].partition("/")[0]: each["Name"] for each in found["Containers"].values()}

    def inspected(self, *ids: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(docker("inspect", *ids))
        return found

    # TLS ----------------------------------------------------------------------------------------------------------------

    def servers_pem(self) -> Path:
        """The anchor of the servers' authority, as the gateway holds it."""
        file = self.folder / "servers.pem"
        if not file.exists():
            file.write_text(self.exec("gateway", "cat", "/run/secrets/servers.pem"))
        return file

    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.servers_pem()))

    # life ---------------------------------------------------------------------------------------------------------------

    def build(self) -> None:
        """Images as an owner makes them; or those that are there (see above)."""
        if os.environ.get("SP_TEST_IMAGES") != "present":
            self.compose("build", deadline_s=3_600.0)

    def up(self, *words: str, profiles: Sequence[str] = (), deadline_s: float = 900.0) -> None:
        """words: options and services of `docker compose up`."""
        chosen = [word for name in profiles for word in ("--profile", name)]
        self.compose(
            *chosen, "up", "--detach", "--no-build", "--wait", "--wait-timeout", "600", *words, deadline_s=deadline_s
        )

    @property
    def log_file(self) -> Path:
        return FOLDER / f"{self.project}.log"

    def keep_logs(self) -> Path:
        """What every service has said so far, in a file that stays."""
        with suppress(subprocess.TimeoutExpired):
            said = self.try_compose("--profile", "*", "logs", "--no-color", "--timestamps")
            self.log_file.write_text(said.stdout + said.stderr + self.try_compose("ps", "--all").stdout)
        return self.log_file

    def down(self) -> None:
        self.compose("--profile", "*", "down", "--volumes", "--remove-orphans", "--timeout", "5")


def docker(*words: str, told: str | None = None, deadline_s: float = COMMAND_S) -> str:
    done = subprocess.run(
        ["docker", *words], input=told or "", capture_output=True, text=True, check=False, timeout=deadline_s
    )
    assert done.returncode == 0, f"docker {' '.join(words)[:300]}: {done.stderr[-2000:]}"
    return done.stdout


def image(name: str) -> str:
    """As the compose file calls it."""
    return f"{os.environ.get('SP_IMAGES', 'solarperform')}/{name}:{os.environ.get('SP_RELEASE', '0.1.0')}"


def is_there(name: str) -> bool:
    done = subprocess.run(["docker", "image", "inspect", name], capture_output=True, check=False)
    return done.returncode == 0


def definition() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return found


def has_health_check() -> set[str]:
    return {name for name, service in definition()["services"].items() if "healthcheck" in service}


def wanted_image(service: str) -> str:
    """What the compose file asks for where nobody says anything else."""
    asked = re.fullmatch(r"\$\{(\w+):-([^}]+)\}", definition()["services"][service]["image"])
    assert asked is not None
    return os.environ.get(asked[1], asked[2])


def observers() -> dict[str, str]:
    """For a machine that has another release of these images and no registry: SP_…_IMAGE of what is there."""
    found = {}
    for service in ("prometheus", "alertmanager", "grafana"):
        newest = f"{wanted_image(service).rpartition(':')[0]}:latest"
        if not is_there(wanted_image(service)) and is_there(newest):
            found[f"SP_{service.upper()}_IMAGE"] = newest
    return found
