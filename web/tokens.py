"""Access tokens: short-lived JWTs (RFC 9068), signed by one key with one algorithm. Refresh tokens: plain secrets."""

import hmac
import secrets
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import jwt
import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from jwt.algorithms import ECAlgorithm, OKPAlgorithm

from fleet.errors import BadInput
from fleet.limits import ACCESS_TOKEN_S
from web.errors import Unauthorised

AUDIENCE = "solarperform-api"
TOKEN_TYPE = "at+jwt"  # noqa: S105 - RFC 9068's media type, not a secret
_TOKEN_CHARS_MAX = 2_048  # ours have about 450

Role = Literal["customer", "energy_manager", "installer", "ops", "admin"]


class Claims(msgspec.Struct, frozen=True):
    """Who an access token says is asking. The database has the last word: see web.visits."""

    person_id: str
    session_id: str
    role: Role


class Tokens:
    """Issues and verifies access tokens. The key's kind fixes the algorithm; a token's own header has no say in it."""

    def __init__(self, key: EllipticCurvePrivateKey | Ed25519PrivateKey, issuer: str) -> None:
        self._key = key
        self._public_key = key.public_key()
        self._issuer = issuer
        self._algorithm = "EdDSA" if isinstance(key, Ed25519PrivateKey) else "ES256"
        self.jwk = _public_jwk(key, self._algorithm)

    def issue(self, claims: Claims, now: int) -> str:
        """now: Unix seconds."""
        payload = {
            "iss": self._issuer,
            "aud": AUDIENCE,
            "sub": claims.person_id,
            "sid": claims.session_id,
            "role": claims.role,
            "jti": secrets.token_urlsafe(12),
            "iat": now,
            "exp": now + ACCESS_TOKEN_S,
        }
        return jwt.encode(payload, self._key, algorithm=self._algorithm, headers={"typ": TOKEN_TYPE, "kid": self.jwk["kid"]})

    def verify(self, token: str) -> Claims:
        """Raises Unauthorised (bad_token), whatever is wrong with it."""
        if len(token) > _TOKEN_CHARS_MAX:
            raise Unauthorised("bad_token", "the access token is too long")
        try:
            if jwt.get_unverified_header(token).get("typ") != TOKEN_TYPE:
                raise Unauthorised("bad_token", "this is not an access token")
            payload = jwt.decode(
                token,
                self._public_key,
                algorithms=[self._algorithm],
                audience=AUDIENCE,
                issuer=self._issuer,
                options={"require": ["iss", "aud", "sub", "exp", "iat", "jti"], "strict_aud": True},
            )
            return msgspec.convert(
                {"person_id": payload["sub"], "session_id": payload["sid"], "role": payload["role"]}, Claims
            )
        except (jwt.PyJWTError, KeyError, msgspec.ValidationError, ValueError) as error:
            raise Unauthorised("bad_token", str(error)) from None


def load_tokens(key_file: Path, issuer: str) -> Tokens:
    """Raises BadInput (bad_settings) when the file holds no EC P-256 or Ed25519 private key."""
    try:
        key = load_pem_private_key(key_file.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:  # TypeError: it is sealed by a passphrase
        raise BadInput("bad_settings", f"{key_file}: no readable private key: {error}") from None
    if isinstance(key, Ed25519PrivateKey) or (isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1)):
        return Tokens(key, issuer)
    raise BadInput("bad_settings", f"{key_file}: access tokens need an EC P-256 or Ed25519 key")


def new_refresh_token(session_id: str) -> tuple[str, bytes]:
    """The token `<session>.<secret>` for its holder, and the hash that is stored."""
    secret = secrets.token_urlsafe(32)
    return f"{session_id}.{secret}", _hash(secret)


def parse_refresh_token(token: str) -> tuple[str, bytes]:
    """Session id and hash of the secret. Raises Unauthorised (bad_refresh_token)."""
    session_id, dot, secret = token.partition(".")
    if not dot or not session_id.isalnum() or not session_id.isascii() or len(token) > 200:
        raise Unauthorised("bad_refresh_token", "not a refresh token")
    return session_id, _hash(secret)


def same(left: bytes, right: bytes | None) -> bool:
    """In a time that tells nothing."""
    return right is not None and hmac.compare_digest(left, right)


def _hash(secret: str) -> bytes:
    return sha256(secret.encode()).digest()  # 256 random bits need no slow hash


def _public_jwk(key: EllipticCurvePrivateKey | Ed25519PrivateKey, algorithm: str) -> dict[str, Any]:
    """RFC 7517, with the RFC 7638 thumbprint as its id."""
    if isinstance(key, Ed25519PrivateKey):
        jwk: Mapping[str, Any] = OKPAlgorithm.to_jwk(key.public_key(), as_dict=True)
    else:
        jwk = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    required: dict[str, Any] = {name: jwk[name] for name in ("crv", "kty", "x", "y") if name in jwk}
    thumbprint = sha256(msgspec.json.encode(required, order="sorted")).digest()
    return {**required, "kid": jwt.utils.base64url_encode(thumbprint).decode(), "alg": algorithm, "use": "sig"}
