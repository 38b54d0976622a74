"""Stop asking a dependency that has failed, for a while."""

from typing import Protocol


class Circuit(Protocol):
    """The circuit to one dependency; open after failures in a row, with a probe now and then."""

    def allows(self) -> bool:
        """Tell if a call may be tried now."""

    def succeed(self) -> None:
        """Count a success, which closes the circuit."""

    def fail(self, since_s: float) -> None:
        """Count a failure of a call that began at *since_s*."""
