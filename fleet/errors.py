"""One error family: a stable code for machines, a sentence for people.

Every class takes (code, detail) and nothing else, so that instances survive pickling between processes.
"""


class FleetError(Exception):
    """Base. `code` is stable and documented; `detail` says what, why and, where it helps, what to do."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.detail} [{self.code}]"


class BadInput(FleetError):
    """What arrived cannot be taken in. The sender has to change it; sending it again changes nothing."""


class NotFound(FleetError):
    """No such thing, or none that the asker may see."""


class Conflict(FleetError):
    """The thing has changed since the asker looked, or is not in a state that allows this."""


class Unavailable(FleetError):
    """A part that is needed does not answer now. Trying again later may work."""


class StaleOwner(FleetError):
    """Another shard has taken these slots; whoever sees this must stop writing at once."""
