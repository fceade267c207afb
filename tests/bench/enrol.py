"""Devices enrol as fast as they can: TLS, EST, the ledger in PostgreSQL; then the authority is killed again and again."""

import asyncio
import base64
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.serialization import pkcs7

from actors.local.ports import LOOPBACK, free_port
from fleet import claim_code
from tests.authority import SITE, Authority, authority, make_key, owner, request_of
from tests.bench.enrolling import Device, EchoOrder, Order, Report
from tests.bench.figures import Figure, figure, note, percentile
from tests.servers import postgres_server, server_folder

SECONDS = 20.0
AT_ONCE = 16
KEYS = 500  # the devices of a run share them: making one is the device's work, and none of the authority's
CLAIMS_PER_S = 700  # more than any run uses up
KILLS = 6
KILLED_DEVICES = 1_500
_WAIT_S = 60.0


def run() -> Iterator[Figure]:
    with server_folder("enrol") as folder, postgres_server() as cluster:
        database = cluster.create_database("sp_enrol")
        with authority(folder, database) as running:
            devices = _devices(int(CLAIMS_PER_S * SECONDS) + KILLED_DEVICES)
            asyncio.run(_store_claims(running, devices))
            limit = _limit(running, devices)
            yield from _rate(running, devices[KILLED_DEVICES:], limit)
            yield from _killed(running, devices[:KILLED_DEVICES])


def _rate(running: Authority, devices: list[Device], limit: float) -> Iterator[Figure]:
    report = _report_of(_start(_order(running, running.settings.port, devices, stubborn=False)))
    assert not report.refused, f"{len(report.refused)} were refused, such as {report.refused[0]}"
    rate = len(report.answers) / report.seconds
    yield figure("enrol", f"enrolments, each over its own TLS connection, {SECONDS:.0f} s", rate, "devices/s", limit)
    yield figure("enrol", "one enrolment, p50", percentile(report.latencies_s, 0.5) * 1000, "ms")
    yield figure("enrol", "one enrolment, p99", percentile(report.latencies_s, 0.99) * 1000, "ms")


def _killed(running: Authority, devices: list[Device]) -> Iterator[Figure]:
    started = _start(_order(running, running.settings.port, devices, stubborn=True, seconds=600.0))
    chance = random.Random(7)
    kills = 0
    while kills < KILLS:
        time.sleep(chance.uniform(0.3, 1.0))
        if started[0].poll() is not None:
            break
        running.kill()
        kills += 1
        running.start()
    report = _report_of(started)
    assert len(report.answers) == len(devices), f"not all devices enrolled: {report.refused}"
    note(f"enrol: the authority was killed {kills} times while {len(devices)} devices enrolled")
    twice, unlike, in_force = asyncio.run(_compare(running, report))
    yield figure("enrol", f"serials given twice, {kills} times kill -9 under load", twice, "serials")
    yield figure("enrol", "devices with two certificates in force after that", in_force, "devices")
    yield figure("enrol", "certificates given that are not the ledger's", unlike, "certificates")


async def _compare(running: Authority, report: Report) -> tuple[int, int, int]:
    """(serials of more than one answer, answers that the ledger does not hold, devices with two certificates in force)"""
    given = Counter[str]()
    certificates = {}
    for claim, body in report.answers.items():
        (one,) = pkcs7.load_der_pkcs7_certificates(base64.b64decode(body))
        given[f"{one.serial_number:x}"] += 1
        certificates[claim] = one
    async with owner(running.database) as connection:
        rows = await connection.fetch("SELECT claim_id, serial FROM pki.certificate WHERE claim_id IS NOT NULL")
        doubled = await connection.fetchval(
            "SELECT count(*) FROM (SELECT device_id FROM pki.certificate WHERE claim_id IS NOT NULL AND revoked_at IS NULL"
            " AND superseded_at IS NULL GROUP BY device_id HAVING count(*) > 1) AS doubled"
        )
    held = Counter((row["claim_id"], row["serial"]) for row in rows)
    unlike = sum(1 for claim, one in certificates.items() if held[claim, f"{one.serial_number:x}"] != 1)
    return sum(1 for times in given.values() if times > 1), unlike, int(doubled)


def _limit(running: Authority, devices: list[Device]) -> float:
    """Connections a second that the same devices make to the same TLS server when it only answers."""
    with _echo(running) as port:
        report = _report_of(_start(_order(running, port, devices, stubborn=False, seconds=SECONDS / 4)))
    return len(report.answers) / report.seconds


@contextmanager
def _echo(running: Authority) -> Iterator[int]:
    port, own = free_port(), running.folder / "servers" / "localhost"
    order = EchoOrder(port, running.folder / "trust" / "devices.pem", own / "chain.pem", own / "key.pem")
    process = _process("echo", running.settings_file.with_name("echo.json"), order)
    try:
        _wait_for_port(port)
        yield port
    finally:
        process.kill()
        process.wait(timeout=10)


def _wait_for_port(port: int) -> None:
    async def look() -> None:
        async with asyncio.timeout(_WAIT_S):
            while True:
                try:
                    _, writer = await asyncio.open_connection(LOOPBACK, port)
                except OSError:
                    await asyncio.sleep(0.05)
                else:
                    writer.close()
                    return

    asyncio.run(look())


def _order(running: Authority, port: int, devices: list[Device], *, stubborn: bool, seconds: float = SECONDS) -> Order:
    report_file = running.settings_file.with_name("report.json")
    return Order(port, running.trust, devices, AT_ONCE, seconds, stubborn, report_file)


def _start(order: Order) -> "tuple[subprocess.Popen[bytes], Path]":
    order.report_file.unlink(missing_ok=True)
    return _process("devices", order.report_file.with_name("order.json"), order), order.report_file


def _report_of(started: "tuple[subprocess.Popen[bytes], Path]") -> Report:
    process, file = started
    assert process.wait(timeout=600) == 0, "the devices' process failed"
    return msgspec.json.decode(file.read_bytes(), type=Report)


def _process(part: str, file: Path, order: msgspec.Struct) -> "subprocess.Popen[bytes]":
    file.write_bytes(msgspec.json.encode(order, enc_hook=str))
    return subprocess.Popen([sys.executable, "-m", "tests.bench.enrolling", part, str(file)])


def _devices(count: int) -> list[Device]:
    requests = [base64.b64encode(request_of(make_key())).decode() for _ in range(KEYS)]
    codes = (claim_code.make() for _ in range(count))
    return [Device(code.id, code.code, requests[number % KEYS]) for number, code in enumerate(codes)]


async def _store_claims(running: Authority, devices: list[Device]) -> None:
    expires_at = datetime.now(UTC) + timedelta(hours=1)
    rows = [
        (one.claim, SITE, f"d-{number}", "meter", f"Device {number}", claim_code.code_hash(one.code), expires_at)
        for number, one in enumerate(devices)
    ]
    columns = ("id", "site_id", "device_id", "profile_id", "device_name", "code_hash", "expires_at")
    async with owner(running.database) as connection:
        await connection.copy_records_to_table("claim", schema_name="pki", records=rows, columns=columns)
