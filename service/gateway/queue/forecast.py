"""Forecast how long calls wait, by what is in flight and what waits before them."""

from collections.abc import Sequence
from dataclasses import dataclass

from service.gateway.queue.durations import Durations
from service.gateway.queue.estimate import wait_for_paces_s, wait_for_slot_s
from service.gateway.queue.in_flight import CallsInFlight
from service.gateway.queue.line import Line
from service.gateway.queue.turn import Turn
from service.gateway.routing.routing import Routing

_SHORTEST_S = 0.001


@dataclass(frozen=True, slots=True)
class Forecast:
    """Forecasts for a queue, by its parts."""

    routing: Routing
    line: Line
    in_flight: CallsInFlight
    durations: Durations

    def wait_s(self, turns: Sequence[Turn]) -> float:
        """Estimate the wait of the last of *turns*, which have not joined; 0 if nothing is known."""
        route = turns[0].route
        keys = self.routing.keys_in(route)
        calls, images = self.line.count_ahead(turns)
        call_s = self.durations.mean_s(route)
        wait_s = wait_for_paces_s(keys, images + 1)
        if call_s is None:
            return wait_s
        free = sum(key.most_calls - key.in_flight for key in keys)
        ages_s = self.in_flight.ages_at(keys)
        return max(wait_s, wait_for_slot_s(ages_s, free=free, ahead=calls, call_s=call_s))

    def wait_for_keys_s(self) -> float:
        """Return the time until a pace, or the end of a rest, may let a call that waits pass; 0 if neither will."""
        waits_s = [self.routing.wait_s(route, images) for route, images in self.line.kinds]
        known_s = [max(wait_s, _SHORTEST_S) for wait_s in waits_s if wait_s > 0]
        return min(known_s, default=0.0)
