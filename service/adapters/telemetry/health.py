"""Remember the provider's condition after the last calls and checks: the row `provider` of `/readyz?verbose`.

Failure behaviour: none; recording never raises.
"""

from service.domain.conditions import Condition
from service.domain.failures import CallFailure, FailureKind
from service.ports.clock import Clock
from service.ports.telemetry import AttemptMade, ProviderChecked, Telemetry, TelemetryFact

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
    """Implements `ports.telemetry.Telemetry`: passes facts on and remembers the provider's condition."""

    def __init__(self, inner: Telemetry, clock: Clock) -> None:
        self._inner = inner
        self._clock = clock
        self.condition = Condition(word="unknown", since_s=clock.wall_s())

    @property
    def needs_check(self) -> bool:
        """Tell if a free check can add information: a key that a call was refused with stays refused."""
        return self.condition.word in _UNSEEN

    def record(self, fact: TelemetryFact) -> None:
        """Implement `Telemetry.record`."""
        self._inner.record(fact)
        match fact:
            case (
                AttemptMade(failure=CallFailure() as failure)
                | ProviderChecked(failure=CallFailure() as failure)
            ):
                if failure.kind in _WORDS:
                    self._turn(_WORDS[failure.kind], failure.advice)
            case AttemptMade():
                self._turn("ok")
            case ProviderChecked() if self.needs_check:
                self._turn("ok", "" if fact.is_sure else _UNCHECKED)
            case _:
                pass

    def _turn(self, word: str, advice: str = "") -> None:
        since_s = self.condition.since_s if word == self.condition.word else self._clock.wall_s()
        self.condition = Condition(word=word, since_s=since_s, advice=advice)
