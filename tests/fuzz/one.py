"""python -m tests.fuzz.one NAME SECONDS FOLDER: one target in a process of its own; FOLDER/report.json is what was found.

Seconds are those of the process, so that a busy machine finds as much.
Coverage guides the mutations where atheris is installed (the extra `fuzz`); without it they are made at random.
"""

import importlib
import importlib.util
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any, Final

import msgspec

atheris: Any = importlib.import_module("atheris") if importlib.util.find_spec("atheris") else None
SLOW_S: Final = 1.0  # of this process's time, for SIZE_MAX bytes
HANGS_S: Final = 20.0
MEMORY_BYTES_MAX: Final = 150 * 1024**2  # that one input may add
_KEPT_MAX: Final = 50
_BY_LIBFUZZER_SHARE: Final = 0.4  # of mutations; the others know what files look like
_SHORT_BYTES: Final = 4_000  # most inputs: a hundred times as many as long ones
_LONG_SHARE: Final = 0.02


class Finding(msgspec.Struct):
    """kind: the exception, 'Hang', 'slow' or 'memory'. input: its file in the folder."""

    kind: str
    where: str
    text: str
    input: str
    times: int = 1


class Report(msgspec.Struct):
    target: str
    guided: bool
    executions: int = 0
    seconds: float = 0.0
    slowest_s: float = 0.0
    slowest_bytes: int = 0
    findings: list[Finding] = []


class Hang(BaseException):
    """Not an Exception: whoever reads must not take it for bad input."""


class Run:
    """Runs inputs until the time is over."""

    def __init__(self, target: Any, seconds: float, folder: Path) -> None:
        self._target = target
        self._folder = folder
        self._began = time.process_time()
        self._seconds = seconds
        self._known: dict[tuple[str, str], Finding] = {}
        self.report = Report(target.name, atheris is not None)
        signal.signal(signal.SIGVTALRM, _hangs)

    @property
    def is_over(self) -> bool:
        return time.process_time() - self._began >= self._seconds

    def one(self, raw: bytes) -> None:
        peak, began = _peak_bytes(), time.process_time()
        signal.setitimer(signal.ITIMER_VIRTUAL, HANGS_S)
        try:
            self._target.run(raw)
        except (Exception, Hang) as error:  # noqa: BLE001 - this is what is looked for
            frame = traceback.extract_tb(error.__traceback__)[-1]
            self._found(type(error).__name__, f"{frame.filename}:{frame.lineno}", traceback.format_exc(), raw)
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        took = time.process_time() - began
        self.report.executions += 1
        if took > self.report.slowest_s:
            self.report.slowest_s, self.report.slowest_bytes = took, len(raw)
            (self._folder / "slowest").write_bytes(raw)
        if took > SLOW_S:
            self._found("slow", self._target.name, f"{took:.2f} s for {len(raw)} bytes", raw)
        if (grown := _peak_bytes() - peak) > MEMORY_BYTES_MAX:
            self._found("memory", self._target.name, f"{grown >> 20} MiB for {len(raw)} bytes", raw)

    def finish(self) -> None:
        self.report.seconds = time.process_time() - self._began
        self.report.findings = list(self._known.values())
        (self._folder / "report.json").write_bytes(msgspec.json.encode(self.report))

    def _found(self, kind: str, where: str, text: str, raw: bytes) -> None:
        known = self._known.get((kind, where))
        if known is not None:
            known.times += 1
        elif len(self._known) < _KEPT_MAX:
            name = f"finding-{len(self._known)}"
            (self._folder / name).write_bytes(raw)
            self._known[kind, where] = Finding(kind, where, text[-4_000:], name)


def _hangs(_signal: int, _frame: FrameType | None) -> None:
    raise Hang


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main(name: str, seconds: float, folder: Path) -> None:
    if atheris is None:
        targets = importlib.import_module("tests.fuzz.targets").TARGETS
    else:
        with atheris.instrument_imports(include=["fleet"]):
            targets = importlib.import_module("tests.fuzz.targets").TARGETS
    mutations = importlib.import_module("tests.fuzz.mutations")
    run = Run(targets[name], seconds, folder)
    for seed in targets[name].seeds:
        run.one(seed)
    others = [seed for target in targets.values() for seed in target.seeds[:1]]
    if atheris is None:
        _at_random(run, targets[name].seeds, others, mutations.mutated)
    else:
        _guided(run, targets[name].seeds, others, mutations, folder)


def _at_random(run: Run, seeds: list[bytes], others: list[bytes], mutated: Callable[..., bytes]) -> None:
    luck = Random(1)
    while not run.is_over:
        run.one(mutated(luck, luck.choice(seeds), luck.choice(others)))
    run.finish()


def _guided(run: Run, seeds: list[bytes], others: list[bytes], mutations: Any, folder: Path) -> None:
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(seeds):
        (corpus / str(number)).write_bytes(seed)

    def one(raw: bytes) -> None:
        run.one(raw)
        if run.is_over:
            run.finish()
            os._exit(0)  # libFuzzer has no other end

    def mutate(raw: bytes, size_max: int, seed: int) -> bytes:
        luck = Random(seed)
        size = size_max if luck.random() < _LONG_SHARE else min(size_max, _SHORT_BYTES)
        if luck.random() < _BY_LIBFUZZER_SHARE:
            return bytes(atheris.Mutate(raw[:size], size))
        made: bytes = mutations.mutated(luck, raw, luck.choice(others), size)
        return made

    arguments = [sys.argv[0], f"-max_len={mutations.SIZE_MAX}", "-timeout=300", "-rss_limit_mb=2048", "-verbosity=0"]
    arguments += [f"-artifact_prefix={folder}/", str(corpus)]
    atheris.Setup(arguments, one, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), Path(sys.argv[3]))
