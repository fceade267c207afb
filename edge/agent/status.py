"""What `solarperform-agent status` says: who this is, until when, and how it goes."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import msgspec

from edge.agent import presence
from edge.agent.configuration import CONFIG_FILE, site_changes
from edge.agent.home import Home, Identity
from edge.agent.texts import text
from edge.spool import DiskSpool
from fleet.order_messages import ConfigValue, ReportedConfig


def lines(home: Home, now: datetime) -> Iterator[str]:
    """Raises NotFound (not_enrolled), BadInput (bad_state)."""
    identity = home.current()
    if identity is None and any(each.begun for each in home.all()):
        yield text("status_unconfirmed")
        return
    identity = home.enrolled()
    me = identity.connection()
    yield text("status_title", name=me.name, device=me.device, site=me.site, profile=me.profile)
    yield text("status_server", server=identity.intent().server)
    yield text("status_broker", host=me.mqtt.host, port=me.mqtt.port)
    yield from _certificate(home, identity, now)
    yield from _configuration(home)
    yield from _agent(home, me.device)


def _certificate(home: Home, identity: Identity, now: datetime) -> Iterator[str]:
    terms = identity.connection().certificate
    end = identity.expires_at()
    yield text("status_certificate", serial=terms.serial)
    if end <= now:
        yield text("status_expired", end=_minute(end))
        return
    yield text("status_until", end=_minute(end), days=(end - now).days)
    yield text("status_renewal", at=_minute(datetime.fromtimestamp(terms.renew_at / 1000, UTC)))
    if home.successor_of(identity).begun:
        yield text("status_pending")


def _configuration(home: Home) -> Iterator[str]:
    file = home.folder / CONFIG_FILE
    version = 0
    try:
        config = msgspec.json.decode(file.read_bytes(), type=ReportedConfig)
    except (OSError, msgspec.DecodeError):
        yield text("status_no_config")
    else:
        version = config.version
        yield text("status_config", version=version, values=_listed(config.values))
    changed = site_changes(file, version)
    if changed:
        yield text("status_changed", values=_listed(changed))


def _listed(values: Mapping[str, ConfigValue]) -> str:
    return ", ".join(f"{key} = {value}" for key, value in sorted(values.items()))


def _agent(home: Home, device: str) -> Iterator[str]:
    running = presence.read(home.folder)
    if running is None:
        yield text("status_not_running")
        spool = home.folder / "spool.sqlite"
        if spool.exists():
            held = DiskSpool(spool)
            shelf = held.shelf(device)  # type: ignore[arg-type]
            yield text("status_held", held=shelf.last - shelf.oldest + 1, kib=shelf.bytes // 1024)
            held.close()
        return
    link = text("status_link_up") if running.up else text("status_link_down", reason=running.failure)
    yield text("status_running", pid=running.pid, link=link)
    yield text("status_held", held=running.held, kib="?")


def _minute(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
