"""What of the broker's log is told on."""

from pathlib import Path

from actors.broker_log import BrokerLog

CANARY = (
    "2026-06-21T12:00:00: New client connected from 127.0.0.1:4711 as sp-guard-canary (p5, c1, k0, u'sp-guard').",
    "2026-06-21T12:00:00: New connection from 127.0.0.1:4712 on port 8883.",
    "2026-06-21T12:00:00: OpenSSL Error[0]: error:0A000086:SSL routines::certificate verify failed",
    "2026-06-21T12:00:00: Client <unknown> disconnected: Protocol error.",
    "2026-06-21T12:00:00: Client sp-guard-canary disconnected.",
)


def codes(file: Path, log: BrokerLog, *lines: str) -> list[str]:
    with file.open("a") as written:
        written.writelines(f"{line}\n" for line in lines)
    return [event.code for event in log.read()]


def test_the_guards_own_refusal_is_no_news_and_every_other_one_is(tmp_path: Path) -> None:
    file = tmp_path / "log"
    log = BrokerLog(file)
    assert codes(file, log, *CANARY) == []
    assert codes(file, log, CANARY[2]) == ["refused_at_the_door"]
    assert codes(file, log, *CANARY[:3], CANARY[2], *CANARY[3:]) == ["refused_at_the_door"]
    assert codes(file, log, *CANARY[:2]) == []  # cut off between two reads
    assert codes(file, log, *CANARY[2:]) == []
