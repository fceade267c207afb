"""Looks at everything the platform needs on this machine, and says what to do about what is not well."""

import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import psutil
from cryptography import x509

from actors.doctor import machine_checks
from actors.doctor.finding import Check, Finding, examined
from actors.local import assets, mosquitto, postgres
from actors.local.file_checks import checks as file_checks
from actors.local.layout import Layout
from actors.local.onboarding_checks import checks as onboarding_checks
from actors.local.texts import text

MEMORY_MIN_BYTES = 2_000_000_000  # PostgreSQL 0.4 GB, Ray 0.5 GB, two shards, web and simulator
_RENEW_WITHIN_S = 30 * 86_400  # a third of a certificate's life


def examine(layout: Layout) -> int:
    """Prints one line per check. 0 = all is well."""
    checks: tuple[Check, ...] = (
        Check(text("check_python"), _python),
        Check(text("step_postgres"), lambda: _postgres(layout.postgres)),
        Check(text("step_broker"), lambda: Finding(True, mosquitto.version())),
        Check(text("check_certificates"), lambda: certificates(layout.pki, datetime.now(UTC))),
        *onboarding_checks(layout),
        *file_checks(layout),
        Check(text("check_ray"), _ray),
        Check(text("check_assets"), _assets),
        Check(text("check_clock"), machine_checks.clock),
        Check(text("check_disk"), lambda: machine_checks.disk(layout.folder)),
    )
    lines = examined(checks)
    for line in lines:
        print(f"  {'✗' if line.state == 'broken' else '✓'} {line.check}: {line.what}")
    bad = sum(line.state == "broken" for line in lines)
    print(text("doctor_bad", number=bad, all=len(checks)) if bad else text("doctor_ok"))
    return 1 if bad else 0


def _postgres(data: Path) -> Finding:
    if (data / "PG_VERSION").exists():
        postgres.require_same_major(data)
    return Finding(True, postgres.version())


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
