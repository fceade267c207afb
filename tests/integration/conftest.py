"""Real servers. Session-scoped where a test only uses them; function-scoped where it may break them.

postgres, database    one server per run, in memory, and one fresh migrated database per test
own_postgres          a server for this test alone, to stop and kill
pki                   one per run; `pki.device("id")` makes a device's certificate
broker_session, broker  one per run / one per test: `broker.server.kill()`
dropbox               the SFTP drop box in the test's own loop; dropbox_rig: the same, not started; both on one database
web                   the API on a fresh, seeded database, with twins in memory
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path

import pytest

from actors import order_asks, order_book
from tests.drop_rig import SITES, DropRig, drop_rig, running
from tests.fleet_rig import seed_fleet
from tests.servers import Broker, Cluster, Database, Pki, mosquitto_server, pki_folder, postgres_server
from tests.web_app import Web, running_web
from web import press

_numbers = count(1)


@pytest.fixture(scope="session", autouse=True)
def _a_machine_that_stands_still_leaves_no_order_unsure() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for asked in (order_asks, order_book):
            patch.setattr(asked, "ORDERS_STORE_TIMEOUT_S", 60.0)
        yield


@pytest.fixture(scope="session", autouse=True)
def _nor_a_report_unprinted() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(press, "REPORT_TIMEOUT_S", 120.0)
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    with postgres_server(in_memory=True) as cluster:
        yield cluster


@pytest.fixture
def database(postgres: Cluster) -> Iterator[Database]:
    name = f"sp_{next(_numbers)}"
    yield postgres.create_database(name)
    postgres.drop_database(name)


@pytest.fixture
def own_postgres() -> Iterator[Cluster]:
    with postgres_server() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def pki() -> Iterator[Pki]:
    with pki_folder() as made:
        yield made


@pytest.fixture(scope="session")
def broker_session(pki: Pki) -> Iterator[Broker]:
    with mosquitto_server(pki) as broker:
        yield broker


@pytest.fixture
def broker(pki: Pki) -> Iterator[Broker]:
    with mosquitto_server(pki) as broker:
        yield broker


@pytest.fixture(scope="session")
def drop_keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dropbox") / "host_keys"


@pytest.fixture(scope="session")
def drop_database(postgres: Cluster) -> Iterator[Database]:
    database = postgres.create_database("sp_drop")
    asyncio.run(seed_fleet(database, [(site, {}) for site in SITES]))
    yield database
    postgres.drop_database("sp_drop")


@pytest.fixture
def dropbox_rig(drop_database: Database, drop_keys: Path, tmp_path: Path) -> DropRig:
    return drop_rig(drop_database, tmp_path, drop_keys)


@pytest.fixture
async def dropbox(dropbox_rig: DropRig) -> AsyncIterator[DropRig]:
    async with running(dropbox_rig):
        yield dropbox_rig


@pytest.fixture
async def web(database: Database, tmp_path: Path) -> AsyncIterator[Web]:
    async with running_web(database, tmp_path) as running:
        yield running
