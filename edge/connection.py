"""One TCP and TLS connection under an MQTT session: moves bytes, keeps time, pushes back when the network is slow."""

import asyncio
from typing import cast

from edge.limits import KEEP_ALIVE_S, WRITE_BUFFER_BYTES_MAX
from edge.session import Delivered, Session
from fleet.errors import FleetError, Unavailable


class Connection(asyncio.Protocol):
    """Lives from the TLS handshake to the loss of the connection. All packets of one turn of the loop leave in one write."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._ready: asyncio.Future[bool] = self._loop.create_future()
        self._lost: asyncio.Future[None] = self._loop.create_future()
        self._reason = ""
        self._paused = False
        self._flush_due = False
        self._heard = self._spoke = True
        self._pinged = False
        self._beat_timer: asyncio.TimerHandle | None = None

    @property
    def room(self) -> int:
        return 0 if self._paused else self.session.room

    def publish(self, topic: str, payload: bytes, delivered: Delivered | None = None) -> None:
        self.session.publish(topic, payload, delivered)
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    async def until_ready(self) -> None:
        """Raises Unavailable (link_down) when it is lost before."""
        if not await self._ready:
            raise Unavailable("link_down", self._reason)

    async def until_lost(self) -> str:
        await self._lost
        return self._reason

    def say_goodbye(self, *, for_good: bool = True) -> None:
        self.session.close(for_good=for_good)
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def abort(self, reason: str) -> None:
        """Cut without a goodbye; the broker publishes the last will."""
        self._reason = self._reason or reason
        if self._transport is not None:
            self._transport.abort()

    # Called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES_MAX)
        self._beat_timer = self._loop.call_later(KEEP_ALIVE_S / 2, self._beat)
        self.session.open()
        self._flush()

    def data_received(self, data: bytes) -> None:
        self._heard = True
        try:
            self.session.receive(data)
        except FleetError as error:
            self.abort(error.detail)
            return
        if not self._ready.done() and self.session.state == "ready":
            self._ready.set_result(True)
        self._flush()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self.session.listener.room_again()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.session.state = "closed"
        self._reason = self._reason or (str(exc) if exc else "closed by the broker")
        if self._beat_timer is not None:
            self._beat_timer.cancel()
        for future, result in ((self._ready, False), (self._lost, None)):
            if not future.done():
                future.set_result(result)  # type: ignore[arg-type] # each future gets the result of its own type

    def _flush(self) -> None:
        self._flush_due = False
        packets = self.session.take()
        if packets and self._transport is not None:
            self._spoke = True
            self._transport.write(packets)

    def _beat(self) -> None:
        """Twice per keep-alive: ping when one direction was silent, give up when even the last ping found no answer."""
        if not self._heard and self._pinged:
            self.abort("the broker fell silent")
            return
        self._pinged = not (self._heard and self._spoke)
        if self._pinged:
            self.session.ping()
            self._flush()
        self._heard = self._spoke = False
        self._beat_timer = self._loop.call_later(KEEP_ALIVE_S / 2, self._beat)
