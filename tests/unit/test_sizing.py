"""deploy/sizing.md is what its unit costs come to, and nothing else."""

import msgspec
import pytest

from tests.bench import sizing_page, sizing_text
from tests.bench.sizing_page import UnitCosts

ONES = UnitCosts("2026-01-01", "a machine", *[1.0] * (len(UnitCosts.__struct_fields__) - 2))


def test_the_page_is_computed_from_the_unit_costs_beside_it() -> None:
    assert sizing_page.PAGE_FILE.read_text() == sizing_page.page(sizing_page.load())


def test_every_unit_cost_was_measured_and_is_explained() -> None:
    units = sizing_page.load()
    measured = {name for name in UnitCosts.__struct_fields__ if isinstance(getattr(units, name), float)}
    assert measured == set(sizing_text._UNITS)
    assert all(getattr(units, name) > 0 for name in measured)


def test_the_arithmetic() -> None:
    found = sizing_page.need(ONES, 1_000, 100)  # 400 sites, 10 messages and 4 recomputed days a second, 0.4 requests
    assert found.messages_per_s == 10
    assert found.shard_cores == pytest.approx(10 + 4)
    assert found.shards == 24  # 14 / 0.6
    assert found.broker_cores == 10
    assert found.postgres_cores == pytest.approx(10 + 4 + 0.4)
    assert found.web_cores == pytest.approx(0.4 + 4 / 40)
    assert found.twins_bytes == 1_000 + 24
    assert found.sample_bytes == pytest.approx(10 * 365.25 * 86_400)
    assert found.site_day_bytes == pytest.approx(400 * 365.25)
    assert found.wire_bits_per_s == 80
    assert found.connections == 24 + 1 + 40
    assert found.nodes == 3


@pytest.mark.parametrize(("devices", "interval_s", "said"), [
    (1_000, 900, "one machine"),
    (100_000, 900, "one broker with its bound on connections raised"),
    (10_000_000, 10, "not this design"),
])  # fmt: skip
def test_what_to_build_it_from(devices: int, interval_s: int, said: str) -> None:
    modest = msgspec.structs.replace(
        ONES,
        shard_cpu_s_per_message=1e-4,
        broker_cpu_s_per_message=3e-5,
        broker_cpu_s_per_connect=2.4e-3,
        postgres_cpu_s_per_message=1e-4,
        shard_cpu_s_per_recomputed_day=5e-3,
        postgres_cpu_s_per_recomputed_day=5e-3,
        web_cpu_s_per_request=5e-3,
        web_cpu_s_per_event=1e-3,
        postgres_cpu_s_per_request=2e-3,
        sample_bytes_per_row=200.0,
        postgres_wal_bytes_per_message=500.0,
    )
    found = sizing_page.verdict(sizing_page.need(modest, devices, interval_s), sizing_page.ends(modest))
    assert said in found
