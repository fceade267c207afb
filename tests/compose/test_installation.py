"""The installation from images: built, started, used, broken, kept and brought back, as on an owner's machine.

The tests go on where the one before ended, in this order. ./run test --compose; tests.compose.stack says what may be set.
"""

import asyncio
import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from actors.jobs.holders import HOLDERS
from tests.compose import confinement, doors, faults, keeping
from tests.compose.conftest import World
from tests.compose.machine import Machine, rows_of
from tests.compose.outside import outside
from tests.compose.people import Person, first_administrator, invited
from tests.compose.record import Record, until
from tests.compose.stack import Stack, docker, image, is_there, observers, wanted_image

pytestmark = [pytest.mark.compose, pytest.mark.timeout(1_800)]

SEEN_S = 120.0  # deadlines, not goals
PUBLISHED = {"gateway": [8443], "broker": [8883], "sftp": [2222]}


# start ------------------------------------------------------------------------------------------------------------------


@pytest.mark.timeout(5_400)  # images are built, on a machine that may have nothing of them
def test_it_comes_up_healthy(world: World, record: Record) -> None:
    with record.timed("images are built"):
        world.stack.build()
    with record.timed("docker compose up --wait", goal_s=90):
        world.stack.up()
    world.stack.wait_healthy()
    record.say("healthy", containers=len(world.stack.containers()))
    world.is_up = True


def test_exactly_three_ports_are_published(stack: Stack, record: Record) -> None:
    lines = [json.loads(line) for line in stack.compose("ps", "--format", "json").splitlines()]
    published = {
        (line["Service"], each["TargetPort"], each["PublishedPort"], each["URL"])
        for line in lines
        for each in line["Publishers"] or ()
        if each["PublishedPort"]
    }
    assert published == {
        ("gateway", 8443, stack.ports["https"], "127.0.0.1"),
        ("broker", 8883, stack.ports["mqtt"], "127.0.0.1"),
        ("sftp", 2222, stack.ports["sftp"], "127.0.0.1"),
    }
    record.say("published", ports=",".join(str(port) for _, port, _, _ in sorted(published)))


def test_a_port_scan_from_the_edge_finds_these_and_nothing_else(stack: Stack, record: Record) -> None:
    on_edge = stack.addresses("edge")
    with record.timed("scan of edge, 65535 ports each", addresses=len(on_edge)):
        found = confinement.scanned_from(stack, "edge", on_edge)
    by_service = {on_edge[each].removeprefix(f"{stack.project}-").rpartition("-")[0]: ports for each, ports in found.items()}
    assert by_service == PUBLISHED
    outside = stack.addresses("egress")
    on_egress = confinement.scanned_from(stack, "egress", outside)
    assert {outside[each]: ports for each, ports in on_egress.items() if ports} == {}, "nobody serves where it leads outside"
    customers = stack.addresses("egress-customers")
    assert {name.removeprefix(f"{stack.project}-") for name in customers.values()} == {"importer-1", "web-1"}


def test_every_container_is_confined(stack: Stack, record: Record) -> None:
    assert list(confinement.faults(stack)) == []
    record.say("confined", containers=len(stack.containers()))


def test_every_service_holds_its_own_secrets_and_no_others(stack: Stack, record: Record) -> None:
    found = confinement.held(stack)
    assert {(each.holder, each.name) for each in found} == {
        (holder.name, name) for holder in HOLDERS for name in confinement.expected(holder)
    }
    readers = {holder.name: holder.uid for holder in HOLDERS}
    assert [each for each in found if each.uid != readers[each.holder] or int(each.mode, 8) & 0o077] == []
    record.say("secrets", files=len(found), holders=len(HOLDERS))


def test_no_secret_is_told_in_the_open(stack: Stack) -> None:
    assert len(confinement.secret_texts(stack)) > 20
    assert confinement.told_in_the_open(stack) == []


