"""deploy/ray says the same as the command that starts a node: ports, settings, secrets, versions."""

import json
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from actors.cluster.node_command import WORKER_PORTS, release, worker_command
from actors.cluster.ray_environment import environment
from fleet.settings import ImporterSettings, NodeSettings, RaySettings, RolloutsSettings, TwinsSettings, WebSettings, load

ROOT = Path(__file__).parents[2]
_VALIDATE = """
import sys, yaml
from ray.autoscaler._private.util import prepare_config, validate_config
validate_config(prepare_config(yaml.safe_load(open(sys.argv[1]))))
"""
RAY = ROOT / "deploy" / "ray"
SETTINGS = ROOT / "deploy" / "settings"
NODE = load(SETTINGS / "node.json", NodeSettings, {})
TOLD = {
    "SP_METRICS_HOST": "0.0.0.0",  # noqa: S104 - in a pod, behind the network policy
    "SP_PUBLIC_URL": "https://sun.example.org",
    "SP_EST_URL": "https://devices.example.org",
    "SP_DEVICES_HOST": "devices.example.org",
    "SP_SFTP_PORT": "2222",
}
OBJECTS: list[dict[str, Any]] = [
    each for file in sorted((RAY / "kuberay").glob("*.yaml")) for each in yaml.safe_load_all(file.read_text())
]


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [each for each in OBJECTS if each["kind"] == kind]


def ray_pods() -> list[dict[str, Any]]:
    """The specifications of those that are nodes, by their templates."""
    (cluster,) = of_kind("RayCluster")
    groups = [cluster["spec"]["headGroupSpec"], *cluster["spec"]["workerGroupSpecs"]]
    return [group["template"] for group in groups] + [each["spec"]["template"] for each in of_kind("Deployment")]


def options(command: list[str]) -> dict[str, str]:
    return dict(word.removeprefix("--").split("=", 1) for word in command if word.startswith("--") and "=" in word)


def test_a_node_listens_within_its_hundred_ports_only() -> None:
    told = options(worker_command(NODE.ray, "192.0.2.1", shards_max=4))
    ports = [int(value) for name, value in told.items() if name.endswith("-port")]
    assert len(set(ports)) == len(ports) == 8  # six of its own, and the first and the last of the processes on it
    assert all(NODE.ray.first_port <= port < NODE.ray.first_port + WORKER_PORTS.stop for port in ports)


def test_shards_run_where_their_release_is_offered() -> None:
    offered = options(worker_command(NODE.ray, "192.0.2.1", shards_max=3))
    assert json.loads(offered["resources"]) == {release(): 3}
    assert offered["num-cpus"] == "3"
    asks = options(worker_command(NODE.ray, "192.0.2.1", shards_max=0))
    assert (json.loads(asks["resources"]), asks["num-cpus"]) == ({}, "0")


