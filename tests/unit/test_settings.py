"""Settings files: what the environment fills in, and what a mistake is told as."""

from pathlib import Path

import pytest

from fleet.errors import BadInput
from fleet.settings import DatabaseSettings, RaySettings, load

TEXT = '{"host": "${DB_HOST:-postgres}", "port": "${DB_PORT}", "name": "n", "user": "u", "password_file": "/run/secrets/u"}'


def settings_file(folder: Path, text: str = TEXT) -> Path:
    file = folder / "database.json"
    file.write_text(text)
    return file


def test_the_environment_fills_in_texts_and_numbers(tmp_path: Path) -> None:
    told = load(settings_file(tmp_path), DatabaseSettings, {"DB_PORT": "6432"})
    assert (told.host, told.port, told.password_file) == ("postgres", 6432, Path("/run/secrets/u"))


def test_an_empty_variable_counts_as_not_set(tmp_path: Path) -> None:
    told = load(settings_file(tmp_path), DatabaseSettings, {"DB_HOST": "", "DB_PORT": "1"})
    assert told.host == "postgres"


def test_a_variable_that_is_not_set_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"database\.json needs the environment variable DB_PORT") as raised:
        load(settings_file(tmp_path), DatabaseSettings, {})
    assert raised.value.code == "bad_settings"


def test_what_a_variable_holds_is_never_more_than_its_text(tmp_path: Path) -> None:
    told = load(settings_file(tmp_path), DatabaseSettings, {"DB_HOST": 'x", "port": 1, "name": "${DB_PORT}', "DB_PORT": "2"})
    assert told.host == 'x", "port": 1, "name": "${DB_PORT}'
    assert told.port == 2


@pytest.mark.parametrize("text", ["{", '{"host": 1}', TEXT.replace("${DB_PORT}", "many")])
def test_a_mistake_names_its_file(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadInput, match=r"database\.json"):
        load(settings_file(tmp_path, text), DatabaseSettings, {})


def test_an_optional_value_that_nothing_is_set_for_is_null(tmp_path: Path) -> None:
    text = '{"address_file": "a", "token_file": "t", "temp_dir": "d", "cluster": "${HEAD:-}"}'
    file = settings_file(tmp_path, text)
    assert load(file, RaySettings, {}).cluster is None
    assert load(file, RaySettings, {"HEAD": "ray-head:6379"}).cluster == "ray-head:6379"
