"""Remember the provider's condition after the latest calls and checks, for `/readyz?verbose`."""

from service.adapters.telemetry.recorder import Handlers
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
"""Conditions that a free check may end; after a failed call, only a call tells more."""
_UNCHECKED = "It lists no models for this key, so only a call shows if it accepts the key."


class ProviderHealth:
    """Remembers the provider's condition."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.condition = Condition(word="unknown", since_s=clock.wall_s())

    @property
    def needs_check(self) -> bool:
        """Tell if a free check can add information; it cannot after a refused call."""
        return self.condition.word in _UNSEEN

    @property
    def handlers(self) -> Handlers:
        """The functions that take calls and checks."""
        return {AttemptMade: self._take_attempt, ProviderChecked: self._take_check}

    def _take_attempt(self, fact: AttemptMade) -> None:
        if fact.failure is None:
            self._set("ok")
        else:
            self._take_failure(fact.failure)

    def _take_check(self, fact: ProviderChecked) -> None:
        if fact.failure is not None:
            self._take_failure(fact.failure)
        elif self.needs_check:
            self._set("ok", "" if fact.is_sure else _UNCHECKED)

    def _take_failure(self, failure: CallFailure) -> None:
        if failure.kind in _WORDS:
            self._set(_WORDS[failure.kind], failure.advice)

    def _set(self, word: str, advice: str = "") -> None:
        since_s = self.condition.since_s if word == self.condition.word else self._clock.wall_s()
        self.condition = Condition(word=word, since_s=since_s, advice=advice)
