"""Devices by query: what the database finds is what the words mean, for whoever asks."""

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleet.configuration import STATUSES
from fleet.ids import DeviceId, SiteId
from fleet.storage import targets
from fleet.storage.database import Connection, connect
from fleet.targets import DEVICE_KINDS, TargetDevice, TargetQuery
from fleet.versions import version_key
from fleet.views import HEALTH_ORDER
from tests.fleet_rig import seed_fleet
from tests.servers import Database
from tests.web_app import ALPHA, ALPHA_METER, BETA, BETA_METER, Web

KINDS = {"meter": "meter", "inverter": "inverter", "battery": "battery"}
SITES = ("s-1", "s-2", "s-3")
FIRMWARES = ("1.9", "1.10", "v1.10.0", "2.0-rc1", "2.0", "stable", "")
MODELS = ("SE5K", "STP 8.0", "")
TAGS = ("canary", "roof", "lot-2")
DEPARTMENTS = ("26", "07", None)
INSTALLERS = ("org-installer", None)


@st.composite
def fleets(draw: st.DrawFn) -> list[dict[str, Any]]:
    """As dicts that both the database and the predicate below read."""
    number = draw(st.integers(0, 12))
    return [
        {
            "device": f"d-{place:02}",
            "site": draw(st.sampled_from(SITES)),
            "profile": draw(st.sampled_from(tuple(KINDS))),
            "retired": draw(st.integers(0, 5)) == 0,
            "revoked": draw(st.booleans()),
            "gateway": "d-00" if place and draw(st.booleans()) else None,
            "heard": draw(st.booleans()),
            "online": draw(st.booleans()),
            "silent_s": draw(st.none() | st.sampled_from((10, 3_000, 90_000))),
            "model": draw(st.sampled_from(MODELS)),
            "firmware": draw(st.sampled_from(FIRMWARES)),
            "health": draw(st.none() | st.sampled_from(HEALTH_ORDER)),
            "config": draw(st.none() | st.sampled_from(STATUSES)),
            "tags": draw(st.sets(st.sampled_from(TAGS))),
        }
        for place in range(number)
    ]


def several(*values: Any) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=3).map(tuple)


FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "kinds": several(*DEVICE_KINDS),
    "profiles": several(*KINDS, "none"),
    "models": several(*MODELS[:2]),
    "firmwares": several(*FIRMWARES[:-1]),
    "firmware_below": st.sampled_from(("1.10", "2.0", "9")),
    "sites": several(*SITES, "s-9"),
    "departments": several("26", "07", "69"),
    "installers": several("org-installer", "org-none"),
    "tags_all": several(*TAGS),
    "tags_any": several(*TAGS),
    "health": several(*HEALTH_ORDER),
    "config": several(*STATUSES),
    "seen_within_s": st.sampled_from((60.0, 3_600.0)),
    "silent_for_s": st.sampled_from((60.0, 3_600.0)),
    "devices": several("d-01", "d-02", "d-03", "d-99"),
}


@st.composite
def queries(draw: st.DrawFn) -> TargetQuery:
    """Of a few fields: one that asks for everything at once finds nobody."""
    asked = draw(st.lists(st.sampled_from(tuple(FIELDS)), max_size=3, unique=True))
    return TargetQuery(**{field: draw(FIELDS[field]) for field in asked})


def department_of(site: str) -> str | None:
    return DEPARTMENTS[SITES.index(site)]


def installer_of(site: str) -> str | None:
    return INSTALLERS[SITES.index(site) % 2]


def is_meant(device: dict[str, Any], query: TargetQuery) -> bool:
    """The same in plain words."""
    heard = device["heard"]
    firmware = device["firmware"] if heard else ""
    silent_s = device["silent_s"] if heard and device["silent_s"] is not None else float("inf")
    key = version_key(firmware)
    return not device["retired"] and all(
        (
            not query.kinds or KINDS[device["profile"]] in query.kinds,
            not query.profiles or device["profile"] in query.profiles,
            not query.models or (heard and device["model"] in query.models),
            not query.firmwares or firmware in query.firmwares,
            query.firmware_below is None or (key is not None and key < (version_key(query.firmware_below) or ())),
            not query.sites or device["site"] in query.sites,
            not query.departments or department_of(device["site"]) in query.departments,
            not query.installers or installer_of(device["site"]) in query.installers,
            set(query.tags_all) <= device["tags"],
            not query.tags_any or set(query.tags_any) & device["tags"],
            not query.health or (device["health"] or "unknown") in query.health,
            not query.config or (device["config"] or "unknown") in query.config,
            query.seen_within_s is None or silent_s <= query.seen_within_s,
            query.silent_for_s is None or silent_s > query.silent_for_s,
            not query.devices or device["device"] in query.devices,
        )
    )


