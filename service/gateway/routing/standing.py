"""Keep how far one key of a backend is trusted: with one model, or with all.

A key that rests gets no calls. After the rest one real call tries it, the next once that one ends or is overdue, until one
is answered; only a rest that the backend asked for ends by itself.
"""

from dataclasses import dataclass, field

from service.domain.failures import CallFailure
from service.domain.rests import LONGEST_ASKED_S, RULES, RestReason

_RANKS = {RestReason.THROTTLED: 2, RestReason.UNANSWERED: 1}
"""Reasons that outrank others: a pause that was asked for, and calls that may be paid for, of which one at a time is enough."""
_OLD_S = 60.0
"""The time after its end from which a rest of others no longer makes the next call a trial."""


@dataclass(slots=True)
class Standing:
    """The standing of a key; *reason* None is trust.

    Instants are monotonic. It rests from *since_s* to *until_s* because of *failure*, unless another process told of it; *repeats*
    counts the rests in a row. *trial* stands for the call that tries it, and *overdue_s* is the instant from which another may.
    """

    reason: RestReason | None = None
    since_s: float = 0.0
    until_s: float = 0.0
    failure: CallFailure | None = None
    repeats: int = 0
    trial: object | None = None
    overdue_s: float = 0.0
    _in_a_row: dict[RestReason, int] = field(default_factory=dict)

    def rests(self, now_s: float) -> bool:
        """Tell if no call may be sent, not even a trial."""
        return self.reason is not None and now_s < self.until_s

    def is_tried(self, now_s: float) -> bool:
        """Tell if a call tries the key that is not overdue."""
        return self.trial is not None and now_s < self.overdue_s

    def is_trusted(self, now_s: float) -> bool:
        """Tell if calls go to the key as ever; ends a rest that ends by itself."""
        if self.reason is RestReason.THROTTLED and now_s >= self.until_s:
            self.reason = None
        return self.reason is None

    def is_calm(self, now_s: float) -> bool:
        """Tell if it is trusted, and no failure is counted."""
        return self.is_trusted(now_s) and not self._in_a_row

    def begin_trial(self, trial: object, overdue_s: float) -> None:
        """Let *trial* be the one call until it ends, or until *overdue_s*."""
        self.trial, self.overdue_s = trial, overdue_s

    def end_trial(self, trial: object) -> None:
        """Let another call follow *trial*, if that is the one."""
        if self.trial is trial:
            self.trial = None

    def fail(self, reason: RestReason, failure: CallFailure, now_s: float) -> bool:
        """Count a failure; returns True if a rest begins or becomes longer."""
        rule = RULES[reason]
        count = self._in_a_row.get(reason, 0) + 1
        self._in_a_row = {reason: count}
        if count < rule.in_a_row and self.reason is not reason:
            return False
        length_s = rule.pause_s(self.repeats)
        if reason is RestReason.THROTTLED and failure.retry_after_s:
            # A time that is over when it comes would let every call meet the same answer.
            length_s = max(rule.first_s, min(failure.retry_after_s, LONGEST_ASKED_S))
        if self._outranks(reason, now_s + length_s, now_s):
            return False
        self._begin(reason, failure, length_s, now_s)
        return True

    def rest(self, reason: RestReason, failure: CallFailure, now_s: float) -> None:
        """Begin a rest without a failed call; *failure* describes it."""
        self._begin(reason, failure, RULES[reason].pause_s(self.repeats), now_s)

    def note_known(self) -> bool:
        """Count an outcome that is known, good or bad; returns True if a rest for unknown ones ends."""
        self._in_a_row.pop(RestReason.UNANSWERED, None)
        return self.reason is RestReason.UNANSWERED and self.trust()

    def note_answer(self, began_s: float, now_s: float) -> bool:
        """Count a good answer to a call that began at *began_s*; returns True if a rest ends."""
        self._in_a_row.clear()
        if self.reason is None:
            self.repeats = 0
            return False
        is_older = began_s < self.since_s and RULES[self.reason].in_a_row == 1
        # A call from before proves nothing about the account, and a pause that was asked for lasts.
        if is_older or (self.reason is RestReason.THROTTLED and self.rests(now_s)):
            return False
        return self.trust()

    def observe(self, reason: RestReason, left_s: float, now_s: float) -> None:
        """Take over a rest that another process has begun, or with *left_s* 0 has ended."""
        if left_s <= 0:
            if self.reason is not RestReason.THROTTLED:
                self.trust()
        elif not self._outranks(reason, now_s + left_s, now_s):
            if self.reason is not reason:
                self.since_s, self.failure = now_s, None
            self.reason, self.until_s = reason, now_s + left_s

    def miss(self, now_s: float) -> None:
        """End a rest that only another process has seen, and that no longer lasts for all: the news of its end was lost."""
        is_old = now_s - self.until_s > _OLD_S
        if self.reason is not None and self.failure is None and (self.rests(now_s) or is_old):
            self.trust()

    def trust(self) -> bool:
        """End the rest; returns True."""
        self.reason = self.trial = None
        self.repeats = 0
        self._in_a_row.clear()
        return True

    def _outranks(self, reason: RestReason, until_s: float, now_s: float) -> bool:
        """Tell if the rest that lasts outranks one for *reason* until *until_s*.

        Of two pauses that were asked for the longer counts; of other failures of one reason, which come together, the first.
        """
        if self.reason is None or not self.rests(now_s):
            return False
        own, other = _RANKS.get(self.reason, 0), _RANKS.get(reason, 0)
        if own != other:
            return own > other
        return reason is not RestReason.THROTTLED or until_s <= self.until_s

    def _begin(self, reason: RestReason, failure: CallFailure, length_s: float, now_s: float) -> None:
        if not self.rests(now_s):
            self.repeats += 1
            self.since_s = now_s
        self.reason, self.until_s, self.failure = reason, now_s + length_s, failure
