"""Break the circuit to a provider whose calls end without a known outcome: each may have been paid for.

After five in a row one real order at a time tries the provider, until an outcome is known. The next does so, too, once the
last is overdue (`trial.py`): it may hang until its deadline, while the provider answers again.
"""

IN_A_ROW = 5
"""Unknown outcomes that open the breaker."""


class UnknownOutcomes:
    """Counts the unknown outcomes in a row of one provider, or of one of its keys.

    While *is_open* single calls try the provider.
    """

    def __init__(self) -> None:
        self.in_a_row = 0
        self.is_open = False

    def note(self, *, is_unknown: bool) -> None:
        """Count the outcome of a call; a known one closes the breaker."""
        self.in_a_row = self.in_a_row + 1 if is_unknown else 0
        self.is_open = self.in_a_row >= IN_A_ROW
