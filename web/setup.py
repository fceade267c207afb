"""POST /setup: the first administrator, made once with the token that the first start printed."""

import hmac
import secrets
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, Router, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from fleet.storage import accounts, audit
from web.auth import limit_rate
from web.errors import Forbidden, Gone
from web.language import language_of
from web.services import Services
from web.visits import OPEN, acting, client_address


class SetupRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    token: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=120)]
    email: Annotated[str, msgspec.Meta(min_length=3, max_length=200, pattern=r"^[^@\s]+@[^@\s]+$(?!\n)")]
    password: Annotated[str, msgspec.Meta(max_length=256)]


class SetupAnswer(msgspec.Struct, frozen=True):
    person_id: str
    email: str


async def setup_is_open(services: Services) -> bool:
    """Whether there is a token to use and no administrator yet."""
    file = services.settings.setup_token_file
    if file is None or not file.exists():
        return False
    async with acting(services.pool, None) as connection:
        return not await accounts.has_admin(connection)


@post("/setup", operation_id="setUp", summary="Make the first administrator", opt=OPEN, guards=[limit_rate], tags=["auth"])
async def set_up(
    data: JSONBody[SetupRequest], request: Request[Any, Any, Any], services: NamedDependency[Services]
) -> Response[SetupAnswer]:
    """Works once: with the token of the set-up link, while there is no administrator."""
    answer = await make_first_admin(services, data, language_of(request), client_address(request))
    return Response(answer, status_code=201)


async def make_first_admin(services: Services, data: SetupRequest, locale: str, address: str) -> SetupAnswer:
    """Raises Gone (setup_closed), Forbidden (bad_setup_token), BadInput (weak_password)."""
    file = services.settings.setup_token_file
    if file is None or not await setup_is_open(services):
        raise Gone("setup_closed", "there is an administrator already, or no set-up token")
    if not hmac.compare_digest(file.read_bytes().strip(), data.token.encode()):
        raise Forbidden("bad_setup_token", "the set-up token is not right")
    hash_ = await services.passwords.hash(data.password)
    person_id = f"person-{secrets.token_hex(8)}"
    email = data.email.strip().lower()
    async with acting(services.pool, None) as connection:
        made = await accounts.create_first_admin(
            connection, person_id, email=email, name=data.name, password_hash=hash_, locale=locale
        )
        if not made:
            raise Gone("setup_closed", "there is an administrator already")
        await audit.record(connection, "setup", person_id=person_id, subject=email, address=address)
    file.unlink(missing_ok=True)
    return SetupAnswer(person_id, email)


router = Router("/", route_handlers=[set_up])
