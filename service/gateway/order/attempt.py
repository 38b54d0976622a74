"""Make one call before a deadline, with retries: first at another key, else at the same one.

The only place that retries. A sent request is repeated only if the provider said that it made nothing.
"""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

from service.domain.failures import Billing, CallFailure, FailureKind
from service.domain.images import CallMade, ImageCall
from service.domain.rests import goes_elsewhere, is_of_backend
from service.domain.retrying import RetryBudget, RetryRule, delay_before_retry_s
from service.gateway.queue.queue import CallQueue
from service.gateway.queue.turn import Turn
from service.gateway.routing.keys import BackendKey
from service.gateway.routing.route import Course
from service.ports.clock import Clock
from service.ports.telemetry import AttemptMade, CallCrossed, Telemetry
from service.ports.tracing import OpenSpan

NOT_SENT = CallFailure(
    kind=FailureKind.NOT_SENT,
    billing=Billing.NOT_BILLED,
    message="The deadline of the order passed before a call could be sent; nothing was spent.",
    code="overloaded",
)
_TIMED_OUT = CallFailure(
    kind=FailureKind.TIMED_OUT,
    billing=Billing.UNKNOWN,
    message="The image provider did not answer before the deadline of the order.",
    advice="The provider did not answer before an order's deadline (GATEWAY_DEADLINE_S, or the caller's own "
    "x-request-timeout-s): is it slower than that, or down?",
)

Show = Callable[[int, bytes, Mapping[str, str]], None]
"""Takes a stage of an image: its number, its bytes, and the values the provider chose."""


@dataclass(slots=True)
class Exposure:
    """The state of a running call: *show* receives its stages, *may_be_billed* applies to cutting it off now.

    *attempts* took *upstream_s* so far, with the pauses between them; *store_s* took its images to be finished and stored.
    """

    show: Show = lambda *_: None
    may_be_billed: bool = False
    attempts: int = 0
    upstream_s: float = 0.0
    store_s: float = 0.0


