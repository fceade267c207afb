"""Stands between the platform's MQTT clients and a real broker, and notes which features of MQTT each of them uses.

It ends TLS on both sides: a client is known by its certificate's common name, and is connected to the broker with the same
certificate. Nothing is changed on the way.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import mqtt5

from actors.local.ports import LOOPBACK
from certs.tls import client_context
from tests.servers import Broker

_READ_BYTES = 65_536
_COMPONENTS = {"sp-twins": "shard", "sp-web": "portal", "sp-guard": "guard"}
_KINDS = {1: "CONNECT", 3: "PUBLISH", 4: "PUBACK", 8: "SUBSCRIBE", 10: "UNSUBSCRIBE", 14: "DISCONNECT"}
_FILLED: tuple[object, ...] = (None, 0, 65_535, "", [], False)  # what a property is when nobody set it


class Recorder:
    """features: component → what it was seen to use; a plain good-bye is none, and often the connection ends before it.

    unknown: kinds of packets that are not in the books. errors: of ours.
    """

    def __init__(self, broker: Broker) -> None:
        self.features: dict[str, set[str]] = {}
        self.unknown: set[int] = set()
        self.to_clients: set[str] = set()
        self.errors: list[Exception] = []
        self.device_port = self.internal_port = 0
        self._broker = broker
        self._connected: dict[str, int] = {}  # client id → connections that are open

    def packet(self, component: str, version: int, first: int, body: bytes, whole: bytes) -> int:
        """One packet of a client. Returns the protocol's version, which a CONNECT tells."""
        kind = first >> 4
        if kind == 1:
            version = body[6]
        name = _KINDS.get(kind)
        if name is None:
            if kind != 12:  # PINGREQ: comes when there is time for it; the keep-alive stands in CONNECT
                self.unknown.add(kind)
            return version
        noted = self.features.setdefault(component, set())
        read: Callable[..., Iterator[str]] = _FIVE[name] if version == 5 else _THREE[name]
        argument = mqtt5.read(memoryview(whole))[0] if version == 5 else (first, body)
        noted.update(read(argument))
        return version

    def opened(self, component: str, client_id: str) -> None:
        if self._connected.get(client_id):
            self.features.setdefault(component, set()).add("takes over the client id of a live connection")
        self._connected[client_id] = self._connected.get(client_id, 0) + 1

    def closed(self, client_id: str) -> None:
        self._connected[client_id] -= 1

    def from_broker(self, first: int) -> None:
        if first >> 4 == 3 and first & 1:
            self.to_clients.add("PUBLISH with retain")

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Recorder"]:
        folder = self._broker.pki.folder
        served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        served.load_cert_chain(folder / "servers" / "localhost" / "chain.pem", folder / "servers" / "localhost" / "key.pem")
        served.verify_mode = ssl.CERT_REQUIRED
        for trust in ("devices.pem", "platform.pem"):
            served.load_verify_locations(folder / "trust" / trust)
        async with contextlib.AsyncExitStack() as stack:
            for name, port in (("device_port", self._broker.device_port), ("internal_port", self._broker.internal_port)):
                server = await asyncio.start_server(partial(self._serve, port), LOOPBACK, 0, ssl=served)
                await stack.enter_async_context(server)
                setattr(self, name, server.sockets[0].getsockname()[1])
            yield self

    async def _serve(self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        subject = writer.get_extra_info("peercert")["subject"]
        name = next(value for part in subject for key, value in part if key == "commonName")
        chain, key = self._files(name)
        tls = client_context(ca_file=self._broker.pki.server_trust, cert_file=chain, key_file=key)
        far_reader, far_writer = await asyncio.open_connection(LOOPBACK, port, ssl=tls, server_hostname="localhost")
        both = [
            asyncio.ensure_future(self._up(_COMPONENTS.get(name, "device"), reader, far_writer)),
            asyncio.ensure_future(self._down(far_reader, writer)),
        ]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for task in both:
            task.cancel()
        results = await asyncio.gather(*both, return_exceptions=True)
        for end in (writer, far_writer):
            end.transport.abort()
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, OSError | asyncio.IncompleteReadError):
                self.errors.append(result)

    def _files(self, name: str) -> tuple[Path, Path]:
        folder = self._broker.pki.folder / ("platform" if name in _COMPONENTS else "devices") / name
        return folder / "chain.pem", folder / "key.pem"

    async def _up(self, component: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        version, client_id = 0, ""
        try:
            while True:
                first, body, whole = await _packet(reader)
                version = self.packet(component, version, first, body, whole)
                if first >> 4 == 1:
                    client_id = _client_id(version, body, whole)
                    self.opened(component, client_id)
                writer.write(whole)
                await writer.drain()
        finally:
            if client_id:
                self.closed(client_id)

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            first, _, whole = await _packet(reader)
            self.from_broker(first)
            writer.write(whole)
            await writer.drain()


async def _packet(reader: asyncio.StreamReader) -> tuple[int, bytes, bytes]:
    """First byte, what follows the length, and all of it (MQTT 3.1.1 and 5, section 2)."""
    head = await reader.readexactly(2)
    length, shift = head[1] & 0x7F, 7
    while head[-1] & 0x80:
        head += await reader.readexactly(1)
        length |= (head[-1] & 0x7F) << shift
        shift += 7
    body = await reader.readexactly(length)
    return head[0], body, head + body


def _client_id(version: int, body: bytes, whole: bytes) -> str:
    if version == 5:
        connect = mqtt5.read(memoryview(whole))[0]
        assert isinstance(connect, mqtt5.ConnectPacket)
        return connect.client_id
    return body[12 : 12 + int.from_bytes(body[10:12], "big")].decode()


def _filter(text: str, qos: int) -> Iterator[str]:
    yield f"SUBSCRIBE QoS {qos}"
    for sign in "+#":
        if sign in text.split("/"):
            yield f"wildcard {sign}"
    if text.startswith("$"):
        yield f"filter {text.partition('/')[0]}"  # $share, $SYS


# MQTT 5, as the library reads it


def _properties(packet: object, *known: str) -> Iterator[str]:
    for name in (name for name in dir(packet) if not name.startswith("_") and name not in ("write", *known)):
        if getattr(packet, name) not in _FILLED:
            yield f"property {name}"


def _connect5(packet: mqtt5.ConnectPacket) -> Iterator[str]:
    yield "MQTT 5"
    yield "clean start" if packet.clean_start else "persistent session"
    if packet.keep_alive:
        yield "keep-alive"
    if packet.will:
        yield f"will QoS {packet.will.qos}" + (" retained" if packet.will.retain else "")
        yield from _properties(packet.will, "topic", "payload", "qos", "retain")
    known = ("client_id", "clean_start", "keep_alive", "will", "request_problem_info")  # problem info: 1 unless said
    yield from _properties(packet, *known)


def _publish5(packet: mqtt5.PublishPacket) -> Iterator[str]:
    yield f"PUBLISH QoS {packet.qos}" + (" retained" if packet.retain else "")
    yield from _properties(packet, "topic", "payload", "qos", "retain", "packet_id", "duplicate")


def _subscribe5(packet: mqtt5.SubscribePacket) -> Iterator[str]:
    yield from _properties(packet, "packet_id", "topic_filters")
    for each in packet.topic_filters:
        yield from _filter(each.pattern, each.max_qos)
        if each.no_local:
            yield "option no local"
        if each.retain_as_published:
            yield "option retain as published"
        if int(each.retain_handling):
            yield f"option retain handling {each.retain_handling}"


def _disconnect5(packet: mqtt5.DisconnectPacket) -> Iterator[str]:
    if packet.reason_code != mqtt5.DisconnectReasonCode.NORMAL_DISCONNECTION:
        yield f"DISCONNECT reason 0x{int(packet.reason_code):02x}"
    yield from _properties(packet, "reason_code")


def _puback5(packet: mqtt5.PubAckPacket) -> Iterator[str]:
    yield "PUBACK"
    yield from _properties(packet, "packet_id", "reason_code")


_FIVE: dict[str, Callable[..., Iterator[str]]] = {
    "CONNECT": _connect5,
    "PUBLISH": _publish5,
    "SUBSCRIBE": _subscribe5,
    "UNSUBSCRIBE": lambda packet: iter(("UNSUBSCRIBE", *_properties(packet, "packet_id", "patterns"))),
    "DISCONNECT": _disconnect5,
    "PUBACK": _puback5,
}

# MQTT 3.1.1: first byte and body


def _connect3(packet: tuple[int, bytes]) -> Iterator[str]:
    _, body = packet
    assert body[:7] == b"\x00\x04MQTT\x04", f"neither MQTT 3.1.1 nor 5: {body[:7]!r}"
    flags = body[7]
    yield "MQTT 3.1.1"
    yield "clean start" if flags & 0x02 else "persistent session"
    if int.from_bytes(body[8:10], "big"):
        yield "keep-alive"
    if flags & 0x04:
        yield f"will QoS {flags >> 3 & 3}" + (" retained" if flags & 0x20 else "")
    if flags & 0xC0:
        yield "user name or password"


def _publish3(packet: tuple[int, bytes]) -> Iterator[str]:
    first, _ = packet
    yield f"PUBLISH QoS {first >> 1 & 3}" + (" retained" if first & 1 else "")


def _subscribe3(packet: tuple[int, bytes]) -> Iterator[str]:
    rest = packet[1][2:]
    while rest:
        end = 2 + int.from_bytes(rest[:2], "big")
        yield from _filter(rest[2:end].decode(), rest[end])
        rest = rest[end + 1 :]


_THREE: dict[str, Callable[..., Iterator[str]]] = {
    "CONNECT": _connect3,
    "PUBLISH": _publish3,
    "SUBSCRIBE": _subscribe3,
    "UNSUBSCRIBE": lambda _packet: iter(("UNSUBSCRIBE",)),
    "DISCONNECT": lambda _packet: iter(()),
    "PUBACK": lambda _packet: iter(("PUBACK",)),
}
