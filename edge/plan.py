"""Makes up a believable French fleet: the same for the same seed; a larger one begins with the sites of a smaller one."""

from random import Random
from typing import Final, NamedTuple

from edge.places import PLACES, Place
from fleet.fleet_plan import FleetPlan, PlannedDevice, PlannedSite, SiteUse
from fleet.ids import device_id, site_id
from fleet.telemetry import UnixMs

GRID_MS: Final = 300_000  # the model's step; history_from lies on it
DAY_MS: Final = 86_400_000
INVERTER_POWER_W_MAX: Final = 60_000.0  # larger roofs get several inverters
BATTERY_SHARE: Final = 1 / 3
SPREAD_DEG: Final = 0.12  # a site stands within about 10 km of its commune's centre


class Kind(NamedTuple):
    """What a use of buildings looks like: the ranges that its sites are drawn from."""

    use: SiteUse
    names: tuple[str, ...]
    peak_kw: tuple[float, float]
    tilt_deg: tuple[float, float]
    load_kwh_per_kwp: tuple[float, float]  # annual consumption for each kWp on the roof


HOME: Final = Kind(
    "home",
    ("Maison Lefèvre", "Maison Garnier", "Maison Benali", "Maison Le Goff", "Maison Rossi", "Maison Faure", "Maison Diallo",
     "Maison Weber", "Maison Moulin", "Maison Pereira", "Maison Caron", "Maison Nguyen"),
    (3.0, 9.0), (18.0, 40.0), (650.0, 1500.0),
)  # fmt: skip
FARM: Final = Kind(
    "farm",
    ("GAEC des Tilleuls", "Ferme du Moulin", "EARL de la Plaine", "Ferme des Noyers", "Bergerie du Causse"),
    (36.0, 250.0), (10.0, 25.0), (250.0, 900.0),
)  # fmt: skip
SCHOOL: Final = Kind(
    "school",
    ("École Jules-Ferry", "École Marie-Curie", "Collège Simone-Veil", "École Louise-Michel", "Lycée Jean-Moulin"),
    (36.0, 150.0), (8.0, 20.0), (500.0, 1300.0),
)  # fmt: skip
PUBLIC: Final = Kind(
    "public",
    ("Mairie", "Salle des fêtes", "Médiathèque", "Gymnase municipal", "Centre technique municipal"),
    (36.0, 100.0), (8.0, 25.0), (450.0, 1200.0),
)  # fmt: skip

# Ten sites in this order, then again: a small demo shows every kind.
CYCLE: Final = (SCHOOL, HOME, HOME, FARM, HOME, PUBLIC, HOME, HOME, HOME, FARM)


def make_fleet(sites: int, seed: int, now: UnixMs, history_days: int) -> FleetPlan:
    """A fleet in service since `history_days` before `now`, rounded down to the model's grid."""
    history_from = (now - history_days * DAY_MS) // GRID_MS * GRID_MS
    return FleetPlan(seed=seed, history_from=history_from, sites=[_site(number, seed) for number in range(sites)])


def _site(number: int, seed: int) -> PlannedSite:
    dice = Random(f"site:{seed}:{number}")  # a seed of its own: one site more changes none of the others
    kind = CYCLE[number % len(CYCLE)]
    place = _place(number, seed)
    peak_kw = round(dice.uniform(*kind.peak_kw), 2 if kind is HOME else 0)
    battery_kwh = round(peak_kw * dice.uniform(0.8, 1.6), 1) if dice.random() < BATTERY_SHARE else None
    code = f"s-{number + 1:04d}"
    return PlannedSite(
        id=site_id(code),
        name=_name(kind, place, number, dice),
        latitude=round(place.latitude + dice.uniform(-SPREAD_DEG, SPREAD_DEG), 4),
        longitude=round(place.longitude + dice.uniform(-SPREAD_DEG, SPREAD_DEG), 4),
        timezone="Europe/Paris",
        peak_power_w=peak_kw * 1000,
        tilt_deg=round(dice.uniform(*kind.tilt_deg), 0),
        azimuth_deg=round(min(max(dice.gauss(180, 30), 90), 270), 0),
        department=place.department,
        annual_load_kwh=round(peak_kw * dice.uniform(*kind.load_kwh_per_kwp), 0),
        battery_wh=battery_kwh * 1000 if battery_kwh is not None else None,
        devices=_devices(code, number, peak_kw * 1000, battery_kwh is not None),
        use=kind.use,
    )


def _place(number: int, seed: int) -> Place:
    """Every commune once per round, in an order that the seed shuffles; Crest's school opens every fleet."""
    if number == 0:
        return PLACES[0]
    order = list(PLACES[1:])
    Random(f"places:{seed}").shuffle(order)
    return order[(number - 1) % len(order)]


def _name(kind: Kind, place: Place, number: int, dice: Random) -> str:
    base = dice.choice(kind.names) if number else kind.names[0]
    round_number = number // len(PLACES)
    suffix = f" {round_number + 1}" if round_number else ""
    return f"{base}{suffix}, {place.commune}"


def _devices(site: str, number: int, peak_power_w: float, battery: bool) -> list[PlannedDevice]:
    inverters = max(1, -int(-peak_power_w // INVERTER_POWER_W_MAX))
    devices = [
        PlannedDevice(
            device_id(f"{site}-inv{position}"),
            "inverter",
            "Onduleur" if inverters == 1 else f"Onduleur {position}",
            f"ON{number + 1:06d}{position}",
        )
        for position in range(1, inverters + 1)
    ]
    devices.append(PlannedDevice(device_id(f"{site}-met"), "meter", "Compteur", f"CO{number + 1:06d}1"))
    if battery:
        devices.append(PlannedDevice(device_id(f"{site}-bat"), "battery", "Batterie", f"BA{number + 1:06d}1"))
    return devices
