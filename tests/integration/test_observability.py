"""Alerts and dashboards ask for figures that the platform tells, in PromQL that Prometheus takes."""

import asyncio
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from httpx import AsyncClient
from prometheus_client.parser import text_string_to_metric_families

from actors.local import debian
from actors.local.ports import LOOPBACK, free_port
from fleet.errors import BadInput, Unavailable
from fleet.runtime.metrics_port import open_metrics
from fleet.settings import MetricsSettings, NotifierSettings, save
from tests.fleet_rig import until
from tests.servers import Database, Pki
from tests.web_app import Web
from web import operations

FOLDER = Path(__file__).parents[2] / "deploy" / "observability"
DASHBOARDS = sorted((FOLDER / "grafana" / "dashboards").glob("*.json"))
RULES = sorted((FOLDER / "prometheus" / "rules").glob("*.yml"))
PROMETHEUS_ITSELF = {"up"}
KEYWORDS = {"and", "or", "unless", "bool", "offset"}
ANNOTATIONS = {"quoi", "pourquoi", "que_faire", "what", "why", "what_to_do"}
# What the processes without HTTP of their own tell, all of it in one.
SERVICES = """
import sys
from pathlib import Path
from prometheus_client import REGISTRY, generate_latest
import actors.dropbox.figures, actors.guard.figures, actors.importer.figures, actors.keeper
import actors.notifier.figures, actors.rollouts.figures
from certs.authority import Pki
from certs.figures import OwnCertificates
REGISTRY.register(OwnCertificates(Pki(Path(sys.argv[1]))))
sys.stdout.write(generate_latest().decode())
"""


def names(exposition: str) -> set[str]:
    """Those that PromQL can ask for."""
    found = set()
    for family in text_string_to_metric_families(exposition):
        match family.type:
            case "counter":
                found.add(f"{family.name}_total")
            case "histogram":
                found |= {f"{family.name}_{part}" for part in ("bucket", "sum", "count")}
            case _:
                found.add(family.name)
    return found


def asked(expression: str) -> set[str]:
    """The names of figures in an expression: what is neither a label, nor a function, nor a word of the language."""
    bare = re.sub(r'"[^"]*"', "", expression)
    bare = re.sub(r"\{[^}]*\}|\b(?:by|without|on|ignoring)\s*\([^)]*\)", "", bare)
    return set(re.findall(r"(?<![\w:])[a-zA-Z_:][\w:]*(?![\w:]*\s*\()", bare)) - KEYWORDS


def panels(dashboard: Path) -> Iterator[tuple[str, str]]:
    """Where, and an expression as Grafana would send it."""
    for panel in json.loads(dashboard.read_text())["panels"]:
        for target in panel.get("targets", ()):
            yield f"{dashboard.stem}: {panel['title']}", target["expr"].replace("$__rate_interval", "5m")


def alerts() -> list[dict[str, Any]]:
    return [rule for file in RULES for group in msgspec.yaml.decode(file.read_bytes())["groups"] for rule in group["rules"]]


@pytest.fixture(scope="module")
def services(pki: Pki) -> str:
    """An exposition of all services but the web."""
    return subprocess.run(
        [sys.executable, "-c", SERVICES, pki.folder], check=True, capture_output=True, text=True, timeout=150
    ).stdout


async def test_every_figure_that_is_asked_for_is_told(web: Web, services: str) -> None:
    answer = await web.client.get("/metrics")
    told = names(answer.text) | names(services) | PROMETHEUS_ITSELF
    wanted = [each for dashboard in DASHBOARDS for each in panels(dashboard)]
    wanted += [(alert["alert"], alert["expr"]) for alert in alerts()]
    assert len(wanted) > 100
    assert {where: missing for where, expression in wanted if (missing := asked(expression) - told)} == {}
    assert all(asked(expression) for _, expression in wanted)


def test_dashboards_have_an_identity_and_a_place_for_each_panel() -> None:
    read = [json.loads(file.read_text()) for file in DASHBOARDS]
    assert [one["uid"] for one in read] == [file.stem for file in DASHBOARDS]
    for one in read:
        assert len({panel["id"] for panel in one["panels"]}) == len(one["panels"])
        taken = [
            (x, y)
            for place in (panel["gridPos"] for panel in one["panels"])
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        ]
        assert len(taken) == len(set(taken))
        assert max(x for x, _ in taken) < 24


