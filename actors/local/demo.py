"""Who the demonstration's sites belong to, and who may sign in. Its passwords are known to everyone: loopback only."""

import os
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from argon2 import PasswordHasher

from fleet.fleet_plan import FleetPlan, PlannedSite
from fleet.storage import bootstrap
from fleet.storage.bootstrap import NewOrganisation, NewPerson, OwnedSite
from fleet.storage.database import Connection

FAMILY: Final = "client-famille-lefevre"
NEIGHBOURS: Final = "client-particuliers"
FARMERS: Final = "client-exploitations"
COMMUNE: Final = "client-commune-de-crest"
INSTALLERS: Final = ("installateur-helio-drome", "installateur-sud-toitures")

ORGANISATIONS: Final = (
    NewOrganisation("platform", "SolarPerform", "platform"),
    NewOrganisation(FAMILY, "Famille Lefèvre", "customer"),
    NewOrganisation(NEIGHBOURS, "Particuliers", "customer"),
    NewOrganisation(FARMERS, "Exploitations agricoles", "customer"),
    NewOrganisation(COMMUNE, "Commune de Crest", "customer"),
    NewOrganisation(INSTALLERS[0], "Hélio Drôme", "installer"),
    NewOrganisation(INSTALLERS[1], "Sud Toitures", "installer"),
)


class DemoPerson(NamedTuple):
    role: str
    organisation_id: str
    name: str
    email: str
    password: str


PEOPLE: Final = (
    DemoPerson("customer", FAMILY, "Camille Lefèvre", "client@demo.example", "demo-client-soleil"),
    DemoPerson("energy_manager", COMMUNE, "Nadia Benali", "energie@demo.example", "demo-energie-soleil"),
    DemoPerson("installer", INSTALLERS[0], "Hugo Marchand", "installateur@demo.example", "demo-installateur-soleil"),
    DemoPerson("ops", "platform", "Inès Roux", "exploitation@demo.example", "demo-exploitation-soleil"),
    DemoPerson("admin", "platform", "Alex Girard", "admin@demo.example", "demo-admin-soleil"),
)


class Login(msgspec.Struct, frozen=True):
    email: str
    password: str


def logins() -> dict[str, Login]:
    """Role → login, for ready.json and the log-in page."""
    return {person.role: Login(person.email, person.password) for person in PEOPLE}


def owned(sites: list[PlannedSite]) -> list[OwnedSite]:
    """Every site has a customer; the demo's family has two homes, its commune every school and public building."""
    homes = 0
    result = []
    for number, site in enumerate(sites):
        customer = {"farm": FARMERS, "school": COMMUNE, "public": COMMUNE}.get(site.use, NEIGHBOURS)
        if site.use == "home":
            homes += 1
            customer = FAMILY if homes <= 2 else NEIGHBOURS
        result.append(OwnedSite(site, customer, INSTALLERS[0] if number % 3 < 2 else INSTALLERS[1]))
    return result


async def register(connection: Connection, plan: FleetPlan) -> None:
    """Organisations, people, sites and devices of the plan, in one transaction."""
    hasher = PasswordHasher()
    persons = [
        NewPerson(f"demo-{each.role}", each.organisation_id, each.email, each.name, each.role, hasher.hash(each.password))  # type: ignore[arg-type]
        for each in PEOPLE
    ]
    async with connection.transaction():
        await bootstrap.store_organisations(connection, ORGANISATIONS)
        await bootstrap.store_persons(connection, persons)
        await bootstrap.store_sites(connection, owned(plan.sites))


def write_logins(file: Path) -> None:
    """Readable by us alone, as everything in its folder."""
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    fresh.touch(mode=0o600)
    fresh.write_bytes(msgspec.json.encode(logins()))
    fresh.rename(file)