def test_one_machine_is_not_told_of_clusters() -> None:
    alone = RaySettings(Path("a"), Path("t"), Path("r"))
    assert "RAY_health_check_period_ms" not in environment(alone)
    assert environment(alone)["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"
    assert environment(NODE.ray)["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "1", "or a node obeys what its environment says"
    assert environment(NODE.ray)["RAY_AUTH_MODE"] == "token"


def test_the_network_policy_opens_the_nodes_ports_to_nodes_alone() -> None:
    policies = {each["metadata"]["name"]: each["spec"] for each in of_kind("NetworkPolicy")}
    (opened,) = policies["ray"]["ingress"]
    first = NODE.ray.first_port
    assert opened["ports"] == [
        {"protocol": "TCP", "port": int((NODE.ray.cluster or "").rpartition(":")[2])},
        {"protocol": "TCP", "port": first, "endPort": first + WORKER_PORTS.stop - 1},
    ]
    selected = policies["ray"]["podSelector"]
    assert opened["from"] == [{"podSelector": selected}]
    assert all(selected["matchLabels"].items() <= pod["metadata"]["labels"].items() for pod in ray_pods())


def opened_to(labels: dict[str, str]) -> dict[int, list[dict[str, Any]]]:
    """To whom the policies open which single port of a pod that has these labels."""
    selecting = [
        each["spec"] for each in of_kind("NetworkPolicy")
        if each["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    ]  # fmt: skip
    return {
        port["port"]: rule["from"]
        for policy in selecting
        for rule in policy["ingress"]
        for port in rule["ports"]
        if "endPort" not in port
    }


def test_prometheus_reads_the_figures_of_every_node_and_people_reach_the_web() -> None:
    watching = {"namespaceSelector": {"matchLabels": {"solarperform/metrics": "yes"}}}
    twins = load(SETTINGS / "twins.json", TwinsSettings, {})
    web = load(SETTINGS / "web.json", WebSettings, TOLD)
    assert twins.metrics is not None
    for pod in ray_pods():
        assert opened_to(pod["metadata"]["labels"])[twins.metrics.port] == [watching]
        assert web.port not in opened_to(pod["metadata"]["labels"])
    of_the_web = opened_to({"app": "solarperform-web", "solarperform/ray": "yes"})
    assert of_the_web[web.port] == [{"podSelector": {"matchLabels": {"app": "solarperform-gateway"}}}, watching]


def test_figures_are_told_at_an_address_that_the_pod_has() -> None:
    """Among containers of one machine it is a name on Prometheus' network; pods have no such name."""
    for pod in (each["spec"]["template"] for each in of_kind("Deployment")):
        (container,) = pod["spec"]["containers"]
        told = {each["name"]: each["value"] for each in container["env"]}
        metrics = load(SETTINGS / Path(container["command"][-1]).name, TwinsSettings, told).metrics
        assert metrics is not None
        assert metrics.host == TOLD["SP_METRICS_HOST"]
        assert [port["containerPort"] for port in container["ports"]] == [metrics.port]
    importer = load(SETTINGS / "importer.json", ImporterSettings, TOLD)
    rollouts = load(SETTINGS / "rollouts.json", RolloutsSettings, TOLD)
    assert [each.metrics.host for each in (importer, rollouts) if each.metrics is not None] == [TOLD["SP_METRICS_HOST"]] * 2


def test_every_pod_runs_our_command_with_settings_that_are_there() -> None:
    for pod in ray_pods():
        (container,) = pod["spec"]["containers"]
        python, flag, module, *words, option, file = container["command"]
        assert (python, flag, option) == ("python", "-m", "--settings")
        settings = SETTINGS / Path(file).name
        if module == "actors.cluster.node":
            assert words in (["head"], ["worker"])
            load(settings, NodeSettings, {})
        else:
            assert (module, words) == ("actors", [])
            load(settings, TwinsSettings, {})


def test_every_pod_has_the_secrets_that_its_settings_name_and_none_is_written_down() -> None:
    assert of_kind("Secret") == []
    twins = load(SETTINGS / "twins.json", TwinsSettings, {})
    assert NODE.redis is not None
    needed = {
        str(file.relative_to("/run/secrets"))
        for file in (
            NODE.ray.token_file, NODE.redis.password_file, twins.database.password_file,
            twins.broker.ca_file, twins.broker.cert_file, twins.broker.key_file,
        )
    }  # fmt: skip
    for pod in ray_pods():
        (secret,) = [volume["secret"] for volume in pod["spec"]["volumes"] if volume["name"] == "secrets"]
        assert {item["path"] for item in secret["items"]} == needed
        (container,) = pod["spec"]["containers"]
        mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert mounted["secrets"] == "/run/secrets"
        assert str(NODE.ray.temp_dir).startswith(mounted["run"])


def test_pods_are_closed() -> None:
    for pod in ray_pods():
        assert pod["spec"]["securityContext"]["runAsNonRoot"]
        assert not pod["spec"]["automountServiceAccountToken"]
        (container,) = pod["spec"]["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]
        shared = next(volume["emptyDir"] for volume in pod["spec"]["volumes"] if volume["name"] == "shm")
        assert int(shared["sizeLimit"].removesuffix("Mi")) * 1024 * 1024 > NODE.ray.object_store_bytes


def test_the_cluster_is_of_the_ray_that_the_images_hold_and_of_their_release() -> None:
    (cluster,) = of_kind("RayCluster")
    assert cluster["spec"]["rayVersion"] == version("ray")
    assert cluster["metadata"]["annotations"]["ray.io/overwrite-container-cmd"] == "true"
    (image,) = [each for each in of_kind("Kustomization")[0]["images"] if each["name"] == "solarperform/platform"]
    assert f"release-{image['newTag']}" == release()


def test_the_head_has_the_name_and_the_memory_that_the_settings_say() -> None:
    host, _, port = (NODE.ray.cluster or "").rpartition(":")
    head = next(each for each in of_kind("Service") if each["metadata"]["name"] == host)
    assert head["spec"]["clusterIP"] == "None"
    assert [each["port"] for each in head["spec"]["ports"]] == [int(port)]
    (cluster,) = of_kind("RayCluster")
    assert NODE.redis is not None
    assert cluster["spec"]["gcsFaultToleranceOptions"]["redisAddress"] == f"{NODE.redis.host}:{NODE.redis.port}"


def test_ray_up_starts_the_same_workers_on_networks_that_reach_them() -> None:
    told = yaml.safe_load((RAY / "cluster.yaml").read_text())
    subprocess.run([sys.executable, "-c", _VALIDATE, str(RAY / "cluster.yaml")], check=True)
    created, *connected = [
        each for each in told["worker_start_ray_commands"] if "docker create" in each or "connect" in each
    ]
    assert created.endswith("python -m actors.cluster.node worker --settings /etc/solarperform/node.json")
    assert {"--read-only", "--init"} <= set(created.split())
    size = re.search(r"--shm-size (\d+)m", created)
    assert size is not None
    assert int(size[1]) * 1024 * 1024 > NODE.ray.object_store_bytes
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    assert f"--pids-limit {compose['services']['ray-worker']['pids_limit']} " in created
    assert f"--env SP_SHARDS={NODE.shards_max} " in created
    reaching = yaml.safe_load((RAY / "overlay.yaml").read_text())["networks"]
    needed = compose["services"]["ray-worker"]["networks"]
    assert set(reaching) == set(needed)
    assert all(network["attachable"] and network["driver_opts"] == {"encrypted": ""} for network in reaching.values())
    names = {*re.findall(r"--network (\S+)", created), *(each.split()[3] for each in connected)}
    assert names == {network["name"] for network in reaching.values()}


def test_every_command_of_the_first_machine_knows_of_the_networks() -> None:
    """What one command line alone is told, the next one undoes: `up`, and the backup that cron calls."""
    told = yaml.safe_load((RAY / "cluster.yaml").read_text())
    assert all(" -f " not in command and "--file" not in command for command in told["head_start_ray_commands"])
    for text in (RAY / "cluster.yaml", RAY / "overlay.yaml", RAY / "README.md", ROOT / "deploy" / "README.md"):
        (files,) = {each.split("=")[1] for each in re.findall(r"COMPOSE_FILE=[\w./:-]+", text.read_text())}
        assert files.split(":")[0] == "docker-compose.yml"
        assert (ROOT / files.split(":")[1]).samefile(RAY / "overlay.yaml")


def test_what_kuberay_puts_before_a_worker_shows_the_clusters_token() -> None:
    """It lets a container wait for the head there, with Ray's own command and the worker's environment."""
    (cluster,) = of_kind("RayCluster")
    for group in cluster["spec"]["workerGroupSpecs"]:
        (container,) = group["template"]["spec"]["containers"]
        told = {each["name"]: each["value"] for each in container["env"]}
        wanted = environment(NODE.ray)
        for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH"):
            assert told[name] == wanted[name]
