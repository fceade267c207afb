"""Looks at everything the platform needs on this machine, and says what to do about what is not well."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import psutil
from cryptography import x509

from actors.local import assets, mosquitto, postgres
from actors.local.disk import disk_full
from actors.local.file_checks import checks as file_checks
from actors.local.layout import Layout
from actors.local.onboarding_checks import Finding
from actors.local.onboarding_checks import checks as onboarding_checks
from actors.local.texts import text
from fleet.errors import FleetError
from fleet.limits import DISK_FREE_MIN_BYTES, FUTURE_SKEW_MAX_S

MEMORY_MIN_BYTES = 2_000_000_000  # PostgreSQL 0.4 GB, Ray 0.5 GB, two shards, web and simulator
_RENEW_WITHIN_S = 30 * 86_400  # a third of a certificate's life


def examine(layout: Layout) -> int:
    """Prints one line per check. 0 = all is well."""
    checks: tuple[tuple[str, Callable[[], Finding]], ...] = (
        (text("check_python"), _python),
        (text("step_postgres"), lambda: Finding(True, postgres.version())),
        (text("step_broker"), lambda: Finding(True, mosquitto.version())),
        (text("check_certificates"), lambda: certificates(layout.pki, datetime.now(UTC))),
        *onboarding_checks(layout),
        *file_checks(layout),
        (text("check_ray"), _ray),
        (text("check_assets"), _assets),
        (text("check_clock"), _clock),
        (text("check_disk"), lambda: _disk(layout.folder)),
    )
    bad = 0
    for name, check in checks:
        finding = _safely(check)
        bad += not finding.well
        print(f"  {'✓' if finding.well else '✗'} {name}: {finding.what}")
    print(text("doctor_bad", number=bad, all=len(checks)) if bad else text("doctor_ok"))
    return 1 if bad else 0


def certificates(pki: Path, now: datetime) -> Finding:
    """Of everything that `python -m certs` has issued, what ends first."""
    chains = sorted(pki.glob("*/*/chain.pem"))
    if not chains:
        return Finding(True, text("certificates_none"))
    ends = [(x509.load_pem_x509_certificate(chain.read_bytes()).not_valid_after_utc, chain.parent.name) for chain in chains]
    end, name = min(ends)
    if end <= now:
        return Finding(False, text("certificates_over", name=name, day=f"{end:%Y-%m-%d}"))
    if (end - now).total_seconds() < _RENEW_WITHIN_S:
        return Finding(True, text("certificates_soon", name=name, day=f"{end:%Y-%m-%d}"))
    return Finding(True, text("certificates_until", number=len(ends), day=f"{end:%Y-%m-%d}"))


def _safely(check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except FleetError as error:
        return Finding(False, error.detail)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        return Finding(False, str(error))


def _python() -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    return Finding(True, found) if sys.version_info >= (3, 11) else Finding(False, text("python_old", found=found))


def _ray() -> Finding:
    try:
        version = metadata.version("ray")
    except metadata.PackageNotFoundError:
        return Finding(False, text("ray_missing"))
    free = psutil.virtual_memory().available
    key = "ray_memory" if free >= MEMORY_MIN_BYTES else "ray_memory_low"
    return Finding(
        free >= MEMORY_MIN_BYTES, text(key, version=version, free_gb=free / 1e9, needed_gb=MEMORY_MIN_BYTES / 1e9)
    )


def _assets() -> Finding:
    return Finding(True, text("assets_built" if assets.is_built() else "assets_not_built"))


def _clock() -> Finding:
    if time.time() < Path(__file__).stat().st_mtime - 86_400:  # earlier than our own installation
        return Finding(False, text("clock_absurd", now=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"))
    if shutil.which("timedatectl"):
        command = ["timedatectl", "show", "--property=NTPSynchronized", "--value"]
        said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10.0).stdout.strip()
        if said in ("yes", "no"):
            return Finding(said == "yes", text("clock_ok" if said == "yes" else "clock_bad"))
    return Finding(True, text("clock_unknown", seconds=FUTURE_SKEW_MAX_S))


def _disk(folder: Path) -> Finding:
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if not os.access(existing, os.W_OK):
        return Finding(False, text("no_permission", folder=existing, user=os.environ.get("USER", str(os.getuid()))))
    if free < DISK_FREE_MIN_BYTES:
        return Finding(False, disk_full(existing))
    return Finding(True, text("disk_free", free_gb=free / 1e9, folder=folder))
