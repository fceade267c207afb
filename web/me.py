"""GET and PATCH /me: the signed-in person."""

from typing import Annotated, Any, Literal

import msgspec
from litestar import Request, Router, get, patch
from litestar.di import NamedDependency
from litestar.params import JSONBody

from fleet.storage import accounts, audit
from fleet.storage.accounts import Person
from web.errors import Forbidden
from web.services import Services
from web.visits import Visit, client_address


class PersonChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is left out stays as it is. A new password needs the current one, and ends the person's other sessions."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=120)] | None = None
    locale: Literal["fr", "en"] | None = None
    current_password: Annotated[str, msgspec.Meta(max_length=256)] | None = None
    new_password: Annotated[str, msgspec.Meta(max_length=256)] | None = None


@get("/", operation_id="getMe", summary="Who is signed in")
async def get_me(visit: NamedDependency[Visit]) -> Person:
    async with visit.enter():
        return visit.person


@patch("/", operation_id="changeMe", summary="Change name, language or password")
async def change_me(
    data: JSONBody[PersonChange],
    request: Request[Any, Any, Any],
    visit: NamedDependency[Visit],
    services: NamedDependency[Services],
) -> Person:
    hash_ = await _new_hash(data, visit, services) if data.new_password is not None else None
    async with visit.enter() as connection:
        person_id = visit.person.id
        await accounts.update_person(connection, person_id, name=data.name, locale=data.locale)
        if hash_ is not None:
            await accounts.set_password_hash(connection, person_id, hash_)
            await accounts.revoke_others(connection, person_id, visit.claims.session_id)
            await audit.record(connection, "password_changed", person_id=person_id, address=client_address(request))
    async with visit.enter():
        return visit.person


async def _new_hash(data: PersonChange, visit: Visit, services: Services) -> str:
    """Raises Forbidden (wrong_password), BadInput (weak_password), Unavailable (busy)."""
    async with visit.enter() as connection:
        current = await accounts.password_hash(connection, visit.person.id)
    if not await services.passwords.verify(data.current_password or "", current):
        raise Forbidden("wrong_password", "the current password is not right")
    return await services.passwords.hash(data.new_password or "")


router = Router("/me", route_handlers=[get_me, change_me], tags=["me"])
