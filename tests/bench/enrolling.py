"""The other ends of the enrolment benchmark, each a process of its own.

devices   enrol one after the other from a list, each over a TLS connection of its own; report what they got
echo      the same TLS server, which answers each request at once and does nothing else
"""

import asyncio
import base64
import contextlib
import re
import ssl
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path

import msgspec
import uvloop

from certs.listener import Context

_ANSWER_BYTES = 1_200  # about what a certificate takes
_TRY_AGAIN_S = 0.05


class Device(msgspec.Struct, frozen=True):
    claim: str
    code: str
    csr: str  # base64


class Order(msgspec.Struct, frozen=True):
    """seconds: after which no device begins any more. stubborn: one that got no answer asks again until it has one."""

    port: int
    ca_file: Path
    devices: list[Device]
    at_once: int
    seconds: float
    stubborn: bool
    report_file: Path


class Report(msgspec.Struct, frozen=True):
    """answers: body of the answer by claim. latencies_s of those, from the connect. refused: what else came."""

    seconds: float
    answers: dict[str, str]
    latencies_s: list[float]
    refused: list[str]


class EchoOrder(msgspec.Struct, frozen=True):
    port: int
    devices_trust: Path
    chain: Path
    key: Path


async def devices(order: Order) -> None:
    tls = ssl.create_default_context(cafile=str(order.ca_file))
    waiting, answers, latencies, refused = iter(order.devices), dict[str, str](), list[float](), list[str]()
    begun = time.monotonic()

    async def one_after_the_other() -> None:
        for device in waiting:
            if time.monotonic() - begun > order.seconds:
                return
            while True:
                asked = time.monotonic()
                status, body = await _ask(order.port, tls, device)
                if status == 200:
                    answers[device.claim] = body
                    latencies.append(time.monotonic() - asked)
                    break
                if status not in (0, 503) or not order.stubborn:
                    refused.append(f"{status} {body}")
                    break
                await asyncio.sleep(_TRY_AGAIN_S)

    await asyncio.gather(*(one_after_the_other() for _ in range(order.at_once)))
    report = Report(time.monotonic() - begun, answers, latencies, refused)
    order.report_file.write_bytes(msgspec.json.encode(report))


async def _ask(port: int, tls: ssl.SSLContext, device: Device) -> tuple[int, str]:
    """Status and body; status 0 = no whole answer."""
    try:
        async with asyncio.timeout(20.0):
            answer = await _exchange(port, tls, device)
    except (OSError, EOFError, TimeoutError):
        return 0, ""
    head, _, body = answer.partition("\r\n\r\n")
    length = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
    if length is None or len(body) < int(length[1]):
        return 0, ""
    return int(head.split(" ", 2)[1]), body


async def _exchange(port: int, tls: ssl.SSLContext, device: Device) -> str:
    reader, writer = await asyncio.open_connection("localhost", port, ssl=tls, server_hostname="localhost")
    try:
        user = base64.b64encode(f"{device.claim}:{device.code}".encode()).decode()
        writer.write(
            f"POST /.well-known/est/simpleenroll HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            f"Authorization: Basic {user}\r\nContent-Type: application/pkcs10\r\n"
            f"Content-Length: {len(device.csr)}\r\n\r\n{device.csr}".encode()
        )
        return (await reader.read(-1)).decode()
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def echo(order: EchoOrder) -> None:
    context = Context(devices_trust=order.devices_trust, chain=order.chain, key=order.key)
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % _ANSWER_BYTES + b"x" * _ANSWER_BYTES

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", order.port, ssl=context.ssl)
    await server.serve_forever()


def main(arguments: list[str]) -> None:
    part, body = arguments[0], Path(arguments[1]).read_bytes()
    doing: Callable[[], Coroutine[object, object, None]]
    if part == "devices":
        doing = lambda: devices(msgspec.json.decode(body, type=Order, dec_hook=_path))  # noqa: E731 - the shorter half
    else:
        doing = lambda: echo(msgspec.json.decode(body, type=EchoOrder, dec_hook=_path))  # noqa: E731 - as above
    asyncio.Runner(loop_factory=uvloop.new_event_loop).run(doing())


def _path(kind: type, value: object) -> object:
    return kind(value)


if __name__ == "__main__":
    main(sys.argv[1:])
