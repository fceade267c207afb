"""The key that a customer's SFTP server shows now, for a person to confirm before it is pinned."""

import asyncio

import asyncssh

from fleet import ssh_keys
from fleet.errors import BadInput, Unavailable
from fleet.file_limits import PULL_CONNECT_S
from fleet.runtime import reach
from fleet.ssh_keys import SshKey

HOST_KEY_ALGORITHMS = "ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521,rsa-sha2-512,rsa-sha2-256"


async def current(host: str, port: int, networks: reach.Networks) -> SshKey:
    """networks: private ones that may be reached all the same (fleet.runtime.reach).

    Raises BadInput (host_not_allowed, bad_ssh_key, weak_ssh_key), Unavailable (server_away).
    """
    address = await reach.resolved(host, port, networks)
    try:
        async with asyncio.timeout(PULL_CONNECT_S):
            key = await asyncssh.get_server_host_key(address, port, server_host_key_algs=HOST_KEY_ALGORITHMS, config=None)
    except (OSError, asyncssh.Error):  # a time-out is an OSError; what exactly answered is not told to whoever asks
        raise Unavailable("server_away", f"no SFTP server answers at {host}:{port}") from None
    if key is None:
        raise BadInput("bad_ssh_key", f"{host}:{port} shows no key that can be pinned")
    return ssh_keys.parse(key.export_public_key("openssh").decode())
