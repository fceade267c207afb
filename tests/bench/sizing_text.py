"""The words and tables of deploy/sizing.md."""

import textwrap
from collections.abc import Iterator, Sequence
from typing import Final

from fleet.limits import BROKER_DEVICES_MAX, RETENTION_DAYS, ROLLUP_PERIOD_S, SLOTS
from tests.bench import sizing_page as sizing
from tests.bench.sizing_page import Ends, Need, UnitCosts

_EXAMPLE: Final = (100_000, 60)
_COLUMNS: Final = 140
# field → unit shown, factor, what it is
_UNITS: Final = {
    "sample_bytes_per_row": ("B", 1.0, "a sample row with its index; meter and inverter in equal shares, all channels"),
    "sample_dump_bytes_per_row": ("B", 1.0, "the same in a compressed dump; made-up readings: real ones repeat more"),
    "site_day_bytes_per_row": ("B", 1.0, "a site's day: totals, 96 quarter-hours of three registers, quality"),
    "site_day_dump_bytes_per_row": ("B", 1.0, "the same in a compressed dump"),
    "original_bytes_per_day_file": ("B", 1.0, "a logger's file of one day, three measures each quarter-hour, as kept"),
    "wire_bytes_per_message": ("B", 1.0, "both ways on the wire, one by one: message, acks; TLS, TCP and IP included"),
    "wire_bytes_per_connect": ("B", 1.0, "to connect: TLS handshake with both certificates, CONNECT, SUBSCRIBE"),
    "twin_bytes": ("B", 1.0, "a device's twin in its shard, 100,000 loaded"),
    "shard_rss_bytes": ("MB", 1e-6, "a shard's process with its share of a thousand twins"),
    "ray_pss_bytes": ("MB", 1e-6, "Ray itself on a machine, and the twins' keeper"),
    "web_rss_bytes": ("MB", 1e-6, "a portal process"),
    "broker_cpu_s_per_connect": ("ms", 1e3, "of a core in Mosquitto to let one in: full handshake, both certificates"),
    "broker_rss_bytes_per_connection": ("KB", 1e-3, "the broker's memory for one device's TLS connection"),
    "broker_files_per_connection": ("", 1.0, "the broker's file descriptors for one"),
    "shard_cpu_s_per_message": ("µs", 1e6, "of a core in the shards; snapshots, live view, roll-up meanwhile included"),
    "broker_cpu_s_per_message": ("µs", 1e6, "of a core in Mosquitto: TLS, in, out to the shard, acks back"),
    "postgres_cpu_s_per_message": ("µs", 1e6, "of a core in all of PostgreSQL's processes, roll-up meanwhile included"),
    "postgres_wal_bytes_per_message": ("B", 1.0, "write-ahead log, snapshots and roll-up included"),
    "shard_cpu_s_per_recomputed_day": ("ms", 1e3, "of a core in the shard to recompute the end of a site's day"),
    "postgres_cpu_s_per_recomputed_day": ("ms", 1e3, "the same in PostgreSQL"),
    "web_cpu_s_per_event": ("ms", 1e3, "of a core in the portal for one event to one open page"),
    "web_cpu_s_per_request": ("ms", 1e3, "the same for a request: half live views, half a day's energy"),
    "postgres_cpu_s_per_request": ("ms", 1e3, "of a core in PostgreSQL for it"),
    "shard_postgres_connections": ("", 1.0, "connections to PostgreSQL that a shard holds"),
    "web_postgres_connections": ("", 1.0, "and a portal process"),
}  # fmt: skip


def lines(units: UnitCosts) -> Iterator[str]:
    yield from _opening(units)
    yield from _unit_costs(units)
    yield from _worked(units, sizing.need(units, *_EXAMPLE))
    needs = list(sizing.all_needs(units))
    yield from _tables(needs, sizing.ends(units))
    yield from _where_it_ends(units, sizing.ends(units))


def _opening(units: UnitCosts) -> Iterator[str]:
    yield "# What a fleet needs"
    yield ""
    yield _told("""
        Computed, not written: `./run bench sizing` measures what one message, row, day, connection and request cost,
        stores that in `deploy/sizing.json`, and makes this page from it; a test makes it again and compares. Nobody
        edits it.
    """)
    yield ""
    yield _told(f"""
        Measured on {units.measured_on}: {units.machine}. Processor time is what the kernel counted for each process, so
        a machine that others use as well distorts it by its caches, not by its waiting. **No fleet of these sizes was
        ever run:** a thousand connections were, at a rate that leaves batches small, and the rest is multiplication. A
        message costs less in fuller batches, so large fleets are on the safe side; what a second machine costs in
        network and coordination is not in it. How much less full batches cost: at saturation (README, `ingest`) a
        message costs several times less.
    """)
    yield ""