def test_sftp_and_the_authority_reach_what_they_need(stack: Stack, record: Record) -> None:
    """The other doors are as open to sftp as to anybody outside."""
    sftp = confinement.reached_by(stack, "sftp")
    assert sftp == {"postgres": [5432], "gateway": [8443], "broker": [8883]}
    assert set(stack.addresses("data-sftp").values()) == {f"{stack.project}-{name}-1" for name in ("postgres", "sftp")}
    pki = confinement.reached_by(stack, "pki")
    assert pki == {"postgres": [5432], "gateway": [8443]}
    record.say("reached by sftp", **{name: ports[0] for name, ports in sftp.items()})
    record.say("reached by pki", **{name: ports[0] for name, ports in pki.items()})


def test_the_doors_are_open_inwards_only(stack: Stack, record: Record) -> None:
    """Whoever takes one over finds no way out by it: the notifier, who mails, has one."""
    with outside() as host:
        found = {}
        for network in ("egress", "edge"):
            found[network] = confinement.scanned_from(stack, network, [host.address], str(host.port))[host.address]
    assert found == {"egress": [host.port], "edge": []}
    record.say("from edge to a host outside", open_ports=0)


def test_ray_is_out_of_reach_from_the_edge(stack: Stack) -> None:
    inside = {**stack.addresses("ray"), **stack.addresses("data"), **stack.addresses("mqtt")}
    found = confinement.scanned_from(stack, "edge", inside, confinement.OUR_PORTS)
    assert {inside[address]: ports for address, ports in found.items() if ports} == {}


# use --------------------------------------------------------------------------------------------------------------------


def test_the_first_administrator_comes_in_by_the_link_and_people_are_invited(world: World, stack: Stack) -> None:
    world.people["admin"] = first_administrator(stack, "ada@example.org")
    assert world.people["admin"].get("/me")["role"] == "admin"
    world.people["installer"] = invited(stack, "jo@example.org", kind="installer", company="Toits du Sud", role="installer")
    world.people["ops"] = invited(stack, "otto@example.org", kind="platform", company="Exploitation", role="ops")
    assert [world.people[role].get("/me")["role"] for role in ("installer", "ops")] == ["installer", "ops"]


def test_a_real_agent_is_onboarded_through_the_gateway(world: World, stack: Stack, folder: Path, record: Record) -> None:
    installer = world.person("installer")
    form = {"name": "Ferme", "owner_email": "claire@example.org", "owner_name": "Claire", "latitude": 44, "longitude": 5}
    world.site = installer.post("/sites", form)["id"]
    claim = installer.post(f"/sites/{world.site}/claims", {"profile": "meter", "name": "Compteur"})
    machine = Machine(folder / "agent")
    with record.timed("agent enrolled (EST, gateway)"):
        machine.enrol(claim["link"], claim["device"])
    with record.timed("first reading seen in the API"):
        machine.start()
        world.machine = machine
        path = f"/claims/{claim['claim_id']}"
        until(lambda: installer.get(path)["first_sample_at"], lambda: machine.agent.log[-2000:], SEEN_S)
    (device,) = installer.get(f"/sites/{world.site}/live")["devices"]
    assert device["device"] == machine.device
    assert "grid_power_w" in device["readings"]


def test_a_file_put_by_sftp_is_imported(world: World, stack: Stack, record: Record) -> None:
    installer = world.person("installer")
    opened = installer.post(f"/sites/{world.site}/loggers", {"name": "Enregistreur"})
    box, user = opened["drop_box"], opened["logger"]["device"]
    new = {"serial": "SN-1", "profile": "imported-inverter", "name": "Onduleur", "gateway": user}
    installer.post(f"/sites/{world.site}/devices", new)
    begin_ms = int(time.time()) // 86_400 * 86_400_000 - 3 * 86_400_000
    rows = [(begin_ms + number * 600_000, 100.0 * number) for number in range(100)]
    content = "time,serial,pv_power_w\n" + "".join(f"{t},SN-1,{power}\n" for t, power in rows)
    with record.timed("file by SFTP, imported", rows=len(rows)):
        asyncio.run(doors.put(box["port"], user, opened["password"], box["host_keys"], content))

        def ended() -> dict[str, object] | None:
            files = installer.get("/imports", params={"site": world.site})["items"]
            return next((each for each in files if each["state"] not in ("received", "reading", "storing")), None)

        found = until(ended, lambda: stack.logs("importer")[-2000:], SEEN_S)
    assert found is not None
    assert found["state"] == "imported", found
    assert found["rows"] == {"read": 100, "new": 100, "same": 0, "corrected": 0, "waiting": 0, "late": 0}
    ((stored,),) = stack.sql(f"SELECT count(*) FROM telemetry.sample WHERE time < to_timestamp({begin_ms / 1_000 + 60_000})")  # noqa: S608 - a number
    assert int(stored) == 100


