"""Ports that are handed out: no two servers get the same one, also when neither listens yet."""

import pytest

from actors.local import ports


def test_a_port_is_handed_out_once_though_nobody_listens_on_it_yet() -> None:
    drawn = [ports.free_port() for _ in range(300)]
    assert len(set(drawn)) == len(drawn)


def test_a_port_that_somebody_asked_for_is_drawn_for_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ports.free_port()
    monkeypatch.setattr(ports, "_handed_out", type(ports._handed_out)(maxlen=10))
    monkeypatch.setattr(ports, "_LOWEST", asked)
    monkeypatch.setattr(ports, "_first_outgoing", lambda: asked + 1)
    monkeypatch.delenv(ports.SHARE, raising=False)
    ports.require_free(asked, "--port")
    assert ports.free_port() != asked


def test_processes_that_share_a_machine_draw_from_shares_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    for share in ("0/3", "1/3", "2/3"):
        monkeypatch.setenv(ports.SHARE, share)
        drawn.append({ports.free_port() % 3 for _ in range(30)})
    assert sorted(len(remainders) for remainders in drawn) == [1, 1, 1]
    assert len(set().union(*drawn)) == 3
