"""The words of backup and restore on a command line, on one machine and among containers."""

import argparse
from pathlib import Path

from actors.keeping import sealing
from actors.keeping.sealing import Opener, Seal
from actors.keeping.texts import text
from fleet.errors import BadInput


def add_seal_to(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--recipient", action="append", default=[], metavar="KEY", help="seal it for this age key; may be repeated"
    )
    parser.add_argument("--passphrase-file", type=Path, metavar="FILE", help="seal it with the passphrase in this file")
    parser.add_argument("--keep", type=int, metavar="N", help="afterwards delete all but the newest N backups there")


def add_opening_to(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--key", type=Path, metavar="FILE", help="the secret key that the archive is sealed for")
    parser.add_argument("--passphrase-file", type=Path, metavar="FILE", help="or its passphrase")
    parser.add_argument("--crl", type=Path, metavar="FILE", help="the newest revocation list of the lost installation")
    parser.add_argument("--verify", action="store_true", help="read everything again, and compare it with the archive")


def seal_of(chosen: argparse.Namespace, otherwise: str | None = None) -> Seal:
    """otherwise: the recipient, where the command says nothing.

    Raises BadInput (no_seal, bad_recipient, weak_passphrase, no_passphrase_file).
    """
    if chosen.passphrase_file is not None:
        return sealing.with_passphrase(chosen.passphrase_file)
    recipients = chosen.recipient or [each for each in (otherwise or "").split(",") if each]
    if not recipients:
        raise BadInput("no_seal", text("no_seal"))
    return sealing.for_recipients(recipients)


def opener_of(chosen: argparse.Namespace) -> Opener:
    """Raises BadInput (bad_key, weak_passphrase, no_passphrase_file)."""
    keys = sealing.keys_in(chosen.key) if chosen.key is not None else []
    passphrase = sealing.passphrase_in(chosen.passphrase_file) if chosen.passphrase_file is not None else None
    return Opener(keys, passphrase)