def test_a_configuration_and_a_command_reach_the_agent(world: World, record: Record) -> None:
    ops, device = world.person("ops"), world.agent().device
    path = f"/devices/{device}/config"
    version = ops.ask("GET", path).headers["ETag"]
    with record.timed("configuration changed, in sync"):
        form = {"values": {"report_interval_s": 2}, "why": "a closer look"}
        answer = ops.ask("PUT", path, json=form, headers={"If-Match": version})
        assert answer.status_code == 200, answer.text
        until(lambda: ops.get(path)["status"] == "in_sync", lambda: ops.get(path), SEEN_S)
    assert ops.get(path)["reported"]["values"]["report_interval_s"] == 2
    stale = ops.ask("PUT", path, json=form, headers={"If-Match": version})
    assert stale.status_code == 412
    with record.timed("command succeeded"):
        given = ops.post(f"/devices/{device}/commands", {"name": "read_info"}, 202)
        until(
            lambda: ops.get(f"/commands/{given['id']}")["state"] == "succeeded",
            lambda: ops.get(f"/commands/{given['id']}"),
            SEEN_S,
        )


def test_the_gateway_refuses_tokens_before_the_web_sees_them(world: World, stack: Stack, record: Record) -> None:
    genuine, now = world.person("admin").token(), int(time.time())
    tokens = {
        None: "not_signed_in",
        "e30.e30.e30": "bad_token",
        doors.signed(genuine, None, exp=now + 60): "bad_token",  # forged
        doors.signed(genuine, stack, iat=1_000, exp=now - 5): "bad_token",  # expired
    }
    ids = set()
    for token, code in tokens.items():
        answer = doors.asked(stack, token)
        assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")
        assert answer.json()["code"] == code
        ids.add(answer.headers["x-request-id"])
    good, brief = doors.signed(genuine, stack, exp=now + 60), doors.signed(genuine, stack, exp=int(time.time()) + 5)
    for _ in range(3):  # by now its signature is known to the gateway
        assert [doors.asked(stack, each).status_code for each in (good, brief)] == [200, 200], "signed so, they are such"
    (head, claims, _), (_, others, seal) = good.split("."), brief.split(".")
    for mixed in (f"{head}.{others}.{good.split('.')[2]}", f"{head}.{claims}.{seal}"):
        assert doors.asked(stack, mixed).json()["code"] == "bad_token"
    until(lambda: doors.asked(stack, brief).status_code == 401, lambda: "a token that has ended is refused", SEEN_S)
    until(lambda: len(doors.requests_seen(stack, ids)) == len(tokens), "the gateway's log tells of them", SEEN_S)
    seen = doors.requests_seen(stack, ids)
    assert {line["upstream"] for line in seen} == {""}, "nobody behind it was asked"
    record.say("refused at the gateway", tokens=len(seen), seen_by_web=0)


# faults -----------------------------------------------------------------------------------------------------------------


def test_whatever_is_killed_comes_back_and_nothing_acknowledged_is_lost(world: World, stack: Stack, record: Record) -> None:
    ops, machine = world.person("ops"), world.agent()
    for container in stack.containers():
        if "Up" not in container.status:
            continue  # done, once
        stored, before, began = rows_of(stack, machine.device), faults.started_at(stack, container), time.monotonic()
        faults.kill(stack, container)
        live_s = faults.answers_again(ops, world.site, began)
        back_s = faults.back_again(stack, container, before, began)
        until(lambda: rows_of(stack, machine.device) > stored, f"readings go on after {container.service}", 300.0)  # noqa: B023 - asked at once
        stack.wait_healthy()
        record.say(f"killed: {container.service}", live_again_s=live_s, healthy_again_s=back_s)
    _nothing_is_missing(machine, stack, record)


