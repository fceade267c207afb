"""Settings files: what was saved is loaded, and what is wrong is named."""

from pathlib import Path

import pytest

from fleet.errors import BadInput
from fleet.settings import BrokerSettings, DatabaseSettings, RaySettings, TwinsSettings, load, save

TWINS = TwinsSettings(
    shards=2,
    database=DatabaseSettings("127.0.0.1", 5432, "solarperform", "sp_twins", Path("/secrets/sp_twins")),
    broker=BrokerSettings("localhost", 8884, Path("/ca.pem"), Path("/chain.pem"), Path("/key.pem")),
    ray=RaySettings(Path("/run/ray.address"), Path("/secrets/ray"), Path("/ray")),
)


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    file = tmp_path / "settings" / "twins.json"
    save(file, TWINS)
    assert load(file, TwinsSettings) == TWINS


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"none\.json"):
        load(tmp_path / "none.json", TwinsSettings)


def test_a_wrong_field_is_named(tmp_path: Path) -> None:
    file = tmp_path / "database.json"
    file.write_text('{"host": "h", "port": "not a number", "name": "n", "user": "u", "password_file": "/p"}')
    with pytest.raises(BadInput, match="port"):
        load(file, DatabaseSettings)
