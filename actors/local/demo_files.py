"""What the demonstration's data logger has sent already: two days of two inverters, and a file that no format knows.

The second inverter is no device of the site: its rows wait to be attached, as an installer finds them.
"""

import math
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

from fleet.fleet_plan import FleetPlan
from fleet.ids import DeviceId, SiteId
from fleet.storage import bootstrap, drop_passwords
from fleet.storage.database import Connection

LOGGER: Final = DeviceId("enregistreur-demo")
PASSWORD: Final = "demo-enregistreur-soleil"  # noqa: S105 - known to everyone, as the others of the demonstration
_INVERTER: Final = DeviceId("onduleur-extension")
_SERIALS: Final = ("HV2140009901", "HV2140009902")
_PEAK_KW: Final = 17.0


def site_of(plan: FleetPlan) -> SiteId:
    """A farm that has built on, if there is one."""
    return next((site.id for site in plan.sites if site.use == "farm"), plan.sites[0].id)


async def register(connection: Connection, plan: FleetPlan) -> None:
    """The logger with its account, and the first of its inverters."""
    site = site_of(plan)
    await bootstrap.store_logger(connection, site, LOGGER, "Enregistreur du hangar", drop_passwords.hashed(PASSWORD))
    await bootstrap.store_file_device(
        connection, site, _INVERTER, LOGGER, "imported-inverter", "Onduleur du hangar", _SERIALS[0]
    )


def put(dropbox: Path, now: datetime) -> None:
    """As the drop box leaves a file that was closed."""
    box = dropbox / LOGGER / "whole"
    box.mkdir(mode=0o700, parents=True, exist_ok=True)
    today = now.astimezone(UTC).date()
    files = [(f"min{day:%y%m%d}.csv", huawei_day(day)) for day in (today - timedelta(days=2), today - timedelta(days=1))]
    files.append(("chaufferie.csv", heating_log(today)))
    for name, content in files:
        fresh = dropbox / f".{name}"
        fresh.write_text(content)
        fresh.rename(box / f"{time.time_ns():020d}-{name}")


def huawei_day(day: date) -> str:
    """A SmartLogger's file of the day: newest first, five minutes apart, local time."""
    parts = ["#SmartLogger ESN:HV0140000001\n"]
    for number, serial in enumerate(_SERIALS, 1):
        parts.append(
            f"#INV{number} ESN:{serial}\n#Time;Upv1;Ipv1;Uac1;Iac1;Status;Temp;fac;Pac;Eac;E-Day;E-Total;Cycle Time\n"
        )
        day_kwh, before_kwh, rows = 0.0, 41_000.0 * number + 70.0 * (day - date(2026, 1, 1)).days, []
        for slot in range(6 * 12, 20 * 12 + 1):
            power_kw = _PEAK_KW * max(0.0, math.sin(math.pi * (slot - 72) / 168)) ** 1.5 / number
            step_kwh = power_kw / 12
            day_kwh += step_kwh
            rows.append(
                f"{day:%Y-%m-%d} {slot // 12:02d}:{slot % 12 * 5:02d}:00;612.0;{power_kw * 1.6:.1f};231.2;"
                f"{power_kw * 1.45:.1f};512;41.0;50.01;{power_kw:.3f};"
                f"{step_kwh:.2f};{day_kwh:.2f};{before_kwh + day_kwh:.2f};5;\n"
            )
        parts.extend(reversed(rows))
    return "".join(parts)


def heating_log(day: date) -> str:
    """Of a controller that no format knows."""
    head = "Jour;Heure;Départ °C;Compteur PV (kWh)\n"
    return head + "".join(f"{day:%d.%m.%Y};{hour:02d}:00;{18 + hour % 7},5;{8200 + hour * 3},2\n" for hour in range(24))
