"""POST /sites: a site is made by who builds it, and belongs to its owner from the first moment."""

import re
import secrets
import unicodedata
from typing import Annotated, Literal

import msgspec

from fleet.commissioning import PvArray
from fleet.errors import BadInput, Conflict
from fleet.ids import site_id
from fleet.limits import ARRAYS_PER_SITE_MAX
from fleet.places import checked_zone, department_of
from fleet.storage import audit, onboarding, registry
from fleet.storage.mail import address_of
from fleet.storage.onboarding import SiteForm
from fleet.storage.registry import SiteRow
from web.services import Services
from web.visits import MAKERS, Visit

LINE = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$(?!\n)"  # no control characters; "$" alone lets a last line end pass
SiteName = Annotated[str, msgspec.Meta(min_length=1, max_length=120, pattern=LINE, examples=["Mairie, toit sud"])]
PersonName = Annotated[str, msgspec.Meta(min_length=1, max_length=120, pattern=LINE, examples=["Claire Martin"])]
Email = Annotated[str, msgspec.Meta(min_length=3, max_length=200, examples=["claire@example.org"])]
Address = Annotated[str, msgspec.Meta(max_length=300, pattern=LINE, examples=["1 rue Haute, 26400 Crest"])]
Latitude = Annotated[float, msgspec.Meta(ge=-90, le=90, examples=[44.73])]
Longitude = Annotated[float, msgspec.Meta(ge=-180, le=180, examples=[5.02])]
Pdl = Annotated[
    str, msgspec.Meta(pattern=r"^[0-9]{14}$(?!\n)", examples=["12345678901234"], description="Grid connection (Enedis)")
]
Department = Annotated[str, msgspec.Meta(pattern=r"^(?:[0-9]{2}|2[AB]|9[78][0-9])$(?!\n)", examples=["26"])]
Arrays = Annotated[list[PvArray], msgspec.Meta(max_length=ARRAYS_PER_SITE_MAX)]
RequestId = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[A-Za-z0-9_-]{8,64}$(?!\n)",
        description="Your own random name for this form: sent twice, it makes one thing",
    ),
]
_TRIES = 5  # ids at random: the second one is free, or something else is wrong
_ID_SYMBOLS = "0123456789abcdefghjkmnpqrstvwxyz"
_SLUG_CHARS = 24


class NewSite(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """owner_email: an owner who is known gets the site into his account, a new one gets an account and, once the
    commissioning report is signed, an invitation. arrays: azimuth_deg 180 is south, tilt_deg 0 flat. department: taken from
    the address's postcode when left out.
    """

    name: SiteName
    owner_email: Email
    owner_name: PersonName
    latitude: Latitude
    longitude: Longitude
    address: Address = ""
    arrays: Arrays = []
    owner_locale: Literal["fr", "en"] = "fr"
    timezone: Annotated[str, msgspec.Meta(max_length=40)] = "Europe/Paris"
    pdl: Pdl | None = None
    department: Department | None = None
    request_id: RequestId | None = None


async def make_site(_services: Services, visit: Visit, new: NewSite, address: str) -> SiteRow:
    """For installers, ops and admins. An installer's organisation becomes the site's installer.

    Raises Forbidden (not_allowed), BadInput (bad_recipient, unknown_timezone, bad_array), Conflict (owner_email_unusable).
    """
    email = new.owner_email.strip().lower()
    address_of(email)
    checked_zone(new.timezone)
    check_arrays(new.arrays)
    async with visit.enter() as connection:
        visit.must_be(*MAKERS)
        for _ in range(_TRIES):
            outcome, made = await onboarding.create_site(connection, _form(new, email, visit.person.id))
            if outcome != "id_taken":
                break
        if outcome == "owner_email_unusable":
            raise Conflict("owner_email_unusable", "this e-mail address cannot own a site; take another one of the owner's")
        if made is None:
            raise Conflict("refused", "no free name was found for the site; try again")
        if outcome == "made":
            await audit.record(
                connection,
                "site.make",
                person_id=visit.person.id,
                subject=made,
                detail={"name": new.name, "owner": email},
                address=address,
            )
        return await registry.site(connection, made)


def check_arrays(arrays: list[PvArray]) -> None:
    """Raises BadInput (bad_array)."""
    for number, array in enumerate(arrays, 1):
        if not (0 < array.peak_power_w <= 1e8 and 0 <= array.azimuth_deg <= 360 and 0 <= array.tilt_deg <= 90):
            raise BadInput("bad_array", f"array {number}: power above 0 W, azimuth 0 to 360°, tilt 0 to 90°")


def readable_id(name: str) -> str:
    """'mairie-toit-sud-7k3m': what the name leaves of itself in a-z, 0-9 and -, and four symbols against twins."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain)[:_SLUG_CHARS].strip("-")
    ending = "".join(secrets.choice(_ID_SYMBOLS) for _ in range(4))
    return f"{slug or 'site'}-{ending}"


def own_request(person_id: str, request_id: str | None) -> str | None:
    """As it is stored: nobody's request meets another person's."""
    return None if request_id is None else f"{person_id}:{request_id}"


def _form(new: NewSite, email: str, maker_id: str) -> SiteForm:
    return SiteForm(
        id=site_id(readable_id(new.name)),
        name=new.name.strip() or new.name,
        timezone=new.timezone,
        latitude=new.latitude,
        longitude=new.longitude,
        department=new.department or department_of(new.address),
        address=new.address.strip(),
        pdl=new.pdl,
        arrays=new.arrays,
        request_id=own_request(maker_id, new.request_id),
        person_id=f"person-{secrets.token_hex(8)}",
        organisation_id=f"customer-{secrets.token_hex(8)}",
        owner_email=email,
        owner_name=new.owner_name.strip() or new.owner_name,
        owner_locale=new.owner_locale,
    )
