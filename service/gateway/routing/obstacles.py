"""Say what keeps calls from the keys of a route."""

from dataclasses import dataclass, replace

from service.domain.failures import CallFailure
from service.domain.rests import RestReason, failure_of
from service.gateway.routing.route import Route, standings_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    """The reason why a key gets no calls for another *left_s*, or until the call ends by which it *is_tried*; *failure* began it."""

    reason: RestReason
    left_s: float
    failure: CallFailure
    is_tried: bool

    def as_failure(self) -> CallFailure:
        """Return the failure that a call would have met, with the time that is left."""
        return replace(self.failure, retry_after_s=self.left_s)


def obstacles_on(route: Route, now_s: float) -> list[Obstacle]:
    """Return an obstacle for each key that rests, or is tried by a call."""
    return [
        Obstacle(
            reason=standing.reason,
            left_s=max(standing.overdue_s if standing.is_tried(now_s) else standing.until_s, now_s) - now_s,
            failure=standing.failure or failure_of(standing.reason),
            is_tried=standing.is_tried(now_s),
        )
        for rank in route.ranks
        for course in rank
        for standing in standings_of(course)
        if standing.reason is not None
    ]
