"""Hold one key of a backend: its bounds, what is in flight, and its standing with each model."""

import math
from dataclasses import dataclass, field

from service.domain.backends import KeyName
from service.gateway.routing.standing import Standing
from service.ports.provider import Backend, Pace

_CLOSE_IMAGES = 1e-4


@dataclass(slots=True, kw_only=True, eq=False)
class BackendKey:
    """A key with at most *most_calls* in flight, spaced by *pace*.

    Those of the lowest *priority* are used first, and share calls by *weight*.
    *pacing* is the call that has been given to it and is about to take its place in the pace. *answered_s* is the instant of its last
    answer.
    """

    name: KeyName
    backend: Backend
    most_calls: int
    weight: int = 1
    priority: int = 1
    pace: Pace | None = None
    in_flight: int = field(default=0, init=False)
    pacing: object | None = field(default=None, init=False)
    answered_s: float = field(default=-math.inf, init=False)
    standing: Standing = field(default_factory=Standing, init=False)
    standings: dict[str, Standing] = field(default_factory=dict, init=False)

    def standing_with(self, model: str) -> Standing:
        """Return the standing with *model*; that with all models is *standing*."""
        found = self.standings.get(model)
        if found is None:
            found = self.standings[model] = Standing()
        return found

    def has_room(self, images: int) -> bool:
        """Tell if a call of *images* may be sent at once."""
        return self.free > 0 and self.takes(images)

    def takes(self, images: int) -> bool:
        """Tell if the pace lets *images* pass at once."""
        # The bucket never holds more.
        return self.pace is None or self.pace.has_capacity(min(images, self.pace.max_rate))

    def end_pacing(self, call: object) -> None:
        """Let another call take a place in the pace, if *call* is the one that was about to."""
        if self.pacing is call:
            self.pacing = None

    @property
    def room_in_pace(self) -> float:
        """The images that may pass at once; infinite without a pace, which else tells only if an amount fits."""
        if self.pace is None:
            return math.inf
        room, too_much = 0.0, self.pace.max_rate
        if self.pace.has_capacity(too_much):
            return too_much
        while too_much - room > _CLOSE_IMAGES:
            middle = (room + too_much) / 2
            room, too_much = (middle, too_much) if self.pace.has_capacity(middle) else (room, middle)
        return room

    def wait_for_pace_s(self, images: int) -> float:
        """Return the time until the pace lets *images* pass."""
        if self.pace is None or self.takes(images):
            return 0.0
        missing = min(images, self.pace.max_rate) - self.room_in_pace
        return missing * self.pace.time_period / self.pace.max_rate

    @property
    def free(self) -> int:
        """The calls that it may have in flight besides those that are."""
        return 0 if self.pacing is not None else self.most_calls - self.in_flight