@dataclass(slots=True, kw_only=True)
class Attempts:
    """Makes calls with one retry budget; *in_flight* counts calls that were sent and not answered.

    A call crosses to another key for nothing, as that key works: once, then to each further backend, and from each key that is
    at fault alone. All other attempts spend the budget, within the *rule*, and those at the same key wait first.
    """

    queue: CallQueue
    clock: Clock
    telemetry: Telemetry
    rule: RetryRule
    jitter: Callable[[], float] = random.random
    span: OpenSpan = nullcontext
    budget: RetryBudget = field(default_factory=RetryBudget, init=False)
    in_flight: int = field(default=0, init=False)

    async def make(
        self, forms: Sequence[ImageCall], turn: Turn, exposure: Exposure
    ) -> CallMade | CallFailure:
        """Make a call in that of its *forms* which the rank of its course asks for.

        Retries while nothing was billed, the budget lasts, and the time of *turn* to send it is not over.
        """
        started_s = self.clock.monotonic_s()
        try:
            return await self._make(forms, turn, exposure)
        finally:
            exposure.upstream_s = self.clock.monotonic_s() - started_s

    async def _make(
        self, forms: Sequence[ImageCall], turn: Turn, exposure: Exposure
    ) -> CallMade | CallFailure:
        self.budget.earn()
        tried: list[BackendKey] = []
        while True:
            course = turn.course
            if course is None:
                return turn.refusal or NOT_SENT
            tried.append(course.key)
            with self.span("attempt"):
                result = await self._attempt(forms[course.rank], turn, course, exposure, number=len(tried))
            if isinstance(result, CallMade):
                return result
            exposure.may_be_billed = result.billing is not Billing.NOT_BILLED
            if not (
                await self._crosses(turn, course, result, tried)
                or await self._waits(turn, course, result, tried)
            ):
                return result

    async def _crosses(
        self, turn: Turn, course: Course, failure: CallFailure, tried: Sequence[BackendKey]
    ) -> bool:
        """Let the call go on at another key, as soon as one has room; returns False if none works.

        It spends nothing if the failure was of the key alone, which rests then, the first time, and to each further backend.
        Those end with the keys, as none is tried twice.
        """
        if self.clock.monotonic_s() >= turn.send_by_s or not goes_elsewhere(failure):
            return False
        failed = {key.name.backend for key in tried}
        elsewhere = [key for key in self.queue.routing.keys if key.name.backend in failed]
        choices = [elsewhere] if is_of_backend(failure) else []
        is_free = len(tried) == 1 or not is_of_backend(failure)
        may_retry = len(tried) < self.rule.attempts and self.budget.has_one
        # Beyond that, at another key of a backend that has failed it.
        choices.append(list(tried) if is_free or may_retry else elsewhere)
        if not await self._finds_other(turn, choices):
            return False
        if turn.course is not None:
            if not is_free and turn.course.key.name.backend in failed:
                self.budget.spend()
            self.telemetry.record(CallCrossed(left=course.key.name, to=turn.course.key.name))
        return True

    async def _finds_other(self, turn: Turn, choices: Sequence[Sequence[BackendKey]]) -> bool:
        """Let the call go on at a key that is none of the first of *choices*, or of the next; at one that has room, or later."""
        if any(self.queue.cross(turn, but_not) for but_not in choices):
            return True
        for but_not in choices:
            if await self.queue.wait_for_others(turn, but_not):
                return True
        return False

    async def _waits(
        self, turn: Turn, course: Course, failure: CallFailure, tried: Sequence[BackendKey]
    ) -> bool:
        """Wait until the call may be sent again; returns False if it may not be."""
        left_s = turn.send_by_s - self.clock.monotonic_s()
        delay_s = delay_before_retry_s(
            self.rule,
            failure,
            attempt=len(tried),
            rest_s=self.queue.routing.rest_asked_s(course),
            left_s=left_s,
            jitter=self.jitter(),
        )
        if delay_s is None or not self.budget.spend():
            return False
        await asyncio.sleep(delay_s)
        return await self.queue.go_on(turn)

    async def _attempt(
        self, call: ImageCall, turn: Turn, course: Course, exposure: Exposure, *, number: int
    ) -> CallMade | CallFailure:
        progress = _AttemptProgress(exposure, self.clock, self._count)
        started_s, is_cut_off = self.clock.monotonic_s(), False
        try:
            # A time-out may strike only after the request was sent: check first.
            if turn.deadline_s <= started_s:
                return NOT_SENT
            exposure.attempts += 1
            async with self.clock.timeout_at(turn.deadline_s) as turn.timeout:
                if number > 1:
                    # The queue has waited for the pace of a first attempt.
                    await self.queue.pass_pace(turn)
                result = await course.key.backend.make(call, progress)
        except TimeoutError:
            # Timers may strike a millisecond early, so the clock cannot tell.
            is_cut_off = True
            result = NOT_SENT if progress.sent_at_s is None else _TIMED_OUT
        finally:
            turn.timeout = None
            if progress.sent_at_s is not None:
                self._count(-1)
        duration_s = self.clock.monotonic_s() - (progress.sent_at_s or started_s)
        if progress.sent_at_s is not None:
            self.queue.note(turn, result, progress.sent_at_s, is_cut_off=is_cut_off)
        self._record(call, course, result, duration_s, is_retry=number > 1)
        return result

    def _count(self, calls: int) -> None:
        self.in_flight += calls

    def _record(
        self,
        call: ImageCall,
        course: Course,
        result: CallMade | CallFailure,
        duration_s: float,
        *,
        is_retry: bool,
    ) -> None:
        failure = result if isinstance(result, CallFailure) else None
        self.telemetry.record(
            AttemptMade(
                backend=course.key.name.backend,
                key=course.key.name.key,
                model=call.model,
                outcome=failure.kind.value if failure else "made",
                billing=(failure.billing if failure else Billing.BILLED).value,
                duration_s=duration_s,
                images=0 if isinstance(result, CallFailure) else len(result.images),
                is_retry=is_retry,
                failure=failure,
            )
        )


class _AttemptProgress:
    """Implements `ports.provider.CallProgress` for one attempt."""

    def __init__(self, exposure: Exposure, clock: Clock, count: Callable[[int], None]) -> None:
        self.sent_at_s: float | None = None
        self.show = exposure.show
        self._exposure = exposure
        self._clock = clock
        self._count = count

    def sending(self) -> None:
        self.sent_at_s = self._clock.monotonic_s()
        self._exposure.may_be_billed = True
        self._count(1)
