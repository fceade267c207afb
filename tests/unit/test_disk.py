"""What is told of a disk: also of one that is gone."""

import shutil
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from actors.disk import free_bytes, usable_bytes


def test_a_folder_that_is_gone_has_no_room_and_hides_no_other_metric(tmp_path: Path) -> None:
    folder = tmp_path / "originals"
    folder.mkdir()
    registry = CollectorRegistry()
    Gauge("disk_free_bytes", "of a folder", registry=registry).set_function(lambda: usable_bytes(folder))
    Gauge("files_waiting", "of the same service", registry=registry).set(7)
    assert registry.get_sample_value("disk_free_bytes") > 0 < free_bytes(folder)
    shutil.rmtree(folder)
    told = generate_latest(registry).decode()
    assert "disk_free_bytes 0.0" in told
    assert "files_waiting 7.0" in told
