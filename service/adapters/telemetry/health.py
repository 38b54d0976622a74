"""Remember the condition of each key of all backends after its latest calls and checks, for `/readyz?verbose`."""

from service.adapters.telemetry.recorder import Handlers
from service.domain.backends import KeyName
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
"""The condition of a key after a failure; other failures do not change it."""
_UNSEEN = ("unknown", "unreachable")
"""Conditions that a free check may end; after a failed call, only a call tells more."""
_UNCHECKED = "It lists no models for this key, so only a call shows if it accepts the key."


class ProviderHealth:
    """Remembers the conditions of keys; that of one without calls and checks is unknown."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._unknown = Condition(word="unknown", since_s=clock.wall_s())
        self._conditions: dict[KeyName, Condition] = {}

    def condition_of(self, key: KeyName) -> Condition:
        """Return the condition of *key*."""
        return self._conditions.get(key, self._unknown)

    def needs_check(self, key: KeyName) -> bool:
        """Tell if a free check of *key* can add information; it cannot after a refused call."""
        return self.condition_of(key).word in _UNSEEN

    @property
    def handlers(self) -> Handlers:
        """The functions that take calls and checks."""
        return {AttemptMade: self._take_attempt, ProviderChecked: self._take_check}

    def _take_attempt(self, fact: AttemptMade) -> None:
        key = KeyName(fact.backend, fact.key)
        if fact.failure is None:
            self._set(key, "ok")
        else:
            self._take_failure(key, fact.failure)

    def _take_check(self, fact: ProviderChecked) -> None:
        key = KeyName(fact.backend, fact.key)
        if fact.failure is not None:
            self._take_failure(key, fact.failure)
        elif self.needs_check(key):
            self._set(key, "ok", "" if fact.is_sure else _UNCHECKED)

    def _take_failure(self, key: KeyName, failure: CallFailure) -> None:
        if failure.kind in _WORDS:
            self._set(key, _WORDS[failure.kind], failure.advice)

    def _set(self, key: KeyName, word: str, advice: str = "") -> None:
        before = self.condition_of(key)
        since_s = before.since_s if word == before.word else self._clock.wall_s()
        self._conditions[key] = Condition(word=word, since_s=since_s, advice=advice)
