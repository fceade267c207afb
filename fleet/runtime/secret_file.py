"""A secret in a file of its own, as the engine or init-pki lays it down: one line, without the white space around it."""

from pathlib import Path
from typing import Final

from fleet.errors import BadInput

_BYTES_MAX: Final = 65_536  # far more than any key; a mistaken path may lead to a log or a disk


def read_secret(file: Path) -> str:
    """Raises BadInput (bad_secret_file): missing, not ours to read, empty, no text, or more than one line."""
    try:
        with file.open("rb") as open_file:
            content = open_file.read(_BYTES_MAX)
    except FileNotFoundError:
        raise _bad(
            file, "is missing", "run the job that makes the keys (`init-pki`), or mount the volume that holds it"
        ) from None
    except PermissionError:
        raise _bad(file, "may not be read by this user", "its owner must be the user that this process runs as") from None
    except OSError as error:
        raise _bad(file, f"cannot be read: {error.strerror}", "name the file that holds the secret, not a folder") from None
    try:
        secret = content.decode().strip()
    except UnicodeDecodeError:
        raise _bad(file, "holds something else than text", "give it the secret alone, in one line") from None
    if not secret:
        raise _bad(file, "is empty", "a write was cut short: delete it and run the job that makes the keys (`init-pki`)")
    if "\n" in secret or "\0" in secret:
        raise _bad(file, "holds more than one line", "give it the secret alone, in one line")
    return secret


def _bad(file: Path, what: str, hint: str) -> BadInput:
    return BadInput("bad_secret_file", f"the secret {file} {what}; {hint}")
