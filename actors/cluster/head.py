"""python -m actors.cluster.head PASSWORD_FILE start …: `ray start` of a head whose Redis asks for a password.

Ray alone hands a password on by command lines, which any account of the machine may read (`ps`). So it is called within this
process. Of its parts only the GCS speaks with Redis; that one has the password in its environment, which its own user reads.
The node's manager is not told: it would show it to workers, which a head does not have.

It goes in between where Ray, pinned to one release, starts a part: integration/test_cluster.py looks at what `ps` shows.
"""

import sys
from pathlib import Path
from typing import Any

from ray._private import services
from ray.scripts.scripts import cli

from fleet.runtime.secret_file import read_secret


def main(password_file: Path, words: list[str]) -> None:
    """Does not return. Raises BadInput (bad_secret_file)."""
    password = read_secret(password_file)
    _keep_to_the_gcs(password)
    cli([*words, f"--redis-password={password}"], prog_name="ray")


def _keep_to_the_gcs(password: str) -> None:
    start_process, start_raylet = services.start_ray_process, services.start_raylet
    shown = f"--redis_password={password}"

    def start_process_hiding(command: list[str], *told: Any, **options: Any) -> Any:
        if shown in command:
            command = ["--fromenv=redis_password" if word == shown else word for word in command]
            options["env_updates"] = {**(options.get("env_updates") or {}), "FLAGS_redis_password": password}
        return start_process(command, *told, **options)

    def start_raylet_without(*told: Any, **options: Any) -> Any:
        return start_raylet(*told, **{**options, "redis_password": None})

    services.start_ray_process, services.start_raylet = start_process_hiding, start_raylet_without


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
