"""What the broker's configuration must say, whatever else it says."""

from pathlib import Path

import pytest

from actors.broker_files import acl
from actors.broker_home import configuration
from fleet import limits

HOME = Path("/data/broker")


@pytest.fixture
def lines() -> list[str]:
    return configuration(
        HOME, devices=("192.0.2.1", 8883), internal=("127.0.0.1", 8884), devices_max=100, queued_messages_max=5
    ).splitlines()


def listener(lines: list[str], port: int) -> list[str]:
    start = next(number for number, line in enumerate(lines) if line.startswith(f"listener {port} "))
    end = next((number for number in range(start + 1, len(lines)) if lines[number].startswith("listener ")), len(lines))
    return lines[start:end]


def test_sessions_are_safe_from_per_listener_settings(lines: list[str]) -> None:
    assert not any(line.startswith("per_listener_settings") for line in lines)


def test_nobody_is_anonymous_and_nothing_is_retained(lines: list[str]) -> None:
    assert "allow_anonymous false" in lines
    assert "retain_available false" in lines


def test_bounds_come_from_limits(lines: list[str]) -> None:
    assert f"max_inflight_messages {limits.INFLIGHT_MESSAGES_MAX}" in lines
    assert "max_queued_messages 5" in lines
    assert int(next(line for line in lines if line.startswith("max_packet_size")).split()[1]) > limits.PAYLOAD_BYTES_MAX


def test_a_device_is_its_certificate(lines: list[str]) -> None:
    device = listener(lines, 8883)
    for line in (
        "require_certificate true",
        "use_identity_as_username true",
        "use_username_as_clientid true",
        "max_connections 100",
    ):
        assert line in device
    assert f"cafile {HOME}/devices.pem" in device
    assert f"crlfile {HOME}/crl.pem" in device


def test_the_internal_door_stays_on_this_machine_and_trusts_the_platform_only(lines: list[str]) -> None:
    internal = listener(lines, 8884)
    assert internal[0] == "listener 8884 127.0.0.1"
    assert "require_certificate true" in internal
    assert f"cafile {HOME}/platform.pem" in internal
    assert "use_username_as_clientid true" not in internal


def test_the_portal_may_write_nothing() -> None:
    web = acl().split("user sp-web\n")[1]
    assert web.split() == ["topic", "read", "sp/v1/+/+/live"]
