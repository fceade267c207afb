"""What TLS alone costs: handshakes as the broker and its devices make them, without sockets and without MQTT."""

import ssl
import subprocess
import sys
import time

import msgspec

from tests.servers import Pki


class Files(msgspec.Struct, frozen=True):
    """What both sides show and trust."""

    server_chain: str
    server_key: str
    device_chain: str
    device_key: str
    server_trust: str
    device_trust: str


def per_second(pki: Pki, device: str, processes: int, seconds: float) -> float:
    """Handshakes/s of this machine, both sides of each counted as one, with so many processes at it."""
    chain, key = pki.device(device)
    server = pki.folder / "servers" / "localhost"
    trust = str(pki.folder / "trust" / "devices.pem")
    files = Files(str(server / "chain.pem"), str(server / "key.pem"), str(chain), str(key), str(pki.server_trust), trust)
    told = [sys.executable, "-m", "tests.bench.handshakes", msgspec.json.encode(files).decode(), str(seconds)]
    running = [subprocess.Popen(told, stdout=subprocess.PIPE) for _ in range(processes)]
    return sum(float(process.communicate()[0]) for process in running)


def shake(files: Files, seconds: float) -> float:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_verify_locations(files.device_trust)
    server.load_cert_chain(files.server_chain, files.server_key)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(files.server_trust)
    client.load_cert_chain(files.device_chain, files.device_key)
    done, began = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - began) < seconds:
        _one(client, server)
        done += 1
    return done / elapsed


def _one(client: ssl.SSLContext, server: ssl.SSLContext) -> None:
    """A full handshake, with both certificates verified: no session is ever resumed."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        client.wrap_bio(down, up, server_hostname="localhost"),
        server.wrap_bio(up, down, server_side=True),
    ]
    waiting = sides[:]
    while waiting:
        for side in waiting[:]:
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(side)


if __name__ == "__main__":
    print(shake(msgspec.json.decode(sys.argv[1], type=Files), float(sys.argv[2])))
