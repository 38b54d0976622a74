"""Hold one call's place in the queue."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from service.domain.failures import CallFailure
from service.gateway.queue.durations import Kind
from service.gateway.queue.turns import Person
from service.gateway.routing.route import Course, Route
from service.ports.clock import Clock, Timeout

PoolIndex = tuple[str, int]
"""An image that a call makes for a pool, by the pool's name and its index."""


@dataclass(slots=True, kw_only=True, eq=False)
class Turn:
    """The turn of a call for *images* on a *route*: its owners (the order's own first), and when an answer is too late for all.

    *deadline_s* moves when an order with more time waits for the call, too, and with it the running *timeout* of the
    wait or the call. *is_hurried*: its own order has less time than the gateway aims at. *is_wanted* tells if an order
    still waits for it. The fields below are the queue's: *course* is the way of a call that has its turn, *send_by_s* is the last instant at which the call may be sent,
    *is_probe* means that it is sent against the odds, *needed_s* is the time that it needs as far as known, *waited_s* the
    time that it waited.
    """

    kind: Kind
    route: Route
    owners: list[Person]
    images: int
    deadline_s: float
    is_hurried: bool = False
    held_bytes: int = 0
    pool_indices: tuple[PoolIndex, ...] = ()
    is_wanted: Callable[[], bool] = lambda: True
    course: Course | None = field(default=None, init=False)
    timeout: Timeout | None = field(default=None, init=False)
    needed_s: float | None = field(default=None, init=False)
    is_waiting: bool = field(default=False, init=False)
    is_probe: bool = field(default=False, init=False)
    joined_s: float = field(default=0.0, init=False)
    waited_s: float = field(default=0.0, init=False)
    send_by_s: float = field(default=0.0, init=False)
    refusal: CallFailure | None = field(default=None, init=False)
    news: asyncio.Future[None] | None = field(default=None, init=False)

    @property
    def ends_s(self) -> float:
        """The instant at which the time-out strikes: that of the wait, or of the call."""
        return self.send_by_s if self.is_waiting else self.deadline_s

    def judge(self) -> None:
        """Tell until when the call may be sent, and if only against the odds."""
        needed_s = self.needed_s
        self.is_probe = needed_s is not None and self.deadline_s - self.joined_s < needed_s
        self.send_by_s = self.deadline_s - (0.0 if needed_s is None or self.is_probe else needed_s)

    def extend(self, deadline_s: float) -> None:
        """Let it last until *deadline_s*, if that is later and it is not over."""
        timeout = self.timeout
        if deadline_s <= self.deadline_s or (timeout is not None and timeout.expired()):
            return
        ended_s = self.ends_s
        self.deadline_s = deadline_s
        self.judge()
        if timeout is not None:
            timeout.reschedule((timeout.when() or 0.0) + self.ends_s - ended_s)

    async def until_settled(self, clock: Clock) -> bool:
        """Wait for the end of the wait; returns False if it is too late for an answer before."""
        try:
            async with clock.timeout_at(self.send_by_s) as self.timeout:
                self.news = asyncio.get_running_loop().create_future()
                await self.news
        except TimeoutError:
            return False
        finally:
            self.timeout = None
        return True

    def settle(self, refusal: CallFailure | None) -> None:
        """End the wait: with None the call is to be sent."""
        self.refusal = refusal
        if self.news is not None and not self.news.done():
            self.news.set_result(None)