async def insert(connection: Connection, fleet: list[dict[str, Any]]) -> None:
    await connection.executemany(
        "UPDATE registry.site SET department = $2, installer_organisation_id = $3 WHERE id = $1",
        [(site, department_of(site), installer_of(site)) for site in SITES],
    )
    await connection.executemany(
        "INSERT INTO registry.device (id, site_id, profile_id, name, retired_at, revoked_at, gateway_id) VALUES"
        " ($1, $2, $3, $1, CASE WHEN $4 THEN now() END, CASE WHEN $5 THEN now() END, $6)",
        [(d["device"], d["site"], d["profile"], d["retired"], d["revoked"], d["gateway"]) for d in fleet],
    )
    await connection.executemany(
        "INSERT INTO telemetry.device_latest (site_id, device_id, seen_at, online, info)"
        " VALUES ($1, $2, now() - make_interval(secs => $3), $4, $5)",
        [
            (d["site"], d["device"], d["silent_s"], d["online"], {k: d[k] for k in ("model", "firmware") if d[k]})
            for d in fleet
            if d["heard"]
        ],
    )
    await connection.executemany(
        "INSERT INTO supervision.health (site_id, device_id, status, since, reason) VALUES ($1, $2, $3, now(), '')",
        [(d["site"], d["device"], d["health"]) for d in fleet if d["health"]],
    )
    await connection.executemany(
        "INSERT INTO remote.config (site_id, device_id, status, status_at, revision) VALUES ($1, $2, $3, now(), 1)",
        [(d["site"], d["device"], d["config"]) for d in fleet if d["config"]],
    )
    await connection.executemany(
        "INSERT INTO registry.device_tag (site_id, device_id, tag) VALUES ($1, $2, $3)",
        [(d["site"], d["device"], tag) for d in fleet for tag in d["tags"]],
    )


async def all_pages(connection: Connection, query: TargetQuery, limit: int) -> list[TargetDevice]:
    found: list[TargetDevice] = []
    while True:
        after = (found[-1].site, found[-1].device) if found else None
        page = await targets.matching(connection, query, limit=limit, after=after)
        found += page
        if len(page) < limit:
            return found


def test_the_database_finds_what_the_words_mean(database: Database) -> None:
    """As the process that leads rollouts, over small fleets of every kind; each is taken back."""
    with asyncio.Runner() as runner:
        runner.run(seed_fleet(database, [(site, {}) for site in SITES]))
        connection = runner.run(connect(database.owner))

        async def compare(fleet: list[dict[str, Any]], query: TargetQuery) -> None:
            transaction = connection.transaction()
            await transaction.start()
            try:
                await insert(connection, fleet)
                await connection.execute("SET LOCAL ROLE sp_rollouts")
                meant = sorted((d["site"], d["device"]) for d in fleet if is_meant(d, query))
                found = await targets.matching(connection, query, limit=100)
                assert [(each.site, each.device) for each in found] == meant
                assert await targets.count(connection, query) == len(meant)
                assert await all_pages(connection, query, 3) == found
                assert query.is_everything == (query == TargetQuery())
                by_id = {d["device"]: d for d in fleet}
                for each in found:
                    told = by_id[each.device]
                    assert (each.kind, each.revoked, each.gateway) == (
                        KINDS[told["profile"]], told["revoked"], told["gateway"],
                    )  # fmt: skip
                    assert (each.firmware or "") == (told["firmware"] if told["heard"] else "")
                    assert each.health == (told["health"] or "unknown")
            finally:
                await transaction.rollback()

        @given(fleet=fleets(), query=queries())
        @settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        def hold(fleet: list[dict[str, Any]], query: TargetQuery) -> None:
            runner.run(compare(fleet, query))

        try:
            hold()
        finally:
            runner.run(connection.close())


@pytest.mark.parametrize(("email", "seen"), [
    ("ines@example.org", [(ALPHA, ALPHA_METER)]),
    ("bob@example.org", [(BETA, BETA_METER)]),
    ("otto@example.org", [(ALPHA, ALPHA_METER), (BETA, BETA_METER)]),
])  # fmt: skip
async def test_nobody_meets_a_foreign_device(web: Web, email: str, seen: list[tuple[SiteId, DeviceId]]) -> None:
    """Below row-level security a query finds what its asker may see, and counts the same."""
    await web.execute(
        "INSERT INTO registry.device_tag (site_id, device_id, tag) SELECT site_id, id, 'roof' FROM registry.device"
    )
    for query in (TargetQuery(), TargetQuery(tags_all=("roof",)), TargetQuery(devices=(ALPHA_METER, BETA_METER))):
        async with web.services.pool.acquire() as connection, connection.transaction():
            await connection.execute("SELECT set_config('sp.person_id', $1, true)", email.partition("@")[0])
            found = await targets.matching(connection, query, limit=10)
            assert [(each.site, each.device) for each in found] == seen
            assert await targets.count(connection, query) == len(seen)