def _unit_costs(units: UnitCosts) -> Iterator[str]:
    yield "## Unit costs"
    yield ""
    yield "| measured | | for |"
    yield "|---|---|---|"
    for name, (unit, factor, what) in _UNITS.items():
        yield f"| `{name}` | {_number(getattr(units, name) * factor)} {unit} | {what} |".replace("  |", " |")
    yield ""
    yield "Assumed, and to be replaced by what you know of your fleet:"
    yield ""
    yield f"- {sizing.DEVICES_PER_SITE} devices at a site. One sample a message."
    yield f"- A core is busy to {sizing.BUSY_MAX:.0%} at most: the rest is for bursts, backups, the hour after an outage."
    yield _item(f"""
        - {sizing.PAGES_OPEN_SHARE:.0%} of the sites are looked at at any time; an open page asks something every
        {sizing.REQUEST_PERIOD_S:.0f} s.
    """)
    yield f"- {sizing.FILES_SHARE:.0%} of the sites have a logger that sends a file a day."
    yield f"- Machines of {sizing.NODE_CORES} cores and {sizing.NODE_BYTES / 1024**3:.0f} GB for shards."
    yield ""


def _worked(units: UnitCosts, found: Need) -> Iterator[str]:
    yield f"## The arithmetic, for {found.devices:,} devices that report every {found.interval_s} s"
    yield ""
    yield from _worked_cores(units, found)
    yield from _worked_room(units, found)
    yield ""


def _worked_cores(units: UnitCosts, found: Need) -> Iterator[str]:
    sites = found.devices / sizing.DEVICES_PER_SITE
    pages = sites * sizing.PAGES_OPEN_SHARE
    messages, days = f"{_number(found.messages_per_s)}/s", f"{_number(found.recomputed_days_per_s)}/s"
    yield f"1. Messages: {found.devices:,} ÷ {found.interval_s} s = **{messages}**."
    yield f"2. Days to recompute: {sites:,.0f} sites ÷ max({ROLLUP_PERIOD_S:.0f} s, {found.interval_s} s) = {days}."
    yield _item(f"""
        3. Shards: {messages} × {_number(units.shard_cpu_s_per_message * 1e6)} µs + {days} ×
        {_number(units.shard_cpu_s_per_recomputed_day * 1e3)} ms = {_number(found.shard_cores)} cores busy; ÷
        {sizing.BUSY_MAX} = **{found.shards} shards**, one core each (two at least).
    """)
    yield _item(f"""
        4. Broker: {messages} × {_number(units.broker_cpu_s_per_message * 1e6)} µs = {_number(found.broker_cores)} of
        the one core that it can use; {found.devices:,} × {_number(units.broker_rss_bytes_per_connection / 1e3)} KB =
        {_bytes(found.broker_bytes)} of memory.
    """)
    yield _item(f"""
        5. PostgreSQL: {messages} × {_number(units.postgres_cpu_s_per_message * 1e6)} µs + {days} ×
        {_number(units.postgres_cpu_s_per_recomputed_day * 1e3)} ms + {_number(pages / sizing.REQUEST_PERIOD_S)}
        requests/s × {_number(units.postgres_cpu_s_per_request * 1e3)} ms = {_number(found.postgres_cores)} cores busy.
        Log: {messages} × {_number(units.postgres_wal_bytes_per_message)} B = {_bytes(found.wal_bytes_per_s)}/s,
        {_bytes(found.wal_bytes_per_s * 86_400)} a day.
    """)
    yield f"6. Portal: {_number(pages)} open pages, {_number(found.web_cores)} cores busy."


def _worked_room(units: UnitCosts, found: Need) -> Iterator[str]:
    sites = found.devices / sizing.DEVICES_PER_SITE
    yield _item(f"""
        7. Twins: {found.devices:,} × {_number(units.twin_bytes)} B + {found.shards} ×
        {_number(units.shard_rss_bytes / 1e6)} MB = {_bytes(found.twins_bytes)}; Ray
        {_number(units.ray_pss_bytes / 1e6)} MB on each node.
    """)
    yield _item(f"""
        8. Disk for a year: {_number(found.messages_per_s * sizing.YEAR_S / 1e9)} billion rows ×
        {_number(units.sample_bytes_per_row)} B = **{_bytes(found.sample_bytes)}** of samples (kept for {RETENTION_DAYS}
        days, then dropped); {sites:,.0f} sites × 365 × {_number(units.site_day_bytes_per_row)} B =
        {_bytes(found.site_day_bytes)} of days (kept); originals {_bytes(found.original_bytes)}. A compressed dump of
        that year: {_bytes(found.dump_bytes)}.
    """)
    yield _item(f"""
        9. Network at the broker: {_number(found.messages_per_s)}/s × {_number(units.wire_bytes_per_message)} B × 8 =
        {_number(found.wire_bits_per_s / 1e6)} Mbit/s; everybody's return after an outage:
        {_bytes(found.devices * units.wire_bytes_per_connect)} and {_number(found.return_s)} s of the broker's core.
    """)
    yield _item(f"""
        10. Connections to PostgreSQL: {found.shards} shards × {_number(units.shard_postgres_connections)} + portal ×
        {_number(units.web_postgres_connections)} + {sizing.SPARE_CONNECTIONS} = {found.connections}.
    """)


