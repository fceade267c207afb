"""The broker's internal listener, where client ids are free: taking sessions over, and which access list is in force.

Both are one visit: connect with a clean start, publish below the mark of the access list, go. Connecting under a device's id
ends its live connection and drops what is queued for it; the answer to the publish says whether the list of that mark was
read. The certificate that the broker shows here is that of the devices' listener too, read in the same go.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import mqtt5

from actors.broker_files import GUARD
from actors.guard import figures
from certs.tls import broker_context, broker_fault
from fleet import topics
from fleet.errors import FleetError, Unavailable
from fleet.limits import GUARD_PROBE_TIMEOUT_S
from fleet.settings import BrokerSettings

_WRITTEN: Final = (mqtt5.PubAckReasonCode.SUCCESS, mqtt5.PubAckReasonCode.NO_MATCHING_SUBSCRIBERS)
_READ_BYTES: Final = 4_096  # CONNACK and PUBACK together are about 40


class InternalDoor:
    """Its certificate is read anew for each visit, so that a renewed one is used."""

    def __init__(self, broker: BrokerSettings) -> None:
        self._broker = broker

    async def in_force(self, mark: str) -> bool:
        """Whether the broker has taken in the access list of this mark. Raises Unavailable (broker_away)."""
        async with self.visit(GUARD, mark) as in_force:
            return in_force

    async def take_over(self, device: str, mark: str) -> bool:
        """The device's session is gone. Whether the access list of this mark was in force then. Raises as in_force."""
        async with self.visit(device, mark) as in_force:
            return in_force

    @asynccontextmanager
    async def visit(self, client_id: str, mark: str) -> AsyncIterator[bool]:
        """Connected as `client_id` while the block lasts; whether this access list is in force. Raises as in_force."""
        try:
            async with asyncio.timeout(GUARD_PROBE_TIMEOUT_S):
                writer, in_force = await self._enter(client_id, mark)
        except (OSError, ValueError, FleetError) as error:  # a time-out is an OSError
            fault = error if isinstance(error, FleetError) else broker_fault(self._broker, error)
            raise Unavailable("broker_away", fault.detail) from None
        try:
            yield in_force
        finally:
            writer.write(mqtt5.DisconnectPacket().write())
            writer.transport.abort()

    async def _enter(self, client_id: str, mark: str) -> tuple[asyncio.StreamWriter, bool]:
        tls = broker_context(self._broker)
        reader, writer = await asyncio.open_connection(self._broker.host, self._broker.port, ssl=tls)
        try:
            figures.certificate_end.set(_end_of(writer.get_extra_info("peercert")))
            writer.write(mqtt5.ConnectPacket(client_id=client_id, clean_start=True).write())
            welcome = await _packet(reader)
            if not isinstance(welcome, mqtt5.ConnAckPacket) or welcome.reason_code != mqtt5.ConnAckReasonCode.SUCCESS:
                raise Unavailable("broker_away", f"it refuses the guard: {welcome}")
            writer.write(mqtt5.PublishPacket(topics.guard_mark(mark), b"", qos=mqtt5.QoS.AT_LEAST_ONCE, packet_id=1).write())
            answer = await _packet(reader)
        except BaseException:
            writer.transport.abort()
            raise
        return writer, isinstance(answer, mqtt5.PubAckPacket) and answer.reason_code in _WRITTEN


def _end_of(certificate: dict[str, Any]) -> float:
    """Unix time. certificate: a server's that was verified, as ssl has it."""
    return float(ssl.cert_time_to_seconds(certificate["notAfter"]))


async def _packet(reader: asyncio.StreamReader) -> mqtt5.Packet:
    """Of a peer that answers one packet at a time."""
    received = b""
    while True:
        more = await reader.read(_READ_BYTES)
        if not more:
            raise ConnectionResetError("it closed the connection")
        received += more
        try:
            return mqtt5.read(memoryview(received))[0]
        except IndexError:
            continue
