"""What a container may do, see and reach: looked at from outside, through the engine, and from within."""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from actors.jobs.holders import HOLDERS, Holder
from tests.compose.stack import Stack, definition, docker, image

SCAN: Final = (Path(__file__).parent / "scan.py").read_text()
KEYS_JOBS: Final = {"init-pki", "keys"}
ONCE: Final = {"init-pki", "migrate", "demo-data"}
KEYS_CAPABILITIES: Final = {"CHOWN", "DAC_OVERRIDE", "FOWNER"}
# What anything of ours listens on anywhere; Ray's nodes within the first fifty of their range.
OUR_PORTS: Final = "22,80,443,1883,2222,3000,5432,6379,8000,8080,8443,8883,8884,9090,9093,9464,6400-6450,10001"
_PRIVATE_KEY: Final = r"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/=]{40,}"


class Secret(NamedTuple):
    """A file that a holder has. mode: such as 400."""

    holder: str
    name: str
    uid: int
    mode: str


def faults(stack: Stack) -> Iterator[str]:
    """What is wrong with any container of the installation, whatever its state."""
    containers = stack.containers()
    for container, found in zip(containers, stack.inspected(*(each.id for each in containers)), strict=True):
        yield from (f"{container.service}: {fault}" for fault in _faults_of(container.service, found))


def _faults_of(service: str, found: dict[str, Any]) -> Iterator[str]:
    host, is_keys_job = found["HostConfig"], service in KEYS_JOBS
    user = found["Config"]["User"].partition(":")[0]
    if not user.isdigit() or (user == "0") != is_keys_job:
        yield f"runs as {user!r}"
    added = {name.removeprefix("CAP_") for name in host["CapAdd"] or ()}
    if added != (KEYS_CAPABILITIES if is_keys_job else set()) or host["CapDrop"] != ["ALL"]:
        yield f"capabilities +{added} -{host['CapDrop']}"
    if host["Privileged"] or host["PidMode"] or host["IpcMode"] == "host" or host["NetworkMode"] == "host":
        yield "shares the machine's namespaces"
    if not host["ReadonlyRootfs"]:
        yield "may write its root"
    if not any(option.startswith("no-new-privileges") for option in host["SecurityOpt"] or ()):
        yield "may gain privileges"
    if not host["Memory"] or not host["PidsLimit"] or host["PidsLimit"] < 0:
        yield f"memory {host['Memory']}, processes {host['PidsLimit']}: unlimited"
    if not {"max-size", "max-file"} <= host["LogConfig"]["Config"].keys():
        yield "its log grows for ever"
    if host["RestartPolicy"]["Name"] != ("no" if service in ONCE else "unless-stopped"):
        yield f"restarts: {host['RestartPolicy']['Name']}"
    writable = [mount["Source"] for mount in found["Mounts"] if mount["Type"] == "bind" and mount["RW"]]
    if writable:
        yield f"may write the machine's {writable}"


def held(stack: Stack) -> set[Secret]:
    """Every file in every service's volume of secrets."""
    names = [holder.name for holder in HOLDERS]
    mounts = [word for name in names for word in ("-v", f"{stack.project}_keys-{name}:/keys/{name}:ro")]
    listing = docker(
        "run", "--rm", "--network", "none", "--user", "0:0", *mounts, image("slim"),
        "find", "/keys", "-type", "f", "-printf", "%P %U %m\n",
    )  # fmt: skip
    found = (line.split() for line in listing.splitlines())
    return {Secret(*path.split("/", 1), int(uid), mode) for path, uid, mode in found}  # type: ignore[call-arg]


def expected(holder: Holder) -> set[str]:
    """The names of what it has to have, where the owner has nothing of their own."""
    names = {*holder.secrets, *(f"{name}.pem" for name in holder.trust)}
    pairs = [holder.client] if holder.client else []
    if holder.server:
        pairs += ["server", "public"]
    if holder.like_pki:
        pairs.append("pki/servers/broker")
        names |= {"pki/trust/devices.pem", "pki/trust/platform.pem"}
    return names | {f"{pair}/{name}.pem" for pair in pairs for name in ("chain", "key")}


def secret_texts(stack: Stack) -> list[str]:
    """Whatever is secret, as it would be found elsewhere: passwords, and a line out of the middle of each private key."""
    told = docker(
        "run", "--rm", "--network", "none", "--user", "0:0",
        "-v", f"{stack.project}_vault:/v/vault:ro", "-v", f"{stack.project}_pki:/v/pki:ro", image("slim"),
        "find", "/v", "-type", "f", "!", "-name", "*.pub", "!", "-name", "jwks.json", "-size", "-16k",
        "-exec", "cat", "{}", ";", "-exec", "echo", ";",
    )  # fmt: skip
    texts, inside_key = [], False
    for line in told.splitlines():
        if line.startswith("-----"):
            inside_key = "PRIVATE KEY" in line and "BEGIN" in line
        elif (inside_key and len(line) >= 40) or re.fullmatch("[0-9a-f]{64}", line):
            texts.append(line)
    return texts


def told_in_the_open(stack: Stack) -> list[str]:
    """Secrets in what the engine tells about containers and images, and private keys among the files of our images."""
    shown = docker("inspect", *(each.id for each in stack.containers()))
    images = {found["Image"] for found in json.loads(shown)}
    shown += "".join(docker("history", "--no-trunc", each) + docker("image", "inspect", each) for each in sorted(images))
    found = [f"{text[:6]}…" for text in secret_texts(stack) if text in shown]
    for name in ("slim", "platform", "gateway"):
        search = f"find / -xdev -type f -size -32k -exec grep -lPz -e '{_PRIVATE_KEY}' {{}} + || true"
        inside = docker("run", "--rm", "--network", "none", "--user", "0:0", "--entrypoint", "sh", image(name), "-c", search)
        found += [f"{name}: {line}" for line in inside.splitlines()]
    return found


def scanned_from(stack: Stack, network: str, addresses: Iterable[str], ports: str = "all") -> dict[str, list[int]]:
    """By a container of nobody's that is attached to that network."""
    said = docker(
        "run", "--rm", "-i", "--network", f"{stack.project}_{network}", image("platform"), "python", "-", ports, *addresses,
        told=SCAN, deadline_s=900.0,
    )  # fmt: skip
    found: dict[str, list[int]] = json.loads(said)
    return found


def reached_by(stack: Stack, service: str) -> dict[str, list[int]]:
    """container → those of our ports that the service can connect to, over any network, itself left out."""
    own = set(stack.inspected(*(each.id for each in stack.containers(service)))[0]["NetworkSettings"]["Networks"])
    everybody: dict[str, str] = {}
    for network in networks(stack):
        everybody |= stack.addresses(network)
    assert own, "it is on no network"
    said = stack.exec(service, "python", "-", OUR_PORTS, *everybody, told=SCAN)
    mine = f"{stack.project}-{service}-"
    reached: dict[str, list[int]] = {}
    for address, ports in json.loads(said).items():
        if ports and not everybody[address].startswith(mine):
            name = everybody[address].removeprefix(f"{stack.project}-").rpartition("-")[0]
            reached[name] = sorted({*reached.get(name, []), *ports})
    return reached


def networks(stack: Stack) -> list[str]:
    there = docker("network", "ls", "--filter", f"label=com.docker.compose.project={stack.project}", "--format", "{{.Name}}")
    found = [name.removeprefix(f"{stack.project}_") for name in there.split()]
    assert set(found) <= definition()["networks"].keys()
    return found
