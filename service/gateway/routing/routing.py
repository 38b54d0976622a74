"""Choose the key for each call among those that have room, and learn from how calls end.

Keys that rest are passed over. If all of a route do, calls go on at keys that only fail (a try costs nothing), one at a time at
those whose calls may be paid for or whose account is shut, and not at all at those whose backend asked for a pause.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace

from service.domain.failures import CallFailure, FailureKind
from service.domain.images import CallMade
from service.domain.rests import LONGEST_WAITED_S, RULES, Rest, RestName, RestReason, failure_of, reason_of
from service.gateway.routing.keys import BackendKey
from service.gateway.routing.obstacles import Obstacle, obstacles_on
from service.gateway.routing.route import (
    Course,
    Rank,
    Route,
    as_last_resort,
    as_open,
    is_trusted,
    make_rank,
    standings_of,
    tried_s,
)
from service.gateway.routing.standing import Standing
from service.ports.clock import Clock
from service.ports.telemetry import KeyBack, KeyRested, Telemetry

Names = tuple[str, ...]
_TRIAL_LOOK_S = 1.0
_SILENT = "calls take twice as long as others did, and none is answered"


@dataclass(slots=True, kw_only=True)
class Routing:
    """All keys of all backends, the preferred first; *share* tells other processes of a rest. *changes* counts what was learned of rests."""

    keys: Sequence[BackendKey]
    clock: Clock
    telemetry: Telemetry
    share: Callable[[Rest], None] = lambda _: None
    _routes: dict[tuple[tuple[Names, str], ...], Route] = field(default_factory=dict, init=False)
    _is_troubled: bool = field(default=False, init=False)
    changes: int = field(default=0, init=False)

    def route(self, *forms: tuple[Names, str]) -> Route:
        """Return the route of an order in *forms*: each the names of backends, none for all, and the model they make it with."""
        found = self._routes.get(forms)
        if found is None:
            ranks = [
                make_rank(self._keys_of(backends), number, model)
                for number, (backends, model) in enumerate(forms)
            ]
            found = self._routes[forms] = Route(tuple(ranks))
        return found

    def courses(self, route: Route) -> Rank:
        """Return the courses for calls now, whatever room they have: of the first rank with keys that do not rest.

        If all rest, those of keys that are tried all the same.
        """
        if not self._is_troubled:
            return route.ranks[0]
        now_s = self.clock.monotonic_s()
        for is_open in (as_open, as_last_resort):
            for rank in route.ranks:
                if found := tuple([each for course in rank if (each := is_open(course, now_s)) is not None]):
                    return found
        return ()

    def find(
        self,
        route: Route,
        images: int,
        *,
        held: BackendKey | None = None,
        saved: Collection[BackendKey] = (),
    ) -> Course | None:
        """Return the course for a call of *images* now, or None if no key has room.

        The call has a place at *held* already; the keys in *saved* are for another.
        """
        return _choose(
            [
                course
                for course in self.courses(route)
                if (course.key.has_room(images) or (course.key is held and held.takes(images)))
                and course.key not in saved
            ]
        )

    def find_out_of_pace(self, route: Route, images: int) -> list[BackendKey]:
        """Return the keys that only the pace keeps from a call of *images*."""
        keys = (course.key for course in self.courses(route))
        return [key for key in keys if key.free > 0 and not key.takes(images)]

    def find_other(self, route: Route, images: int, but_not: Collection[BackendKey]) -> Course | None:
        """Return a course by a trusted key with room for a call that failed at *but_not*; None if there is none.

        The next form is made only if no key of the one before is trusted: a busy one is worth the wait.
        """
        now_s = self.clock.monotonic_s()
        for rank in route.without(but_not).ranks:
            if trusted := [course for course in rank if is_trusted(course, now_s)]:
                return _choose([course for course in trusted if course.key.has_room(images)])
        return None

    def begin(self, course: Course, call: object, *, patience_s: float) -> None:
        """Give *call* a place; if it tries the key, another may after *patience_s*."""
        key = course.key
        key.in_flight += 1
        key.pacing = call if key.pace is not None else None
        if len(course.share.peers) > 1:
            course.share.take()
        if course.is_trial:
            self._bound_trial(course, call, patience_s)

    async def pass_pace(self, course: Course, call: object, images: int) -> None:
        """Take the place in the pace that `find` saw free."""
        key = course.key
        if key.pace is not None:
            try:
                await key.pace.acquire(min(images, key.pace.max_rate))
            finally:
                key.end_pacing(call)

    def end(self, course: Course, call: object) -> None:
        """Take the place back from *call*."""
        course.key.in_flight -= 1
        course.key.end_pacing(call)
        if course.is_trial:
            self.end_trial(course, call)

    def end_trial(self, course: Course, call: object) -> None:
        """Let another call try the key: *call* has its answer, even if it is sent again."""
        for standing in standings_of(course):
            standing.end_trial(call)

    def note(self, course: Course, result: CallMade | CallFailure, began_s: float) -> None:
        """Learn from the *result* of an attempt that began at *began_s*."""
        now_s = self.clock.monotonic_s()
        if isinstance(result, CallFailure):
            if result.kind is FailureKind.NOT_SENT:
                return
            if (reason := reason_of(result)) is not None:
                self._note_failure(course, reason, result, now_s)
                return
        for model, standing in _named_standings(course) if self._is_troubled else ():
            before = standing.reason
            if standing.note_answer(began_s, now_s) and before is not None:
                self._tell_end(RestName(course.key.name, model), before)

    def observe(self, rest: Rest) -> None:
        """Take over a rest that another process told."""
        standing = self._standing_named(rest.name)
        if standing is not None:
            self._is_troubled = True
            self.changes += 1
            standing.observe(rest.reason, rest.left_s, self.clock.monotonic_s())

    def observe_all(self, names: Collection[RestName], lasting: Sequence[Rest]) -> None:
        """Take over the rests that last for all processes, of those with *names*."""
        for rest in lasting:
            self.observe(rest)
        for name in set(names) - {rest.name for rest in lasting} if self._is_troubled else ():
            standing = self._standing_named(name)
            if standing is not None:
                standing.miss(self.clock.monotonic_s())

    def _standing_named(self, name: RestName) -> Standing | None:
        key = next((each for each in self.keys if each.name == name.key), None)
        if key is None:
            return None
        return key.standing_with(name.model) if name.model else key.standing

    @property
    def rest_names(self) -> list[RestName]:
        """The names under which keys may rest, for the models that were ordered so far."""
        return [RestName(key.name, model) for key in self.keys for model in ("", *key.standings)]

    def rest_asked_s(self, course: Course) -> float:
        """Return how long the backend asked the key of *course* to pause still."""
        now_s = self.clock.monotonic_s()
        standing = course.key.standing_with(course.model)
        is_asked = standing.reason is RestReason.THROTTLED and standing.rests(now_s)
        return standing.until_s - now_s if is_asked else 0.0

    @property
    def is_untrusted(self) -> bool:
        """Tell if there are orders for which no key is trusted to answer: one call at a time tries."""
        return self._is_troubled and any(
            all(
                course.key.standing_with(course.model).reason is RestReason.UNANSWERED
                for rank in route.ranks
                for course in rank
            )
            for route in self._routes.values()
        )

    def calm_down(self) -> None:
        """Look at standings no more at each call, once no failure counts: called now and then."""
        now_s = self.clock.monotonic_s()
        self._is_troubled = any(
            not standing.is_calm(now_s)
            for key in self.keys
            for standing in (key.standing, *key.standings.values())
        )

    def resting(self) -> Iterator[Rest]:
        """Yield the rests that last, and those whose keys are tried."""
        now_s = self.clock.monotonic_s()
        for key in self.keys if self._is_troubled else ():
            for model, standing in [("", key.standing), *key.standings.items()]:
                if not standing.is_trusted(now_s) and standing.reason is not None:
                    left_s = max(0.0, standing.until_s - now_s)
                    yield Rest(name=RestName(key.name, model), reason=standing.reason, left_s=left_s)

    def find_obstacle(self, route: Route) -> Obstacle | None:
        """Return the reason why no key of *route* gets a call now, while `courses` has none."""
        obstacles = obstacles_on(route, self.clock.monotonic_s())
        return min(obstacles, key=lambda each: each.left_s, default=None)

    def is_shut(self, route: Route) -> bool:
        """Tell if all keys of *route* were asked to pause for longer than orders wait."""
        if self.courses(route):
            return False
        obstacle = self.find_obstacle(route)
        if obstacle is None or obstacle.reason is not RestReason.THROTTLED:
            return False
        return obstacle.left_s >= LONGEST_WAITED_S

    def wait_s(self, route: Route, images: int, *, held: BackendKey | None = None) -> float:
        """Return the time until a pace, or the end of a rest, may let a call pass that has no course now; 0 if only others' ends do.

        A trial may end at any time.
        """
        now_s = self.clock.monotonic_s()
        obstacles = obstacles_on(route, now_s) if self._is_troubled else []
        waits_s = [min(each.left_s, _TRIAL_LOOK_S) if each.is_tried else each.left_s for each in obstacles]
        keys = [course.key for rank in route.ranks for course in rank]
        waits_s += [key.wait_for_pace_s(images) for key in keys if key.free > 0 or key is held]
        return min((wait_s for wait_s in waits_s if wait_s > 0), default=0.0)

    def rest_if_others_work(self, route: Route, course: Course) -> None:
        """Let the key of *course*, which answers no calls, rest if other keys of *route* are trusted."""
        now_s = self.clock.monotonic_s()
        others = (each for rank in route.ranks for each in rank if each.key is not course.key)
        standing = course.key.standing_with(course.model)
        if standing.reason is None and any(is_trusted(each, now_s) for each in others):
            self._is_troubled = True
            silence = replace(failure_of(RestReason.UNANSWERED), cause=_SILENT)
            standing.rest(RestReason.UNANSWERED, silence, now_s)
            self._tell_rest(RestName(course.key.name, course.model), standing, now_s)

    def keys_in(self, route: Route) -> list[BackendKey]:
        """Return the keys that calls of *route* go to now, or would if none rested."""
        courses = self.courses(route) or [each for rank in route.ranks for each in rank]
        return [each.key for each in courses]

    def _keys_of(self, backends: Names) -> tuple[BackendKey, ...]:
        return tuple([key for key in self.keys if not backends or key.name.backend in backends])

    def _bound_trial(self, course: Course, call: object, patience_s: float) -> None:
        now_s = self.clock.monotonic_s()
        for model, standing in _named_standings(course):
            if standing.reason is not None:
                standing.begin_trial(call, now_s + patience_s)
                # The other processes rest meanwhile: one call is enough.
                self.share(
                    Rest(name=RestName(course.key.name, model), reason=standing.reason, left_s=patience_s)
                )

    def _note_failure(self, course: Course, reason: RestReason, failure: CallFailure, now_s: float) -> None:
        self._is_troubled = True
        name = course.key.name
        own = course.key.standing_with(course.model)
        if reason is not RestReason.UNANSWERED and own.note_known():
            self._tell_end(RestName(name, course.model), RestReason.UNANSWERED)
        is_wide = RULES[reason].is_wide
        standing = course.key.standing if is_wide else own
        if standing.fail(reason, failure, now_s):
            self._tell_rest(RestName(name, "" if is_wide else course.model), standing, now_s)

    def _tell_rest(self, name: RestName, standing: Standing, now_s: float) -> None:
        if standing.reason is not None and standing.failure is not None:
            rest = Rest(name=name, reason=standing.reason, left_s=standing.until_s - now_s)
            self._share(rest)
            self.telemetry.record(KeyRested(rest=rest, failure=standing.failure))

    def _tell_end(self, name: RestName, reason: RestReason) -> None:
        rest = Rest(name=name, reason=reason, left_s=0.0)
        self._share(rest)
        self.telemetry.record(KeyBack(rest=rest))

    def _share(self, rest: Rest) -> None:
        self.changes += 1
        self.share(rest)


def _named_standings(course: Course) -> tuple[tuple[str, Standing], ...]:
    own, wide = standings_of(course)
    return (course.model, own), ("", wide)


def _choose(courses: Sequence[Course]) -> Course | None:
    """Return the course of the lowest priority, of several that whose key is furthest behind its share; None without any.

    If none is trusted, the one that was tried longest ago: any may be the first that works again.
    """
    if len(courses) < 2:
        return courses[0] if courses else None
    if all(course.is_trial for course in courses):
        return min(courses, key=tried_s)
    first = min(course.key.priority for course in courses)
    return max((each for each in courses if each.key.priority == first), key=lambda each: each.share.claim)
