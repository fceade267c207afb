"""The doors of an installation, tried as those who come through them do, and what stands behind them."""

import re
import socket
import time
from collections import Counter
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

from cryptography import x509

from actors.cluster.ray_room import room
from actors.doctor import machine_checks, probes
from actors.doctor.finding import Check, Finding
from actors.doctor.settings import DoctorSettings
from actors.doctor.texts import text, told
from fleet.settings import EVERY_PROXY, WebSettings, load

_RENEWED_WITHIN_S: Final = 20 * 86_400  # ours live 90 days and are renewed at two thirds
_AUTHORITY_WITHIN_S: Final = 600 * 86_400  # as the alert: the servers' authority lives five years, renewed at two thirds
_ROOT_WITHIN_S: Final = 2_400 * 86_400  # the root lives twenty
_GUARDED: Final = "/api/v1/sites"
_MEMORY_MIN_BYTES: Final = 300_000_000
_BACKUP_DAYS: Final = 2.0
_PATIENCE_S: Final = 5.0
_NODES: Final = re.compile(
    r'^solarperform_cluster_nodes\{ours="(?P<ours>\w+)",release="(?P<release>[^"]*)"\} (?P<number>[\d.]+)$'
)


def checks(settings: DoctorSettings) -> list[Check]:
    doors = [
        Check(text("broker"), lambda: broker(settings)),
        Check(text("devices"), lambda: devices(settings)),
        Check(text("gateway"), lambda: gateway(settings, datetime.now(UTC))),
        Check(text("portal"), lambda: portal(settings, datetime.now(UTC))),
        Check(text("gateway_tokens"), lambda: tokens(settings)),
        Check(text("sftp"), lambda: sftp(settings)),
        Check(text("nodes"), lambda: nodes(settings)),
        *(Check(name, partial(service, name, url)) for name, url in settings.services.items()),
        Check(text("smtp"), lambda: smtp(settings)),
        *(Check(text("volume", name=folder.name), partial(volume, folder)) for folder in settings.volumes),
        Check(text("memory"), memory),
    ]
    if settings.web_settings is not None:
        doors.append(Check(text("proxies"), partial(proxies, settings.web_settings)))
    if settings.archives is not None:
        doors.append(Check(text("backup"), partial(backup, settings.archives, time.time())))
    return doors


def broker(settings: DoctorSettings) -> Finding:
    problem = probes.broker_problem(settings.broker)
    if problem is not None:
        return Finding(False, told(problem))
    return Finding(True, text("broker_well", host=settings.broker.host, port=settings.broker.port))


def devices(settings: DoctorSettings) -> Finding:
    host, port = settings.device_host, settings.device_port
    now = datetime.now(UTC)
    finding = _shown(host, port, host, "broker", now)
    if not finding.well:
        return finding
    try:
        probes.verified(host, port, host, settings.broker.ca_file)
    except OSError as error:
        return Finding(False, text("not_trusted", host=host, port=port, why=error))
    return finding if finding.warns else root(settings.broker.ca_file, now) or finding


def root(anchor: Path, now: datetime) -> Finding | None:
    """Of the servers' authority, which no server shows; None: nothing is to be done. Raises OSError, ValueError."""
    ends = x509.load_pem_x509_certificate(anchor.read_bytes()).not_valid_after_utc
    if (ends - now).total_seconds() >= _ROOT_WITHIN_S:
        return None
    return Finding(True, text("root_soon", ends=_utc(ends)), warns=True)


def gateway(settings: DoctorSettings, now: datetime) -> Finding:
    """As devices see it: by a name that is not the portal's."""
    return _shown(settings.gateway_host, settings.gateway_port, settings.gateway_host, "gateway", now)


def portal(settings: DoctorSettings, now: datetime) -> Finding:
    """As browsers see it: the certificate may be the owner's, whom nobody reminds."""
    return _shown(settings.gateway_host, settings.gateway_port, settings.portal_host, "gateway", now, kind="portal")


def tokens(settings: DoctorSettings) -> Finding:
    """Whether the gateway, or whoever is behind it, refuses who brings none of ours."""
    host, port = settings.gateway_host, settings.gateway_port
    for how, token in (("without_token", None), ("with_false_token", "e30.e30.e30")):
        try:
            status = probes.status(host, port, settings.portal_host, _GUARDED, token)
        except OSError as error:
            return Finding(False, text("silent", host=host, port=port, why=error, service="gateway"))
        if status != 401:
            return Finding(False, text("gateway_tokens_bad", how=text(how), status=status))
    return Finding(True, text("gateway_tokens_well"))