_CORES: Final = ("devices", "every", "messages/s", "shards' cores", "broker's", "PostgreSQL's", "portal's", "shards",
                 "nodes for them", "twins' memory", "broker's memory")  # fmt: skip
_ROOM: Final = ("devices", "every", "samples, a year", "days, a year", "originals, a year", "dump of a year", "log, a day",
                "network", "connections to PostgreSQL")  # fmt: skip


def _tables(needs: list[Need], limits: Ends) -> Iterator[str]:
    yield "## Nine fleets"
    yield ""
    yield "Cores are those busy on average, before the head-room; shards and nodes have it in them."
    yield ""
    yield from _heading(_CORES)
    for each in needs:
        cores = (each.messages_per_s, each.shard_cores, each.broker_cores, each.postgres_cores, each.web_cores)
        memory = (each.twins_bytes, each.broker_bytes)
        yield _row(each, *map(_number, cores), f"{each.shards:,}", f"{each.nodes:,}", *map(_bytes, memory))
    yield ""
    yield from _heading(_ROOM)
    for each in needs:
        kept = (each.sample_bytes, each.site_day_bytes, each.original_bytes, each.dump_bytes, each.wal_bytes_per_s * 86_400)
        yield _row(each, *map(_bytes, kept), f"{_number(each.wire_bits_per_s / 1e6)} Mbit/s", f"{each.connections:,}")
    yield ""
    yield from _heading(("devices", "every", "to be built from"))
    for each in needs:
        yield _row(each, sizing.verdict(each, limits))
    yield ""


def _where_it_ends(units: UnitCosts, limits: Ends) -> Iterator[str]:
    by_disk = sizing.PRIMARY_DISK_BYTES / (RETENTION_DAYS * 86_400 * units.sample_bytes_per_row)
    yield "## Where which part ends"
    yield ""
    yield _item(f"""
        - **Mosquitto** uses one core: {sizing.BUSY_MAX} ÷ {_number(units.broker_cpu_s_per_message * 1e6)} µs =
        **{_number(limits.broker)} messages/s**. The platform lets {BROKER_DEVICES_MAX:,} connections in
        ({_bytes(BROKER_DEVICES_MAX * units.broker_rss_bytes_per_connection)}; `BROKER_DEVICES_MAX`), a bound that can
        be raised where memory and file descriptors are there. Then: a clustered broker (`broker.md`, which says what is
        missing for that).
    """)
    yield _item(f"""
        - **One PostgreSQL**, by what it keeps: {_bytes(sizing.PRIMARY_DISK_BYTES)} of disk hold {RETENTION_DAYS} days
        of **{_number(by_disk)} messages/s**; beyond, a restore takes longer than a day. By the processors of a machine
        of {sizing.PRIMARY_CORES} cores {_number(limits.primary_cpu)} messages/s; by a log of
        {_bytes(sizing.PRIMARY_WAL_BYTES_PER_S)}/s {_number(limits.primary_wal)} messages/s. Then: keep less
        (`RETENTION_DAYS`), let devices report less often, or Citus (`citus/README.md`, which says what does not work
        there yet).
    """)
    yield _item(f"""
        - **The shards** end at {SLOTS}, because a site's slot is one of so many: {_number(limits.shards)} messages/s.
        The number of slots stands in the devices' topics and is fixed. Until there, nodes are added to the Ray cluster.
    """)
    yield _item(f"""
        - **Connections to PostgreSQL**: {SLOTS} shards hold {_number(SLOTS * units.shard_postgres_connections)}; raise
        `max_connections` in time. No pooler may stand in between: sessions hold temporary tables.
    """)
    yield _item("""
        - **Backups**: a dump of more than some hundred GB takes hours; from there on a base backup with the archived
        log, whose size a day stands above.
    """)
    yield _item("""
        - **Ten million devices every ten seconds** are a million messages a second and petabytes a year. That is no
        matter of more machines: raw samples would first have to be thinned, or sealed into compressed blocks, and
        neither is built.
    """)


def _told(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), _COLUMNS, break_long_words=False, break_on_hyphens=False)


def _item(text: str) -> str:
    words = " ".join(text.split())
    return textwrap.fill(words, _COLUMNS, subsequent_indent="   ", break_long_words=False, break_on_hyphens=False)


def _heading(cells: Sequence[str]) -> Iterator[str]:
    yield f"| {' | '.join(cells)} |"
    yield "|" + "---|" * len(cells)


def _row(each: Need, *cells: str) -> str:
    return f"| {each.devices:,} | {_every(each)} | {' | '.join(cells)} |"


def _every(each: Need) -> str:
    return f"{each.interval_s} s" if each.interval_s < 120 else f"{each.interval_s // 60} min"


def _number(value: float) -> str:
    """Three digits that count."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        digits = len(str(int(abs(value)))) - 3
        return f"{round(value, -digits):,.0f}"
    return f"{value:.3g}" if abs(value) >= 0.001 else f"{value:.1g}"


def _bytes(value: float) -> str:
    for unit, size in (("PB", 1e15), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if value >= size:
            return f"{_number(value / size)} {unit}"
    return f"{_number(value)} B"
