"""A whole run: the files that take longest begin first, so that none of them is all that is left at the end."""

import gc
import os
import sys
from collections.abc import Iterator
from typing import Final

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers

from actors.local import ports
from fleet.storage import database

# How long an example takes says how busy the machine is. Each run draws the same examples: chance is the fuzzer's work.
settings.register_profile(
    "patient", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("patient")
# It also draws numbers and words that stand in whichever of our modules are loaded by then: that hangs on the tests before.
_NONE: Final = providers._local_constants
providers._get_local_constants = lambda: _NONE

# Each of xdist's processes, and whatever it starts, has ports of its own: no other takes one that was drawn and waits.
_PROCESS: Final = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
os.environ[ports.SHARE] = f"{_PROCESS}/{os.environ.get('PYTEST_XDIST_WORKER_COUNT', '1')}"

# At least forty seconds each, the longest first. `./run test` gives whole files to its processes, in this order.
_LONGEST: Final = (
    "test_onboarding.py",
    "test_demo.py",
    "test_file_orders.py",
    "test_faults_shard.py",
    "test_agent_run.py",
    "test_orders_crash.py",
    "test_local_up.py",
    "test_guard_authority.py",
    "test_orders_simulation.py",
    "test_guard_faults.py",
    "test_importer.py",
    "test_agent_enrolment.py",
    "test_local_postgres.py",
    "test_edge_orders.py",
    "test_faults_postgres.py",
    "test_ray.py",
    "test_codec_memory.py",
    "test_remote.py",
    "test_agent_orders.py",
    "test_est_transcript.py",
    "test_authority_service.py",
    "test_run_script.py",
    "test_renewed_certificates.py",
    "test_files_portal.py",
    "test_remote_hostile.py",
    "test_web_onboarding_shared.py",
)
_PLACES: Final = {name: place for place, name in enumerate(_LONGEST)}


@pytest.fixture(scope="session", autouse=True)
def _a_machine_that_stands_still_is_no_database_that_is_away() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "CONNECT_TIMEOUT_S", 60.0)
        yield


@pytest.fixture(scope="module", autouse=True)
def _the_environment_as_it_was() -> Iterator[None]:
    """Who asks a Ray says so to its whole process; the next file's servers must not hear of it."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Within a file the order stays."""
    items.sort(key=lambda item: _PLACES.get(item.path.name, len(_LONGEST)))


def pytest_collection_finish() -> None:
    if "ray" in sys.modules:
        raise pytest.UsageError(
            "a test module imports Ray, which reads its environment at that moment: a later test of this process that sets"
            " it for its cluster would wait for ever. Import it in a process of its own."
        )
    _keep_what_is_imported()


def _keep_what_is_imported() -> None:
    """What is imported by now stays: looking through it again and again costs a test that makes an application a quarter of
    its time.
    """
    gc.collect()
    gc.freeze()
