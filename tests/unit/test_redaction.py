"""What a support bundle lets through: our own words, small numbers, times; nothing that belongs to somebody."""

import re
from ipaddress import IPv4Address, IPv6Address

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from actors.keeping.redaction import Redactor

SECRETS = (
    "zoe.canari@example.net",
    "Canari",
    "Zoé",
    "kw7Qx-93Lmz_44",
    "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "AGE-SECRET-KEY-1L4R9QQQQQQQQQQQQQ",
    "12345678901234",
    "+33612345678",
    "192.0.2.77",
    "2001:db8::77",
    "44.73456",
    "AbCdEfGhIjKlMnOp",
    "210100000000000001",
    "Lilas-Blancs",
    "MC4CAQAwBQYDK2VwBCIEIKanari",
)


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "line",
    [
        "{}",
        "the upload of {} was refused: not signed in",
        '{{"event": "mail_sent", "to": "{}", "attempts": 2}}',
        '{{"event": "x", "{}": 1}}',
        "password={}",
        "https://{}/sites?token={}",
        'File "/home/{}/x.py", line 12',
        "DETAIL:  Key (email)=({}) already exists.",
        "2026-11-28 10:00:00 UTC [12] sp_web@solarperform ERROR: '{}'",
    ],
)
def test_nothing_of_anybody_passes(line: str, secret: str) -> None:
    said = Redactor().lines(line.format(secret, secret).encode()).decode()
    assert secret.lower() not in said.lower()


def test_what_helps_passes() -> None:
    redactor = Redactor()
    line = {
        "event": "commit_failed",
        "level": "warning",
        "timestamp": "2026-11-28T10:00:00.1Z",
        "attempts": 3,
        "seconds": 1.5,
    }
    assert msgspec.json.decode(redactor.lines(msgspec.json.encode(line))) == line
    text = "2026-11-28 10:00:00 UTC ERROR: the broker refused 12 messages after 3.25 s, see 0004_remote.sql"
    assert redactor.text(text) == text


def test_the_same_is_the_same_within_a_bundle_only() -> None:
    redactor, other = Redactor(), Redactor()
    first, second = redactor.text("from 192.0.2.77 to 192.0.2.78"), redactor.text("at 192.0.2.77")
    assert first.split()[1] == second.split()[1]
    assert first.split()[1] != first.split()[3]
    assert other.text("at 192.0.2.77") != second


def test_what_a_telling_key_says_never_passes() -> None:
    told = {"latitude": 44, "pdl": 1, "smtp_password": "message", "at": [{"token": "message"}], "password_file": None}
    said = Redactor().value(told)
    assert all(str(said[key]).startswith("~") for key in ("latitude", "pdl", "smtp_password"))
    assert said["at"][0]["token"].startswith("~")
    assert said["password_file"] is None


# Addresses


def mapped(address: IPv4Address) -> st.SearchStrategy[str]:
    """As a socket for both families shows an IPv4 peer, and as RFC 4291 also lets it be written."""
    v6 = IPv6Address(f"::ffff:{address}")
    return st.sampled_from([f"::ffff:{address}", f"0:0:0:0:0:ffff:{address}", f"64:ff9b::{address}", v6.exploded])


def dashed(address: IPv4Address) -> str:
    """As providers name their customers' lines."""
    return str(address).replace(".", "-")


V4 = st.ip_addresses(v=4)
# Not all are random: groups of digits only look like times, and runs of zeros are left out.
GROUP = st.one_of(st.integers(0, 0xFFFF).map("{:x}".format), st.integers(0, 9_999).map("{:04}".format), st.just("0"))
V6 = st.lists(GROUP, min_size=8, max_size=8).map(lambda groups: IPv6Address(":".join(groups)))
MAC = st.lists(st.integers(0, 255).map("{:02x}".format), min_size=6, max_size=6)
BARE = st.one_of(
    V4.map(str),
    V4.flatmap(mapped),
    V4.map(dashed),
    V6.map(str),
    V6.map(lambda address: address.exploded),
    V6.map(lambda address: str(address).upper()),
    V6.map(lambda address: "".join(group + ":" for group in address.exploded.split(":")[:4]) + ":"),  # a network
    MAC.map(":".join),
    MAC.map("-".join),
)
WRITTEN = st.sampled_from(["{}", "{}:51234", "[{}]:443", "{}/24", "{}%3", "//{}/", "http://[{}]:80/web", "({})", "host={}"])
ADDRESS = st.builds(lambda written, address: (written, address), WRITTEN, BARE)
LINES = ("{}", "the connection from {} was refused", "client: {}, server: web", '{{"event": "refused", "client": "{}"}}')


@given(st.sampled_from(LINES), st.lists(ADDRESS, min_size=1, max_size=3), st.sampled_from([" ", "/", ",", "->"]))
@example(LINES[0], [("{}:51234", "::ffff:203.0.113.9")], " ")
@example(LINES[0], [("{}", "2001:4860:4860::8888")], " ")
@example(LINES[0], [("{}:8443", "172.18.0.5"), ("{}", "10.1.2.3")], "/")
@example(LINES[0], [("{}", "203-0-113-9")], " ")
@example(LINES[0], [("{}", "00:11:22:33:44:55")], " ")
def test_nothing_of_an_address_passes(line: str, addresses: list[tuple[str, str]], between: str) -> None:
    """Not a group of it: what is left without the pseudonyms is the line without the addresses."""
    with_, without = (
        line.format(between.join(written.format(address) for written, address in chosen))
        for chosen in (addresses, [(written, "") for written, _ in addresses])
    )
    said = Redactor().lines(with_.encode()).decode()
    left, expected = (re.sub(r"~[0-9a-f]{8}", "", text) for text in (said, Redactor().lines(without.encode()).decode()))
    assert set(re.findall(r"\w+", left)) <= set(re.findall(r"\w+", expected)), said
    assert said.count("~") >= len(addresses)


@given(
    st.datetimes().map(lambda at: f"{at:%H:%M:%S}"),
    st.sampled_from(["{}", "{}.12", "{}:", "at {}: refused", "{}+02:00", "from {} to {}", "[{}]", "2026-11-28T{}Z"]),
)
def test_a_time_stays_readable(time: str, line: str) -> None:
    told = line.format(time, time)
    assert Redactor().text(told) == told


@given(st.lists(st.integers(0, 9_999).map(str), min_size=3, max_size=3).map(".".join))
def test_a_version_stays_readable(version: str) -> None:
    for told in (version, f"version {version}", f"nginx/{version}", f"mosquitto version {version}."):
        assert Redactor().text(told) == told
