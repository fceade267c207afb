"""GET and POST /profiles, GET and PUT /profiles/{profile}: what a device is, with every version that there was."""

import asyncio
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, Router, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from fleet.codecs.registry import CODECS
from fleet.errors import BadInput
from fleet.ids import SiteId
from fleet.limits import PROFILE_SITES_AT_ONCE
from fleet.profile_changes import check_profile
from fleet.profiles import DeviceProfile
from fleet.storage import audit, profile_versions
from fleet.storage.profile_versions import ProfileRow, ProfileVersion
from web.if_match import IfMatch, etag, seen_version
from web.new_sites import LINE
from web.paging import Page
from web.services import Services
from web.visits import Visit, client_address


class ProfileForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """note: why, for those who look at the versions later."""

    definition: DeviceProfile
    note: Annotated[str, msgspec.Meta(max_length=300, pattern=LINE)] = ""


class ProfileWithVersions(msgspec.Struct, frozen=True):
    """versions: the newest first; the one in force among them."""

    profile: ProfileRow
    versions: list[ProfileVersion]


async def make_profile(services: Services, visit: Visit, definition: DeviceProfile, note: str, address: str) -> ProfileRow:
    """For ops and admins. Raises Forbidden (not_allowed), BadInput (bad_profile, ...), Conflict (profile_exists)."""
    return await _store(services, visit, definition, None, note, address)


async def change_profile(
    services: Services, visit: Visit, definition: DeviceProfile, version: int, note: str, address: str
) -> ProfileRow:
    """version: the one that was read and changed. Twins of that profile are built anew in the background.

    Raises NotFound (unknown_profile), Forbidden (not_allowed), BadInput (bad_profile, unknown_codec),
    Conflict (profile_changed, profile_channels, profile_identity).
    """
    return await _store(services, visit, definition, version, note, address)


async def _store(
    services: Services, visit: Visit, definition: DeviceProfile, version: int | None, note: str, address: str
) -> ProfileRow:
    async with visit.enter() as connection:
        visit.must_be("ops", "admin")
        check_profile(definition)
        if definition.codec is not None and definition.codec not in CODECS:
            raise BadInput("unknown_codec", f"no codec is called {definition.codec[:40]!r}: {', '.join(sorted(CODECS))}")
        person_id = visit.person.id
        if version is None:
            row = await profile_versions.add_profile(connection, definition, person_id=person_id, note=note)
        else:
            row = await profile_versions.replace_profile(
                connection, definition, version=version, person_id=person_id, note=note
            )
        await audit.record(
            connection,
            "profile.change" if version else "profile.make",
            person_id=person_id,
            subject=row.id,
            detail={"version": row.version, "note": note},
            address=address,
        )
        sites = await profile_versions.sites_with(connection, row.id)
    services.later(_forget(services, sites))
    return row


async def _forget(services: Services, sites: list[SiteId]) -> None:
    """Few at a time. Those that cannot be told have it when they are next built from the registry."""
    free = asyncio.Semaphore(PROFILE_SITES_AT_ONCE)

    async def forget(site: SiteId) -> None:
        async with free:
            await services.door.forget(site)

    await asyncio.gather(*(forget(site) for site in sites), return_exceptions=True)


@get("/", operation_id="listProfiles", summary="What devices can be")
async def list_profiles(visit: NamedDependency[Visit]) -> Page[ProfileRow]:
    async with visit.enter() as connection:
        return Page(await profile_versions.profiles(connection), None)


@get("/{profile:str}", operation_id="getProfile", summary="A device profile and its versions")
async def get_profile(profile: FromPath[str], visit: NamedDependency[Visit]) -> Response[ProfileWithVersions]:
    async with visit.enter() as connection:
        row = await profile_versions.profile(connection, _name(profile))
        found = ProfileWithVersions(row, await profile_versions.versions(connection, row.id))
    return Response(found, headers=etag(row.version))


@post("/", operation_id="makeProfile", summary="A new device profile")
async def post_profile(
    data: JSONBody[ProfileForm],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
) -> ProfileRow:
    """For operations."""
    return await make_profile(services, visit, data.definition, data.note, client_address(request))


@put("/{profile:str}", operation_id="changeProfile", summary="A new version of a device profile")
async def put_profile(
    profile: FromPath[str],
    data: JSONBody[ProfileForm],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
    if_match: IfMatch = None,
) -> Response[ProfileRow]:
    """For operations. Channels can only be added at the end, because samples are stored in their order. Devices of it go by
    the new version within seconds.
    """
    async with visit.enter():
        visit.must_be("ops", "admin")
    if data.definition.id != _name(profile):
        raise BadInput("bad_profile", f"the address names {_name(profile)!r}, the definition {data.definition.id!r}")
    row = await change_profile(services, visit, data.definition, seen_version(if_match), data.note, client_address(request))
    return Response(row, headers=etag(row.version))


def _name(text: str) -> str:
    return text[:40].replace("\0", "")


router = Router("/profiles", route_handlers=[list_profiles, get_profile, post_profile, put_profile], tags=["onboarding"])
