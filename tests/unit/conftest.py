"""A unit test that opens a network connection or starts Ray fails: it belongs to tests/integration."""

import socket
import sys
from typing import Any, NoReturn

import pytest


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket.socket, "connect", _refuse_socket)
    monkeypatch.setattr(socket.socket, "connect_ex", _refuse_socket)
    monkeypatch.setattr(socket.socket, "bind", _refuse_socket)


@pytest.fixture(autouse=True)
def _no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    if "ray" in sys.modules:  # importing it takes a second; one that a test imports itself meets the refused sockets
        monkeypatch.setattr("ray.init", _refuse_ray)


def _refuse_socket(*_: Any, **__: Any) -> NoReturn:
    pytest.fail("a unit test opened a socket; move it to tests/integration", pytrace=True)


def _refuse_ray(*_: Any, **__: Any) -> NoReturn:
    pytest.fail("a unit test called ray.init; move it to tests/integration", pytrace=True)