def sftp(settings: DoctorSettings) -> Finding:
    host, port = settings.sftp_host, settings.sftp_port
    problem = probes.ssh_problem(host, port)
    if problem is not None:
        return Finding(False, text("silent", host=host, port=port, why=problem, service="sftp"))
    return Finding(True, text("sftp_well", host=host, port=port))


def nodes(settings: DoctorSettings) -> Finding:
    """By the figures of the shards' keeper."""
    if settings.twins_metrics_url is None:
        return Finding(True, text("nodes_silent", why="-"), warns=True)
    try:
        told_of = probes.get(settings.twins_metrics_url).decode()
    except OSError as error:
        return Finding(False, text("nodes_silent", why=error))
    return judged_nodes(told_of)


def judged_nodes(figures: str) -> Finding:
    ours, foreign = 0, Counter[str]()
    for found in filter(None, map(_NODES.match, figures.splitlines())):
        number = int(float(found["number"]))
        if found["ours"].lower() in ("true", "yes", "1"):
            ours += number
        elif number:
            foreign[found["release"]] += number
    if not ours:
        return Finding(False, text("nodes_none"))
    if foreign:
        releases = ", ".join(sorted(foreign))
        return Finding(True, text("nodes_foreign", ours=ours, foreign=foreign.total(), releases=releases), warns=True)
    return Finding(True, text("nodes_well", ours=ours))


def service(name: str, url: str) -> Finding:
    try:
        probes.get(url)
    except OSError as error:
        return Finding(False, text("service_bad", name=name, why=error))
    return Finding(True, text("service_well"))


def proxies(web_settings: Path) -> Finding:
    """Raises BadInput (bad_settings)."""
    everybody = EVERY_PROXY in load(web_settings, WebSettings).trusted_proxies
    return Finding(True, text("proxies_everybody" if everybody else "proxies_well"), warns=everybody)


def smtp(settings: DoctorSettings) -> Finding:
    host, port = settings.smtp_host, settings.smtp_port
    if not host:
        return Finding(True, text("smtp_none"), warns=True)
    try:
        socket.create_connection((host, port), timeout=_PATIENCE_S).close()
    except OSError as error:
        return Finding(False, text("smtp_silent", host=host, port=port, why=error))
    return Finding(True, text("smtp_well", host=host, port=port))


def volume(folder: Path) -> Finding:
    if not folder.is_dir():
        return Finding(False, text("volume_missing", folder=folder))
    return machine_checks.disk(folder, writes=False)


def memory() -> Finding:
    left = room().memory
    low = left < _MEMORY_MIN_BYTES
    return Finding(not low, text("memory_low" if low else "memory_well", left_gb=left / 1e9))


def backup(folder: Path, now_s: float) -> Finding:
    """By the newest backup: revocation lists and heads of the journal come into the same folder more often."""
    names = [each for each in folder.iterdir() if each.match("backup-*.age")] if folder.is_dir() else []
    made = [file.stat().st_mtime for file in names]
    if not made:
        return Finding(True, text("backup_none", folder=folder), warns=True)
    made_s = max(made)
    when = _utc(datetime.fromtimestamp(made_s, UTC))
    days = (now_s - made_s) / 86_400
    if days > _BACKUP_DAYS:
        return Finding(True, text("backup_old", when=when, days=days), warns=True)
    return Finding(True, text("backup_well", when=when))


def _shown(host: str, port: int, name: str, service: str, now: datetime, *, kind: str = "shown") -> Finding:
    try:
        certificate = probes.shown(host, port, name)
    except (OSError, ValueError) as error:
        return Finding(False, text("silent", host=host, port=port, why=error, service=service))
    begins, ends = _utc(certificate.begins), _utc(certificate.ends)
    if certificate.begins > now:
        return Finding(False, text("shown_early", begins=begins))
    left_s = (certificate.ends - now).total_seconds()
    if left_s <= 0:
        return Finding(False, text(f"{kind}_over", ends=ends))
    if left_s < _RENEWED_WITHIN_S:
        return Finding(True, text(f"{kind}_soon", ends=ends), warns=True)
    above = certificate.above_ends
    # only ours are renewed years before: those above a certificate that the owner has bought are not our business
    if kind == "shown" and above is not None and (above - now).total_seconds() < _AUTHORITY_WITHIN_S:
        return Finding(True, text("authority_soon", ends=ends, authority_ends=_utc(above)), warns=True)
    return Finding(True, text("shown_well", ends=ends))


def _utc(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M} UTC"
