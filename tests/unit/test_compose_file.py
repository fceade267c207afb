"""docker-compose.yml and deploy/settings, held to the rules of the installation; nothing is started."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
import yaml

from actors.doctor.settings import DoctorSettings
from actors.jobs.holders import HOLDERS
from fleet import settings
from fleet.storage.migrate import SERVICE_ROLES

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SETTINGS = sorted((ROOT / "deploy" / "settings").glob("*.json"))

STRUCTS: Final[dict[str, type[msgspec.Struct]]] = {
    "demo": settings.DemoSettings,
    "doctor": DoctorSettings,
    "guard": settings.GuardSettings,
    "importer": settings.ImporterSettings,
    "keeping": settings.KeepingSettings,
    "migrate": settings.MigrateSettings,
    "node": settings.NodeSettings,
    "notifier": settings.NotifierSettings,
    "notifier-smtp": settings.NotifierSettings,
    "pki": settings.PkiSettings,
    "rollouts": settings.RolloutsSettings,
    "sftp": settings.SftpSettings,
    "twins": settings.TwinsSettings,
    "web": settings.WebSettings,
}
PUBLISHED: Final = {"gateway": 8443, "broker": 8883, "sftp": 2222}
FOR_OPERATORS: Final = {"prometheus": 9090, "grafana": 3000}  # on loopback, whatever is set
ONCE: Final = {"init-pki", "migrate", "demo-data", "doctor", "backup", "restore"}
# No part of the way of a message, and they say by themselves when they do not run.
UNCHECKED: Final = {"prometheus", "alertmanager", "grafana"}
OF_ROOT: Final = {"init-pki", "keys", "backup", "restore"}
CAPABILITIES: Final = {
    "init-pki": {"CHOWN", "DAC_OVERRIDE", "FOWNER"},
    "keys": {"CHOWN", "DAC_OVERRIDE", "FOWNER"},
    "backup": {"DAC_READ_SEARCH", "DAC_OVERRIDE"},
    "restore": {"CHOWN", "DAC_OVERRIDE", "FOWNER"},
}
LEAD_OUTSIDE: Final = {"edge", "egress", "egress-customers", "watch"}
OF_THE_OWNER: Final = ("${SP_OWNER_DIR:-", "${SP_BACKUP_DIR:-", "${SP_BACKUP_KEY:-")


def networks_of(service: str) -> set[str]:
    return set(SERVICES[service].get("networks", ()))


def on(network: str) -> set[str]:
    return {service for service in SERVICES if network in networks_of(service)}


def mounts() -> Iterator[tuple[str, str, str, bool]]:
    """(service, source, target, whether it may only be read)."""
    for name, service in SERVICES.items():
        for mount in service.get("volumes", ()):
            source, target, mode = re.fullmatch(r"(\$\{[^}]*\}|[^:]+):([^:]+)(?::(ro))?", mount).groups()  # type: ignore[union-attr]
            yield name, source, target, mode == "ro"


def environment(service: str) -> dict[str, str]:
    """What the container is told when the owner has set nothing but mail."""
    told = {"SP_SMTP_HOST": "mail.example.org", "SP_SMTP_FROM": "solar@example.org"}
    filled: dict[str, str] = {}
    for name, value in SERVICES[service].get("environment", {}).items():
        text = str(value)
        while found := re.search(r"\$\{(\w+)(?::-((?:[^{}])*))?\}", text):
            text = text[: found.start()] + told.get(found[1], found[2] or "") + text[found.end() :]
        filled[name] = text
    return filled


@pytest.mark.parametrize("file", SETTINGS, ids=lambda file: file.stem)
def test_settings_load_with_what_the_compose_file_tells(file: Path) -> None:
    service = next(
        (name for name, each in SERVICES.items() if f"/etc/solarperform/{file.stem}.json" in str(each)),
        "notifier" if file.stem.startswith("notifier") else "",
    )
    assert service, "nobody is told of it"
    assert settings.load(file, STRUCTS[file.stem], environment(service)) is not None


def test_every_settings_file_that_is_named_exists() -> None:
    named = set(re.findall(r"/etc/solarperform/([\w-]+)\.json", (ROOT / "docker-compose.yml").read_text()))
    assert named <= {file.stem for file in SETTINGS}
    assert {file.stem for file in SETTINGS} == STRUCTS.keys()


@pytest.mark.parametrize("service", SERVICES)
def test_every_container_is_confined(service: str) -> None:
    asked = SERVICES[service]
    assert asked["read_only"] is True
    assert asked["cap_drop"] == ["ALL"]
    assert set(asked.get("cap_add", ())) == CAPABILITIES.get(service, set())
    assert asked["security_opt"] == ["no-new-privileges:true"]
    assert asked["pids_limit"] > 0
    assert re.fullmatch(r"\d+[mg]", asked["mem_limit"])
    assert asked["logging"]["options"].keys() >= {"max-size", "max-file"}
    assert asked["restart"] == ("no" if service in ONCE else "unless-stopped")
    assert not {"privileged", "pid", "ipc", "devices", "userns_mode", "cgroup_parent"} & asked.keys()
    assert (asked.get("user", "10001").partition(":")[0] == "0") == (service in OF_ROOT)
    assert asked.get("network_mode", "none") == "none"


@pytest.mark.parametrize("service", SERVICES)
def test_whoever_goes_on_says_whether_it_is_well(service: str) -> None:
    assert ("healthcheck" in SERVICES[service]) != (service in ONCE | UNCHECKED)


def test_who_hands_keys_out_may_miss_no_more_than_a_round_or_two() -> None:
    told = " ".join(SERVICES["keys"]["command"])
    every_s, file = re.search(r"--every-s (\d+) --ready-file (\S+)", told).groups()  # type: ignore[union-attr]
    *_, looked_at, _, within_s = SERVICES["keys"]["healthcheck"]["test"]
    assert looked_at == file
    assert 2 * int(every_s) < int(within_s) < 4 * int(every_s)
    assert any(file.startswith(f"{each.partition(':')[0]}/") for each in SERVICES["keys"]["tmpfs"]), "the rest is read only"


def test_three_ports_are_published_and_the_operators_on_loopback() -> None:
    inside = {name: int(port.rpartition(":")[2]) for name, each in SERVICES.items() for port in each.get("ports", ())}
    assert inside == PUBLISHED | FOR_OPERATORS
    for name in FOR_OPERATORS:
        assert SERVICES[name]["ports"][0].startswith("127.0.0.1:")
    for name in PUBLISHED:
        assert SERVICES[name]["ports"][0].startswith("${SP_BIND:-")


def test_networks_let_through_what_is_needed() -> None:
    internal = {name for name, network in COMPOSE["networks"].items() if (network or {}).get("internal")}
    assert set(COMPOSE["networks"]) - internal == LEAD_OUTSIDE
    assert on("edge") == {*PUBLISHED, "simulator"}
    assert {network for name in on("edge") for network in networks_of(name)} - internal == {"edge"}, "no way out by it"
    assert all(SERVICES[name]["dns_opt"] == ["ndots:1"] for name in on("edge")), "nor for what nobody here is called"
    assert networks_of("sftp") == {"edge", "data-sftp", "metrics-sftp"}
    assert networks_of("pki") == {"front-pki", "data-pki", "metrics-pki"}
    assert on("data-sftp") == {"postgres", "sftp"}
    assert on("data-pki") == {"postgres", "pki"}
    assert on("metrics-sftp") == {"sftp", "prometheus", "doctor"}
    assert on("metrics-pki") == {"pki", "prometheus"}
    assert on("front-pki") == {"gateway", "pki"}
    assert on("egress-customers") == {"importer", "web"}
    assert on("egress") == {"notifier", "alertmanager", "doctor"}
    assert not on("ray") & on("edge"), "whoever is open to the outside is no part of Ray's cluster"
    assert all("networks" in service or service.get("network_mode") == "none" for service in SERVICES.values())
    assert {network for name in SERVICES for network in networks_of(name)} == set(COMPOSE["networks"])


def test_the_web_believes_the_one_network_on_which_it_is_called_so() -> None:
    told = settings.load(ROOT / "deploy" / "settings" / "web.json", settings.WebSettings, environment("web"))
    ((kind, _, name),) = (entry.partition(":") for entry in told.trusted_proxies)
    assert kind == "network-of"
    called = [network for network, asked in SERVICES["web"]["networks"].items() if name in (asked or {}).get("aliases", ())]
    assert called == ["front"]
    assert on("front") == {"gateway", "web", "doctor"}
    doctor = settings.load(ROOT / "deploy" / "settings" / "doctor.json", DoctorSettings, environment("doctor"))
    assert doctor.web_settings == Path("/etc/solarperform/web.json")


def test_nothing_of_the_machine_can_be_written_and_little_is_seen() -> None:
    of_the_machine = [mount for mount in mounts() if mount[1].startswith(("./", "$", "/", "~"))]
    strange = [mount for mount in of_the_machine if not mount[1].startswith(("./deploy/", *OF_THE_OWNER))]
    assert strange == []
    written = {(service, target) for service, _, target, read_only in of_the_machine if not read_only}
    assert written == {("backup", "/backups"), ("restore", "/backups"), ("restore", "/kept/owner")}


def test_every_volume_is_used_and_declared() -> None:
    used = {source for _, source, _, _ in mounts() if not source.startswith(("./", "$", "/"))}
    assert used == set(COMPOSE["volumes"])


def test_each_volume_of_keys_is_for_its_holder() -> None:
    keys = [mount for mount in mounts() if mount[1].startswith("keys-")]
    filled = {source for service, source, target, _ in keys if service == "init-pki" and target == f"/keys/{source[5:]}"}
    assert filled == {f"keys-{holder.name}" for holder in HOLDERS}
    read = [mount for mount in keys if mount[0] not in ("init-pki", "keys")]
    assert [mount for mount in read if not mount[3] or mount[2] != "/run/secrets"] == []
    assert {source for _, source, _, _ in read} == filled


def test_signing_keys_and_the_vault_are_seen_by_few() -> None:
    assert {service for service, source, _, _ in mounts() if source == "pki"} == {
        "init-pki", "keys", "pki", "demo-data", "backup", "restore",
    }  # fmt: skip
    assert {service for service, source, _, _ in mounts() if source == "vault"} == {"init-pki", "keys", "backup", "restore"}


def test_no_secret_stands_in_the_environment() -> None:
    secret = re.compile(r"password|secret|token|key", re.IGNORECASE)
    for name, service in SERVICES.items():
        told = [variable for variable in service.get("environment", {}) if secret.search(variable)]
        assert [variable for variable in told if not variable.endswith(("_FILE", "__FILE"))] == [], name


def test_images_are_pinned_and_can_be_the_owners_own() -> None:
    for name, service in SERVICES.items():
        image = service["image"]
        assert image.startswith("${SP_"), name
        assert re.search(r":-[^}]*:?[\w./-]*\}?:?.*\d", image), f"{name}: {image}"
        assert "latest" not in image


def test_a_restore_leaves_the_passwords_of_the_database_that_it_finds() -> None:
    told = settings.load(ROOT / "deploy" / "settings" / "keeping.json", settings.KeepingSettings, {})
    (vault,) = (folder for folder in told.folders if folder.name == "vault")
    assert set(vault.leave) == {"postgres", "redis", "redis.conf", *SERVICE_ROLES}
