"""From a device's name to its link: where its certificate lies, what it says when it falls silent."""

import asyncio
import ssl
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import msgspec

from edge.limits import INFLIGHT_PUBLISHES_MAX
from edge.link import Endpoint, Link, device_tls
from edge.session import Hello
from fleet import topics
from fleet.errors import NotFound
from fleet.ids import DeviceId, SiteId
from fleet.telemetry import State

_OFFLINE = msgspec.json.encode(State(online=False))


class Certificates(msgspec.Struct, frozen=True):
    """folder/<device>/chain.pem and key.pem; ca: whom to trust as the broker."""

    folder: Path
    ca: Path

    def check(self, devices: Iterable[DeviceId]) -> None:
        """Raises NotFound (no_certificate) that names the first file that is missing."""
        wanted = [self.ca] + [self.folder / device / name for device in devices for name in ("chain.pem", "key.pem")]
        for path in wanted:
            if not path.is_file():
                raise NotFound("no_certificate", f"{path} is missing; every device needs its certificate before it starts")

    def context(self, device: DeviceId) -> ssl.SSLContext:
        return device_tls(self.ca, self.folder / device / "chain.pem", self.folder / device / "key.pem")


def make_link(
    endpoint: Endpoint,
    certificates: Certificates,
    site: SiteId,
    device: DeviceId,
    handshakes: asyncio.Semaphore,
    inflight_max: int = INFLIGHT_PUBLISHES_MAX,
) -> Link:
    hello = Hello(device, topics.up(site, device).state, _OFFLINE, topics.device_filter(site, device))
    return Link(endpoint, partial(certificates.context, device), hello, handshakes=handshakes, inflight_max=inflight_max)
