"""What comes to an installation's doors from outside: files of a logger, tokens that are none, and operators' questions."""

import json
from typing import Any

import asyncssh
import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from tests.compose.stack import Stack


async def put(port: int, user: str, password: str, host_keys: list[str], content: str) -> None:
    """A file by SFTP. Whoever shows another host key than the API has told gets nothing."""

    class Logger(asyncssh.SSHClient):
        def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
            return key.get_fingerprint() in host_keys

    options = asyncssh.SSHClientConnectionOptions(
        username=user, password=password, known_hosts=b"", client_keys=None, agent_path=None
    )
    async with (
        asyncssh.connect("127.0.0.1", port, options=options, client_factory=Logger) as connection,
        connection.start_sftp_client() as sftp,
        sftp.open("day.csv", "wb") as file,
    ):
        await file.write(content.encode())


def asked(stack: Stack, token: str | None) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.get(f"{stack.url}/api/v1/me", headers=headers, verify=stack.tls(), timeout=60.0)


def signed(genuine: str, stack: Stack | None, **claims: Any) -> str:
    """A token that says what the genuine one does, but for those claims. stack: whose key signs; None: somebody's."""
    told = jwt.decode(genuine, options={"verify_signature": False}) | claims
    header = jwt.get_unverified_header(genuine)
    if stack is None:
        key: Any = ec.generate_private_key(ec.SECP256R1())
    else:
        key = stack.exec("web", "cat", "/run/secrets/jwt_key.pem")
    return jwt.encode(told, key, "ES256", headers={"typ": header["typ"], "kid": header["kid"]})


def requests_seen(stack: Stack, ids: set[str]) -> list[dict[str, Any]]:
    """Lines of the gateway's access log about these requests."""
    lines = [line for line in stack.logs("gateway").splitlines() if line.startswith('{"event":"request"')]
    return [entry for entry in map(json.loads, lines) if entry["request_id"] in ids]


def targets(port: int) -> dict[str, str]:
    """What Prometheus asks, and how it goes: job → health. Empty while it does not answer."""
    try:
        answer = httpx.get(f"http://127.0.0.1:{port}/api/v1/targets", params={"state": "active"}, timeout=10.0)
        active = answer.json()["data"]["activeTargets"]
    except (httpx.HTTPError, ValueError, KeyError):
        return {}
    return {f"{each['labels']['job']} {each['labels']['instance']}": each["health"] for each in active}


def alertmanagers(port: int) -> list[str]:
    """Whom Prometheus tells of alerts."""
    answer = httpx.get(f"http://127.0.0.1:{port}/api/v1/alertmanagers", timeout=10.0)
    return [each["url"] for each in answer.json()["data"]["activeAlertmanagers"]]
