"""Decide which waiting calls may go now, in one look at the line from its front."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from service.gateway.queue.turn import Turn
from service.gateway.routing.keys import BackendKey
from service.gateway.routing.route import Route
from service.gateway.routing.routing import Routing

Kind = tuple[Route, int]
"""Calls for which the same keys have room: their route, and their images."""


@dataclass(slots=True)
class Passing:
    """One look at the line, in which calls of the *open* kinds have room.

    A call that lacks nothing but pace has its keys *saved* for it: small calls behind it would else always take the pace before
    there is enough for a large one.
    """

    routing: Routing
    open: AbstractSet[Kind]
    saved: set[BackendKey] = field(default_factory=set)
    _closed: set[Kind] = field(default_factory=set)

    def may_go(self, turn: Turn) -> bool:
        """Tell if the call of *turn* may be sent, or refused, before those behind it."""
        kind = turn.route, turn.images
        if kind in self._closed:
            return False
        if kind in self.open and (not self.saved or self._has_room(turn)):
            return True
        self._closed.add(kind)
        self.saved.update(self.routing.find_out_of_pace(turn.route, turn.images))
        return False

    def _has_room(self, turn: Turn) -> bool:
        if self.routing.is_shut(turn.route):
            return True
        return self.routing.find(turn.route, turn.images, saved=self.saved) is not None
