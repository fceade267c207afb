"""Who is told to stop ends, also when something swallows the order: Python 3.11's wait_for or gather, whose answer comes
just then, or a clean-up that fails, whose error takes its place.
"""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import aiomqtt
import asyncpg
import pytest

from actors.counters import Counters
from actors.importer.importer import Importer
from actors.order_book import OrderBook
from actors.rollouts.conductor import Conductor
from actors.shard import TwinShard
from actors.upkeep import Upkeep
from actors.writer import Writer
from certs.service import _Service
from fleet.errors import Unavailable
from fleet.runtime.process import unless_stopped

ROLLED_BACK = asyncpg.InterfaceError("cannot call Transaction.__aexit__(): the underlying connection is closed")
ANY: Any = SimpleNamespace(shard=0)  # a lease, settings: what is not asked for anything here


class Swallowing:
    """Work in whose first round the order to stop comes; instead of it, this error comes out, or none."""

    def __init__(self, error: Exception | None = None) -> None:
        self.again = asyncio.Event()
        self._error = error
        self._swallowed = False

    async def __call__(self, *_given: Any) -> None:
        if self._swallowed:
            self.again.set()
            await asyncio.Event().wait()
        self._swallowed = True
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
        if self._error is not None:
            raise self._error


async def ends(loop: Coroutine[Any, Any, None], work: Swallowing) -> bool:
    """Whether it does, rather than that it goes into another round."""
    looping = asyncio.create_task(loop)
    again = asyncio.create_task(work.again.wait())
    await asyncio.wait((looping, again), timeout=30.0, return_when=asyncio.FIRST_COMPLETED)
    ended = looping.cancelled()
    for task in (looping, again):
        task.cancel()
    await asyncio.wait((looping, again))
    return ended


@pytest.mark.parametrize("error", [None, ROLLED_BACK, Unavailable("server_away", "")])
async def test_the_importer(error: Exception | None) -> None:
    importer, work = Importer(ANY, ANY, lambda: None), Swallowing(error)
    assert await ends(importer._repeat("pulling", work), work)


async def test_rollouts_whose_database_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    conductor, work = Conductor(ANY, ANY, "https://portal.test", lambda: None), Swallowing(ROLLED_BACK)
    monkeypatch.setattr(conductor, "_serve", work)
    assert await ends(conductor.run(), work)


async def test_rollouts_whose_twins_go(monkeypatch: pytest.MonkeyPatch) -> None:
    async def connect(*_given: Any, **_more: Any) -> Any:
        return SimpleNamespace(add_listener=done, terminate=lambda: None)

    async def done(*_given: Any) -> bool:
        return True

    conductor, work = Conductor(ANY, ANY, "https://portal.test", lambda: None), Swallowing()
    monkeypatch.setattr("actors.rollouts.conductor.connect", connect)
    monkeypatch.setattr("fleet.storage.rollout_steps.lead", done)
    monkeypatch.setattr(conductor, "round", work)
    assert await ends(conductor.run(), work)


async def test_what_a_shard_does_again_and_again() -> None:
    upkeep, work = Upkeep(**dict.fromkeys(UPKEEP, ANY), counters=Counters(), broker_log_file=None), Swallowing(ROLLED_BACK)
    assert await ends(upkeep.repeat("sweep", 0.0, work), work)


UPKEEP = ("pool", "lease", "catalog", "intake", "writer", "feeds", "supervision", "rollup", "placing")


async def test_a_shards_order_book(monkeypatch: pytest.MonkeyPatch) -> None:
    work = Swallowing(ROLLED_BACK)
    book = OrderBook(ANY, ANY, work, lambda _steps: None)
    monkeypatch.setattr(book, "_store", work)
    book.write(())
    assert await ends(book.run(), work)


async def test_a_shards_writer(monkeypatch: pytest.MonkeyPatch) -> None:
    writer, work = Writer(ANY, ANY, Counters()), Swallowing(ROLLED_BACK)
    monkeypatch.setattr(writer, "_store", work)
    assert await ends(writer.commit([], 0), work)


async def test_a_shard_whose_broker_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    work = Swallowing(aiomqtt.MqttError("Operation timed out"))

    class Session:
        def __init__(self, *_given: Any) -> None: ...

        async def __aenter__(self) -> None:
            await work()

        async def __aexit__(self, *_error: object) -> None: ...

    shard: Any = TwinShard.__new__(TwinShard)
    shard.shard, shard._slots, shard._vanished = 0, range(0), []
    shard._settings = SimpleNamespace(broker=SimpleNamespace(host="localhost", port=0))
    shard._intake = SimpleNamespace(take_at_once=None)
    shard._upkeep, shard._orders = SimpleNamespace(), SimpleNamespace()
    shard._tls = lambda: None
    monkeypatch.setattr("actors.shard.ManualAckSession", Session)
    assert await ends(shard._serve_broker(), work)


async def test_the_authority_at_its_lists() -> None:
    authority, work = _Service.__new__(_Service), Swallowing(ROLLED_BACK)
    lists: Any = SimpleNamespace(due=asyncio.Event(), is_due=work)
    lists.due.set()
    assert await ends(authority._sign_lists(lists), work)


@pytest.mark.parametrize("loop", [_Service._begin, _Service._look_after_leaves])
async def test_the_authority_at_its_certificates(loop: Callable[..., Coroutine[Any, Any, None]]) -> None:
    authority: Any = _Service.__new__(_Service)
    work = authority._adopt = Swallowing(ROLLED_BACK)
    authority._read_authorities = lambda: None
    authority._renew = list
    arguments = (ANY, ANY) if loop is _Service._begin else (ANY,)
    assert await ends(loop(authority, *arguments), work)


async def test_a_process_that_has_just_become_ready() -> None:
    """The signal is told when the work is done, and before whoever waits for it takes over the signals."""

    async def work() -> None:
        signal.raise_signal(signal.SIGTERM)
        await asyncio.sleep(0)

    loop = asyncio.get_running_loop()
    try:
        assert not await unless_stopped(work())
    finally:
        for sign in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(sign)