def test_a_worker_more_and_one_less_moves_shards_and_loses_nothing(world: World, stack: Stack, record: Record) -> None:
    ops, machine = world.person("ops"), world.agent()
    for workers in (3, 2):
        with record.timed(f"scaled to {workers} workers"):
            stack.up("--no-recreate", "--scale", f"ray-worker={workers}", "ray-worker")
            until(lambda: _spread(stack, workers), lambda: faults.shards_of(stack), 300.0)  # noqa: B023 - asked at once
            faults.answers_again(ops, world.site, time.monotonic())
        record.say("shards by worker", spread="+".join(map(str, sorted(faults.shards_of(stack).values()))))
    _nothing_is_missing(machine, stack, record)


def _spread(stack: Stack, workers: int) -> bool:
    held = list(faults.shards_of(stack).values())
    return len(held) == workers and sum(held) == 4 and min(held) >= 1


def _nothing_is_missing(machine: Machine, stack: Stack, record: Record) -> None:
    machine.stop()
    acknowledged, lost = machine.missing(stack)
    machine.start()
    record.say("samples acknowledged", number=acknowledged, without_row=len(lost))
    assert acknowledged > 0
    assert lost == []


def test_a_renewed_certificate_is_shown_and_no_stream_is_cut(world: World, stack: Stack, record: Record) -> None:
    ops, port = world.person("ops"), stack.ports["https"]
    world.agent()
    before = faults.shown_certificate(port)
    for_devices = faults.shown_certificate(port, "127.0.0.1")
    with faults.watched(ops, world.site) as stream:
        own = faults.own_certificate(stack.owner, "localhost")
        with record.timed("owner's certificate is shown"):
            stack.compose("run", "--rm", "-T", "--no-deps", "init-pki")  # what `keys` does every five minutes
            until(lambda: faults.shown_certificate(port) == own, "the owner's certificate is shown", SEEN_S)
        assert faults.shown_certificate(port, "127.0.0.1") == for_devices, "devices see what they trust"
        seen = stream.events
        until(lambda: stream.events > seen or stream.over, "the open stream goes on", SEEN_S)
        assert not stream.over, stream.why
        (stack.owner / "key.pem").write_bytes(b"not a key")
        refused = stack.try_compose("run", "--rm", "-T", "--no-deps", "init-pki")
        assert "owner_certificate_refused" in refused.stdout + refused.stderr
        assert faults.shown_certificate(port) == own, "the one before stays"
        for name in ("chain.pem", "key.pem"):
            (stack.owner / name).unlink()
        stack.compose("run", "--rm", "-T", "--no-deps", "init-pki")
        until(lambda: faults.shown_certificate(port) == before, "without it: the servers' own again", SEEN_S)
    record.say("open stream", events=stream.events, cut=stream.over and bool(stream.why))


# keeping ----------------------------------------------------------------------------------------------------------------


def test_a_backup_is_brought_back_into_a_second_installation(
    world: World, stack: Stack, another: Callable[..., Stack], record: Record
) -> None:
    """The first one is away meanwhile, as on the day when it is needed; and comes back as it was."""
    ops, machine = world.person("ops"), world.agent()
    machine.stop()
    with record.timed("backup"):
        archive = keeping.backed_up(stack)
    expected, anchor = keeping.summary(stack), stack.servers_pem().read_bytes()
    machine.start()
    stack.compose("down", "--timeout", "30")
    try:
        second = another(SP_BACKUP_DIR=str(stack.backups), SP_BACKUP_KEY=str(stack.backups / "key"))
        with record.timed("restore --verify, second installation"):
            said = keeping.brought_back(second, archive)
        assert keeping.summary(second) == expected, said
        record.say("compared", tables=len(expected), samples=expected["telemetry.sample"].partition(" ")[0])
        with record.timed("second installation up"):
            second.up()
        there = Person(second, ops.email, ops.password)
        assert [site["id"] for site in there.get("/sites")["items"]] == [world.site]
        assert second.servers_pem().read_bytes() == anchor, "devices know it again"
        second.down()
    finally:
        with record.timed("first installation up again"):
            stack.up()
    faults.answers_again(ops, world.site, time.monotonic())
    _nothing_is_missing(machine, stack, record)


