"""Describe the ways of a call: the keys that may make it, and the one that does."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace

from service.domain.rests import RULES
from service.gateway.routing.keys import BackendKey
from service.gateway.routing.standing import Standing


@dataclass(slots=True, eq=False)
class Share:
    """The part of a key in the calls of its rank: *credit* is what it lags behind those of its priority, *peers* with itself."""

    weight: int
    credit: float = 0.0
    peers: "Sequence[Share]" = ()

    @property
    def claim(self) -> float:
        """The lag that it would have at the next call."""
        return self.credit + self.weight

    def take(self) -> None:
        """Count a call, in a smooth weighted round robin.

        Credit is bounded, or a key that rested for long would then get all calls.
        """
        total = sum(each.weight for each in self.peers)
        for each in self.peers:
            each.credit = min(each.claim, total)
        self.credit = max(self.credit - total, -total)


@dataclass(frozen=True, slots=True)
class Course:
    """The way of one call: its *key*, and the *rank* of it. *is_trial*: the key is not trusted, and this call tries it."""

    key: BackendKey
    rank: int
    model: str
    is_trial: bool = False
    share: Share = field(default_factory=lambda: Share(1), compare=False)


Rank = tuple[Course, ...]
"""The courses by which an order is made in one form; its model is the same for all."""


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """The courses of an order while all keys are trusted, in ranks: those of a later one serve while all of an earlier one rest."""

    ranks: tuple[Rank, ...]
    _parts: "dict[frozenset[BackendKey], Route]" = field(default_factory=dict, init=False, repr=False)

    def without(self, keys: Collection[BackendKey]) -> "Route":
        """Return the route of calls that none of *keys* makes, always the same; it may have no ranks."""
        left_out = frozenset(keys)
        found = self._parts.get(left_out)
        if found is None:
            ranks = [tuple([course for course in rank if course.key not in left_out]) for rank in self.ranks]
            found = self._parts[left_out] = Route(tuple([rank for rank in ranks if rank]))
        return found


def standings_of(course: Course) -> tuple[Standing, Standing]:
    """Return the standing of a key with the model, and that with all."""
    return course.key.standing_with(course.model), course.key.standing


def is_trusted(course: Course, now_s: float) -> bool:
    """Tell if calls go by *course* as ever."""
    return all(each.is_trusted(now_s) for each in standings_of(course))


def has_trusted(route: Route, now_s: float) -> bool:
    """Tell if one of the keys of *route* gets calls as ever."""
    return any(is_trusted(course, now_s) for rank in route.ranks for course in rank)


def tried_s(course: Course) -> float:
    """Return until when the last trial of the key was waited for: 0 if there was none."""
    return max(each.overdue_s for each in standings_of(course))


def as_open(course: Course, now_s: float) -> Course | None:
    """Return *course*, maybe as a trial; None while its key rests, or is being tried."""
    doubts = [each for each in standings_of(course) if not each.is_trusted(now_s)]
    if any(each.rests(now_s) or each.is_tried(now_s) for each in doubts):
        return None
    return replace(course, is_trial=True) if doubts else course


def as_last_resort(course: Course, now_s: float) -> Course | None:
    """Return *course* although its key rests; None if it gets no calls at all, or is being tried."""
    doubts = [each for each in standings_of(course) if each.reason is not None]
    rules = [(each, RULES[each.reason].is_tried) for each in doubts if each.reason is not None]
    if any(is_tried is None or (is_tried and each.is_tried(now_s)) for each, is_tried in rules):
        return None
    return replace(course, is_trial=any(is_tried for _, is_tried in rules))


def make_rank(keys: Iterable[BackendKey], rank: int, model: str) -> Rank:
    """Return the courses by *keys*, which share calls by weight among those of their priority."""
    courses = tuple([Course(key, rank, model, share=Share(key.weight)) for key in keys])
    for course in courses:
        course.share.peers = [each.share for each in courses if each.key.priority == course.key.priority]
    return courses
