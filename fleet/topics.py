"""The only module that knows how a topic is spelt. `parse` and the builders are inverse.

sp/v1/<slot>/<site>/<device>/<channel…>      slot: two hex digits
sp/v1/<slot>/<site>/live                     what the portal shows now
"""

from typing import NamedTuple

from fleet.errors import BadInput
from fleet.ids import DeviceId, SiteId, device_id, site_id
from fleet.placement import slot_of

ROOT = "sp/v1"


class Topic(NamedTuple):
    slot: int
    site: SiteId
    device: DeviceId
    channel: str  # "up/telemetry", "down/ack", "up/raw/status/em:0"


class UpTopics(NamedTuple):
    """What a device writes."""

    telemetry: str
    state: str
    config: str
    result: str


class DownTopics(NamedTuple):
    """What a device reads."""

    ack: str
    config: str
    command: str
    rate: str


def parse(text: str) -> Topic:
    """Raises BadInput (bad_topic, bad_id) for anything that is not a device's topic."""
    parts = text.split("/", 5)
    if len(parts) != 6 or parts[0] != "sp" or parts[1] != "v1" or len(parts[2]) != 2:
        raise BadInput("bad_topic", f"not sp/v1/<slot>/<site>/<device>/<channel>: {text[:80]!r}")
    try:
        slot = int(parts[2], 16)
    except ValueError:
        raise BadInput("bad_topic", f"slot must be two hex digits: {parts[2]!r}") from None
    return Topic(slot, site_id(parts[3]), device_id(parts[4]), parts[5])


def build(topic: Topic) -> str:
    return f"{ROOT}/{topic.slot:02x}/{topic.site}/{topic.device}/{topic.channel}"


def device_root(site: SiteId, device: DeviceId) -> str:
    return f"{site_root(site)}/{device}"


def site_root(site: SiteId) -> str:
    return f"{ROOT}/{slot_of(site):02x}/{site}"


def up(site: SiteId, device: DeviceId) -> UpTopics:
    root = device_root(site, device)
    return UpTopics(f"{root}/up/telemetry", f"{root}/up/state", f"{root}/up/config", f"{root}/up/result")


def down(site: SiteId, device: DeviceId) -> DownTopics:
    root = device_root(site, device)
    return DownTopics(f"{root}/down/ack", f"{root}/down/config", f"{root}/down/command", f"{root}/down/rate")


def live(site: SiteId) -> str:
    return f"{site_root(site)}/live"


def live_site(text: str) -> SiteId:
    """The site whose live topic this is. Raises BadInput (bad_topic)."""
    parts = text.split("/")
    if len(parts) != 5 or parts[4] != "live":
        raise BadInput("bad_topic", f"not a live topic: {text[:80]!r}")
    return site_id(parts[3])


def slot_filter(slot: int) -> str:
    """What a shard subscribes to: everything that devices of this slot send up."""
    return f"{ROOT}/{slot:02x}/+/+/up/#"


def device_filter(site: SiteId, device: DeviceId) -> str:
    """What a device subscribes to."""
    return f"{device_root(site, device)}/down/#"


# Mosquitto's ACL lines; %u is the certificate's common name, which is the device id.
ACL_DEVICE_WRITES = f"pattern write {ROOT}/+/+/%u/up/#"
ACL_DEVICE_READS = f"pattern read {ROOT}/+/+/%u/down/#"
ACL_PLATFORM = f"topic readwrite {ROOT}/#"
ACL_WEB = f"topic read {ROOT}/+/+/live"
ACL_DENIED = f"topic deny {ROOT}/#"  # below a device's name, stronger than the patterns


def guard_mark(mark: str) -> str:
    """Where the guard of the broker may write while the access list of that mark is the one in force, and nobody else."""
    return f"sp/guard/{mark}"
