"""python -m actors.jobs: what an installation from images does once, and before everything else."""

import argparse
import asyncio
import sys
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

import structlog

from actors.jobs import keys
from fleet.runtime.logs import set_up_logs
from fleet.runtime.process import run_to_end
from fleet.settings import DemoSettings, MigrateSettings, load

log = structlog.get_logger("jobs")


def main(arguments: Sequence[str] | None = None) -> int:
    chosen = _parser().parse_args(arguments)
    set_up_logs()
    return run_to_end(chosen.job, lambda: _keys(chosen) if chosen.job == "keys" else asyncio.run(_with_settings(chosen)))


def _keys(chosen: argparse.Namespace) -> None:
    hosts = [host for host in dict.fromkeys(chosen.host) if host]
    log.info("keys_handed_out", files=keys.hand_out(keys.Places(), hosts))
    if chosen.every_s is not None:
        keys.keep_handing_out(keys.Places(), hosts, chosen.every_s, chosen.ready_file)


def _with_settings(chosen: argparse.Namespace) -> Coroutine[Any, Any, None]:
    match chosen.job:
        case "migrate":
            from actors.jobs import migrate  # noqa: PLC0415 - the keys' image has none of its packages

            return migrate.run(load(chosen.settings, MigrateSettings))
        case _:
            from actors.jobs import demo  # noqa: PLC0415 - as above

            return demo.run(load(chosen.settings, DemoSettings))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m actors.jobs", description=__doc__)
    jobs = parser.add_subparsers(dest="job", required=True)
    key_job = jobs.add_parser("keys", help="authorities, secrets and certificates, to each service its own")
    key_job.add_argument("--host", action="append", default=[], help="name of the installation; may be given several times")
    key_job.add_argument("--every-s", type=float, help="do it again and again: what was renewed reaches its readers")
    key_job.add_argument("--ready-file", type=Path, help="touched by each time that went well")
    for name, what in (("migrate", "the database's schema"), ("demo", "the demonstration's fleet and its past")):
        jobs.add_parser(name, help=what).add_argument("--settings", type=Path, required=True)
    return parser


if __name__ == "__main__":
    sys.exit(main())