def test_the_doctor_finds_all_well_and_names_what_is_not(stack: Stack, record: Record) -> None:
    stack.wait_healthy()
    well = stack.try_compose("run", "--rm", "-T", "doctor")
    assert well.returncode == 0, well.stdout + well.stderr
    record.say("doctor", checks=sum(line.startswith("  ") for line in well.stdout.splitlines()), broken=0)
    stack.compose("stop", "broker")
    ill = stack.try_compose("run", "--rm", "-T", "doctor", "--json")
    assert ill.returncode == 1, ill.stdout + ill.stderr
    broken = " ".join(line["check"] + line["what"] for line in json.loads(ill.stdout) if line["state"] == "broken")
    assert "broker" in broken
    stack.up()


# bad input --------------------------------------------------------------------------------------------------------------


def test_a_missing_secret_is_said_by_the_service_and_named_by_the_doctor(stack: Stack, record: Record) -> None:
    volume = f"{stack.project}_keys-web:/keys"
    docker("run", "--rm", "--network", "none", "--user", "0:0", "-v", volume, image("slim"), "rm", "/keys/sp_web")
    stack.compose("restart", "web")
    until(lambda: "/run/secrets/sp_web" in stack.logs("web"), lambda: stack.logs("web")[-2000:], SEEN_S)
    said = [line for line in stack.logs("web").splitlines() if "/run/secrets/sp_web" in line and '"code"' in line]
    assert json.loads(said[-1])["code"] == "bad_secret_file"
    record.say("missing secret, said by web", code="bad_secret_file")
    ill = stack.try_compose("run", "--rm", "-T", "doctor")
    assert ill.returncode == 1
    assert "✗ web" in ill.stdout, ill.stdout
    stack.compose("run", "--rm", "-T", "--no-deps", "init-pki")
    stack.wait_healthy()


def test_a_second_project_on_the_same_ports_is_told_and_disturbs_nobody(stack: Stack, another: Callable[..., Stack]) -> None:
    before = stack.inspected(*(each.id for each in stack.containers("gateway")))
    refused = another(ports=stack.ports).try_compose("up", "--detach", "--no-build", "gateway")
    assert refused.returncode != 0
    assert re.search(r"port is already allocated|address already in use", refused.stderr), refused.stderr
    after = stack.inspected(*(each.id for each in stack.containers("gateway")))
    assert [each["State"]["StartedAt"] for each in after] == [each["State"]["StartedAt"] for each in before]
    assert httpx.get(f"{stack.url}/health/live", verify=stack.tls(), timeout=60.0).status_code == 200


# demonstration and observability ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("stack")
def test_the_demonstration_comes_up_and_is_watched(another: Callable[..., Stack], record: Record) -> None:
    """Beside the other one: its logins are known to everybody, so it is a project of its own."""
    demo = another(SP_DEMO_SITES="6", **observers())
    with record.timed("demonstration up, 6 sites"):
        demo.up(profiles=["demo"])
        demo.wait_healthy()
    login = json.loads(demo.exec("web", "cat", "/var/lib/solarperform/demo/logins.json"))["ops"]
    ops = Person(demo, login["email"], login["password"])
    assert len(ops.get("/sites")["items"]) == 6
    site = ops.get("/sites")["items"][0]["id"]
    faults.answers_again(ops, site, time.monotonic())
    watching = ["prometheus", "alertmanager"] + ["grafana"] * is_there(wanted_image("grafana"))
    with record.timed("observability: every target up", services=len(watching)):
        demo.up(*watching, profiles=["observability"])
        port = int(demo.variables["SP_PROMETHEUS_PORT"])
        until(lambda: set(doors.targets(port).values()) == {"up"}, lambda: doors.targets(port), 300.0)
        until(lambda: doors.alertmanagers(port), "Prometheus knows whom to tell", 120.0)
    record.say("watched", targets=len(doors.targets(port)))
