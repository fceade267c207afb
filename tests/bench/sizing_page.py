"""deploy/sizing.md, computed from the unit costs in deploy/sizing.json: python -m tests.bench.sizing_page writes it anew.

Nothing here is measured; every factor that is an assumption is a constant with its reason, and stands on the page.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from fleet.limits import BROKER_DEVICES_MAX, RETENTION_DAYS, ROLLUP_PERIOD_S, SLOTS

FOLDER: Final = Path(__file__).parents[2] / "deploy"
UNITS_FILE: Final = FOLDER / "sizing.json"
PAGE_FILE: Final = FOLDER / "sizing.md"

SIZES: Final = (1_000, 100_000, 10_000_000)
INTERVALS_S: Final = (10, 60, 900)
DEVICES_PER_SITE: Final = 2.5  # an inverter and a meter, and a battery at every second site
BUSY_MAX: Final = 0.6  # of a core: the rest is for bursts, backups and the hour after an outage
PAGES_OPEN_SHARE: Final = 0.01  # of the sites, somebody looks at now
REQUEST_PERIOD_S: Final = 10.0  # between two requests of an open page
FILES_SHARE: Final = 0.1  # of the sites have a logger that sends a file a day
SPARE_CONNECTIONS: Final = 40  # the services beside shards and portal, and people
NODE_CORES: Final = 8
NODE_BYTES: Final = 32 * 1024**3
RETURN_MAX_S: Final = 600.0  # of a broker's core, until all are back after it was away
PRIMARY_CORES: Final = 32  # of the largest PostgreSQL that is still one ordinary machine
PRIMARY_WAL_BYTES_PER_S: Final = 200e6  # what its disk and its standby take for hours
PRIMARY_DISK_BYTES: Final = 30e12  # beyond, a restore takes longer than a day at 400 MB/s
YEAR_S: Final = 365.25 * 86_400


class UnitCosts(msgspec.Struct, frozen=True):
    """As tests.bench.sizing measured them. cpu_s: seconds of one core; rss, pss: as the kernel counts them."""

    measured_on: str
    machine: str
    sample_bytes_per_row: float
    sample_dump_bytes_per_row: float
    site_day_bytes_per_row: float
    site_day_dump_bytes_per_row: float
    original_bytes_per_day_file: float
    wire_bytes_per_message: float
    wire_bytes_per_connect: float
    twin_bytes: float
    shard_rss_bytes: float
    ray_pss_bytes: float
    web_rss_bytes: float
    broker_cpu_s_per_connect: float
    broker_rss_bytes_per_connection: float
    broker_files_per_connection: float
    shard_cpu_s_per_message: float
    broker_cpu_s_per_message: float
    postgres_cpu_s_per_message: float
    postgres_wal_bytes_per_message: float
    shard_cpu_s_per_recomputed_day: float
    postgres_cpu_s_per_recomputed_day: float
    web_cpu_s_per_event: float
    web_cpu_s_per_request: float
    postgres_cpu_s_per_request: float
    shard_postgres_connections: float
    web_postgres_connections: float


class Need(NamedTuple):
    """What a fleet needs. *_cores: busy on average; bytes for a year but where it says otherwise."""

    devices: int
    interval_s: int
    messages_per_s: float
    recomputed_days_per_s: float
    shard_cores: float
    broker_cores: float
    postgres_cores: float
    web_cores: float
    shards: int
    twins_bytes: float
    broker_bytes: float
    return_s: float
    sample_bytes: float
    site_day_bytes: float
    original_bytes: float
    dump_bytes: float
    wal_bytes_per_s: float
    wire_bits_per_s: float
    connections: int
    nodes: int


def need(units: UnitCosts, devices: int, interval_s: int) -> Need:
    sites = devices / DEVICES_PER_SITE
    messages = devices / interval_s
    recomputed = sites / max(ROLLUP_PERIOD_S, interval_s)  # a day is dirty once however many rows came
    shard_cores = messages * units.shard_cpu_s_per_message + recomputed * units.shard_cpu_s_per_recomputed_day
    pages = sites * PAGES_OPEN_SHARE
    requests = pages / REQUEST_PERIOD_S
    events = pages / max(1.0, interval_s / DEVICES_PER_SITE)
    web_cores = requests * units.web_cpu_s_per_request + events * units.web_cpu_s_per_event
    shards = max(2, math.ceil(shard_cores / BUSY_MAX))
    rows = messages * YEAR_S
    days = sites * 365.25
    twins_bytes = devices * units.twin_bytes + shards * units.shard_rss_bytes
    return Need(
        devices=devices,
        interval_s=interval_s,
        messages_per_s=messages,
        recomputed_days_per_s=recomputed,
        shard_cores=shard_cores,
        broker_cores=messages * units.broker_cpu_s_per_message,
        postgres_cores=messages * units.postgres_cpu_s_per_message
        + recomputed * units.postgres_cpu_s_per_recomputed_day
        + requests * units.postgres_cpu_s_per_request,
        web_cores=web_cores,
        shards=shards,
        twins_bytes=twins_bytes,
        broker_bytes=devices * units.broker_rss_bytes_per_connection,
        return_s=devices * units.broker_cpu_s_per_connect,
        sample_bytes=rows * units.sample_bytes_per_row,
        site_day_bytes=days * units.site_day_bytes_per_row,
        original_bytes=days * FILES_SHARE * units.original_bytes_per_day_file,
        dump_bytes=rows * units.sample_dump_bytes_per_row + days * units.site_day_dump_bytes_per_row,
        wal_bytes_per_s=messages * units.postgres_wal_bytes_per_message,
        wire_bits_per_s=messages * units.wire_bytes_per_message * 8,
        connections=math.ceil(
            shards * units.shard_postgres_connections
            + max(1, math.ceil(web_cores / BUSY_MAX)) * units.web_postgres_connections
            + SPARE_CONNECTIONS
        ),
        nodes=max(1, math.ceil(shards / NODE_CORES), math.ceil(twins_bytes / NODE_BYTES)),
    )


class Ends(NamedTuple):
    """Messages/s at which a part ends that cannot be made wider. bytes: what a year of samples may take."""

    broker: float
    primary_cpu: float
    primary_wal: float
    shards: float


def ends(units: UnitCosts) -> Ends:
    per_message = 10 / (DEVICES_PER_SITE * ROLLUP_PERIOD_S)  # recomputed days, where devices report every ten seconds
    postgres = units.postgres_cpu_s_per_message + per_message * units.postgres_cpu_s_per_recomputed_day
    shard = units.shard_cpu_s_per_message + per_message * units.shard_cpu_s_per_recomputed_day
    return Ends(
        BUSY_MAX / units.broker_cpu_s_per_message,
        PRIMARY_CORES * BUSY_MAX / postgres,
        PRIMARY_WAL_BYTES_PER_S / units.postgres_wal_bytes_per_message,
        SLOTS * BUSY_MAX / shard,
    )


def verdict(found: Need, limits: Ends) -> str:
    """What to build it from."""
    parts = []
    if found.messages_per_s > limits.shards:
        parts.append(f"beyond {SLOTS} shards: not this design")
    if found.messages_per_s > limits.broker or found.return_s > RETURN_MAX_S:
        parts.append("clustered broker")
    elif found.devices > BROKER_DEVICES_MAX:
        parts.append("one broker with its bound on connections raised")
    primary = min(limits.primary_cpu, limits.primary_wal)
    kept = found.sample_bytes * RETENTION_DAYS / 365.25
    if found.messages_per_s > primary or kept > PRIMARY_DISK_BYTES:
        parts.append("Citus")
    if found.nodes > 1:
        parts.append(f"Ray cluster of {found.nodes} nodes")
    total = (found.shard_cores + found.broker_cores + found.postgres_cores + found.web_cores) / BUSY_MAX
    if not parts:
        parts.append("one machine" if total <= NODE_CORES else "two or three machines")
    return ", ".join(parts)


def load() -> UnitCosts:
    return msgspec.json.decode(UNITS_FILE.read_bytes(), type=UnitCosts)


def save(units: UnitCosts) -> None:
    UNITS_FILE.write_bytes(msgspec.json.format(msgspec.json.encode(units), indent=2) + b"\n")


def page(units: UnitCosts) -> str:
    from tests.bench import sizing_text  # which stands on this module

    return "\n".join(sizing_text.lines(units)) + "\n"


def all_needs(units: UnitCosts) -> Iterator[Need]:
    return (need(units, devices, interval_s) for devices in SIZES for interval_s in INTERVALS_S)


if __name__ == "__main__":
    PAGE_FILE.write_text(page(load()))