def test_each_alert_says_what_why_and_what_to_do_in_both_languages() -> None:
    read = alerts()
    assert len({alert["alert"] for alert in read}) == len(read)
    for alert in read:
        assert alert["labels"]["severity"] in {"critical", "warning", "info"}, alert["alert"]
        assert set(alert["annotations"]) == ANNOTATIONS, alert["alert"]
        assert all(alert["annotations"].values()), alert["alert"]


def folder_of(package: str, program: str) -> str:
    """Where a program of Debian's is, unpacked where the machine has none: installed, it would start a service."""
    if installed := shutil.which(program):
        return str(Path(installed).parent)
    unpacked = debian.unpack(package, f"usr/bin/{program}")
    if unpacked is None:
        pytest.skip(f"no {program} here, and none to be had; deploy/observability/check.sh takes it from the image")
    return str(unpacked.path.parent)


def test_prometheus_and_alertmanager_take_all_of_it(tmp_path: Path) -> None:
    """The dashboards' expressions too, as rules."""
    folders = [folder_of("prometheus", "promtool"), folder_of("prometheus-alertmanager", "amtool")]
    recorded = [
        {"record": f"panel:{number}", "expr": expression}
        for number, (_, expression) in enumerate(each for file in DASHBOARDS for each in panels(file))
    ]
    (tmp_path / "panels.yml").write_text(json.dumps({"groups": [{"name": "panels", "rules": recorded}]}))
    environment = os.environ | {"PATH": os.pathsep.join([*folders, os.environ["PATH"]])}
    done = subprocess.run([FOLDER / "check.sh", tmp_path], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


async def test_a_service_tells_its_figures_where_its_settings_say(database: Database, tmp_path: Path) -> None:
    port = free_port()
    settings = NotifierSettings(
        database.sp_notifier, tmp_path / "mail", tmp_path / "ready", metrics=MetricsSettings(port=port)
    )
    save(tmp_path / "notifier.json", settings)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "actors.notifier", "--settings", tmp_path / "notifier.json"
    )
    try:

        async def ready() -> bool:
            return settings.ready_file.exists()

        await until(ready)
        async with AsyncClient(timeout=60.0) as client:
            told = names((await client.get(f"http://{LOOPBACK}:{port}/metrics")).text)
    finally:
        process.terminate()
        await process.wait()
    assert {"solarperform_notifier_mails_total", "process_resident_memory_bytes"} <= told


@pytest.mark.parametrize("host", ["fe80::1%nosuch", "192.0.2.1"], ids=["no-such-name", "of-another-machine"])
def test_a_place_for_figures_that_is_not_ours_is_no_port_that_is_busy(host: str) -> None:
    with pytest.raises(BadInput, match="SP_METRICS_HOST") as raised:
        open_metrics(MetricsSettings(port=free_port(), host=host))
    assert raised.value.code == "bad_metrics_host"
    assert host in raised.value.detail


def test_a_port_for_figures_that_another_process_has_is_busy() -> None:
    with socket.create_server((LOOPBACK, 0)) as other, pytest.raises(Unavailable) as raised:
        open_metrics(MetricsSettings(port=other.getsockname()[1]))
    assert raised.value.code == "port_busy"


async def test_what_postgresql_holds_is_told_and_its_absence_too(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "_PATIENCE_S", 60.0)  # a machine that stands still is no database that is away

    def value(exposition: str, line: str) -> float | None:
        found = re.search(rf"^{re.escape(line)} (\S+)$", exposition, re.MULTILINE)
        return None if found is None else float(found[1])

    async with web.services.pool.acquire() as connection:
        assert await connection.fetchval("SELECT has_table_privilege('accounts.mail', 'SELECT')") is False
    there = (await web.client.get("/metrics")).text
    assert value(there, "solarperform_database_up") == 1
    assert value(there, "solarperform_rollouts_held") == 0
    assert (value(there, "solarperform_database_backends") or 0) >= 1
    web.services.pool.terminate()
    web.services.operations._looked_at_s = 0.0
    away = (await web.client.get("/metrics")).text
    assert value(away, "solarperform_database_up") == 0
    assert value(away, "solarperform_rollouts_held") is None
    assert value(away, 'solarperform_shard_messages_total{shard="0"}') == 100
