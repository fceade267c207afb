"""python -m actors.local.load_history SETTINGS FOLDER: history files of the simulator through the twins' bulk door.

A process of its own, because joining Ray takes threads, signal handlers and memory that the launcher shall not have.
A file is deleted once it is stored, so an interrupted run goes on where it stopped; storing a sample twice changes nothing.
"""

import argparse
import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np

from actors.client import Twins
from actors.clock import now_ms
from fleet.columns import ColumnBlock
from fleet.errors import FleetError, Unavailable
from fleet.fleet_plan import HistoryBlock
from fleet.ids import SiteId
from fleet.limits import BULK_SAMPLES_MAX
from fleet.runtime.logs import set_up_logs
from fleet.settings import TwinsSettings, load

SITES_AT_ONCE = 4
_RETRY_S = (1.0, 2.0, 5.0, 10.0)


async def push(twins: Twins, files: list[Path]) -> int:
    """One <site>.msgpack each. Returns how many samples it sent."""
    turns = asyncio.Semaphore(SITES_AT_ONCE)

    async def one(file: Path) -> int:
        async with turns:
            blocks = msgspec.msgpack.decode(await asyncio.to_thread(file.read_bytes), type=list[HistoryBlock])
            for block in blocks:
                for portion in columns(block):
                    await _store(twins, block.site, portion)
            await asyncio.to_thread(file.unlink)
            return sum(len(block.samples) for block in blocks)

    return sum(await asyncio.gather(*(one(file) for file in files)))


def columns(block: HistoryBlock) -> Iterator[ColumnBlock]:
    """Cut so that each call stays below the bulk door's bound."""
    for start in range(0, len(block.samples), BULK_SAMPLES_MAX):
        samples = block.samples[start : start + BULK_SAMPLES_MAX]
        measures = tuple(sorted({measure for sample in samples for measure in sample.v}))
        yield ColumnBlock(
            block.device,
            measures,
            np.array([sample.t for sample in samples], "<i8").tobytes(),
            b"".join(np.array([sample.v.get(name) for sample in samples], "<f8").tobytes() for name in measures),
            bytes(8 * len(samples)),  # below every file: a file that tells of the same time is believed
        )


async def _store(twins: Twins, site: SiteId, block: ColumnBlock) -> None:
    for delay_s in _RETRY_S:
        try:
            await twins.store_columns(site, 0, [block], now_ms())
        except Unavailable:
            await asyncio.sleep(delay_s)
        else:
            return
    await twins.store_columns(site, 0, [block], now_ms())


async def _run(settings: TwinsSettings, files: list[Path]) -> None:
    twins = await Twins.connect(settings.ray)
    try:
        sys.stderr.write(f"{await push(twins, files)} samples stored\n")
        await twins.roll_up()  # the portal shows the past from its first page on
    finally:
        await twins.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m actors.local.load_history", description=__doc__)
    parser.add_argument("settings", type=Path)
    parser.add_argument("folder", type=Path)
    chosen = parser.parse_args()
    set_up_logs()
    try:
        asyncio.run(_run(load(chosen.settings, TwinsSettings), sorted(chosen.folder.glob("*.msgpack"))))
    except FleetError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
