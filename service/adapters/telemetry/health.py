"""Remember the provider's condition after the last calls and checks: the row `provider` of `/readyz?verbose`.

Failure behaviour: none; recording never raises.
"""

from service.adapters.telemetry.recorder import Takers
from service.domain.conditions import Condition
from service.domain.failures import CallFailure, FailureKind
from service.ports.clock import Clock
from service.ports.telemetry import AttemptMade, ProviderChecked

_WORDS = {
    FailureKind.MISCONFIGURED: "refused",
    FailureKind.BLOCKED: "refused",
    FailureKind.UNREACHABLE: "unreachable",
    FailureKind.OVERLOADED: "failing",
    FailureKind.TIMED_OUT: "failing",
    FailureKind.BROKEN: "failing",
}
"""The provider's condition after a failure; other failures do not change it."""
_UNSEEN = ("unknown", "unreachable")
"""Conditions that a free check may end; after a call that failed, only a call tells more."""
_UNCHECKED = "It lists no models for this key, so only a call tells whether it takes the key."


class ProviderHealth:
    """Remembers the provider's condition."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.condition = Condition(word="unknown", since_s=clock.wall_s())

    @property
    def needs_check(self) -> bool:
        """Tell if a free check can add information: a key that a call was refused with stays refused."""
        return self.condition.word in _UNSEEN

    @property
    def takers(self) -> Takers:
        """The functions that hear of calls and checks."""
        return {AttemptMade: self._hear_of_attempt, ProviderChecked: self._hear_of_check}

    def _hear_of_attempt(self, fact: AttemptMade) -> None:
        if fact.failure is None:
            self._turn("ok")
        else:
            self._hear_of_failure(fact.failure)

    def _hear_of_check(self, fact: ProviderChecked) -> None:
        if fact.failure is not None:
            self._hear_of_failure(fact.failure)
        elif self.needs_check:
            self._turn("ok", "" if fact.is_sure else _UNCHECKED)

    def _hear_of_failure(self, failure: CallFailure) -> None:
        if failure.kind in _WORDS:
            self._turn(_WORDS[failure.kind], failure.advice)

    def _turn(self, word: str, advice: str = "") -> None:
        since_s = self.condition.since_s if word == self.condition.word else self._clock.wall_s()
        self.condition = Condition(word=word, since_s=since_s, advice=advice)
