"""A process that asks twins in a Ray cluster is a node of its own, which holds no shards.

Ray knows two ways for a program to use a cluster: through a server on the head, which costs a process per client there, is
gone with the head, and puts two more steps between question and answer; or beside a node on the same machine. This is the
second: asks go straight to the shard's process, whether the head is there or not.
"""

import os
import subprocess
import time
from typing import Final

from actors.cluster.node_command import head_address, listens, own_address, worker_command
from actors.cluster.ray_environment import environment
from fleet.settings import RaySettings

_START_S: Final = 60.0
_END_S: Final = 5.0  # then it is killed
_LOOK_S: Final = 0.1


class OwnNode:
    """One per process: it listens on fixed ports."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, settings: RaySettings) -> str:
        """Returns this machine's address in the cluster.

        Raises OSError when the head does not listen or the node does not come up, BadInput, Unavailable (no_such_host).
        """
        self.end()
        host, port = head_address(settings)
        if not listens(host, port):
            raise ConnectionError(f"the cluster's head does not listen on {host}:{port}")
        address = own_address(settings)
        command = worker_command(settings, address, shards_max=0)
        # what goes wrong there is told on standard error; the rest is greetings
        self._process = subprocess.Popen(command, env=os.environ | environment(settings), stdout=subprocess.DEVNULL)
        end = time.monotonic() + _START_S
        while not listens(address, settings.first_port):
            code = self._process.poll()
            if code is not None or time.monotonic() > end:
                self.end()
                raise ConnectionError(
                    f"no node of the cluster came up beside this process (exit code {code}); its log says why"
                )
            time.sleep(_LOOK_S)
        return address

    def end(self) -> None:
        """Returns when it is gone, and its ports are free."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()  # what it has started ends with it
            process.wait()
