"""Hold the calls that wait, and what they hold: in fair turns, by the images they will make, and in bytes."""

from collections import Counter
from collections.abc import Callable, Sequence

from service.gateway.queue.holdings import Holdings
from service.gateway.queue.turn import Turn
from service.gateway.queue.turns import FairTurns, Person
from service.gateway.routing.route import Route


class Line:
    """The turns that wait: their number, and the *images* they will make; *kinds* counts those for which the same keys have room.

    Up to *most* turns and *most_bytes* of their orders may wait; more do only until `find_surplus` is asked.
    """

    def __init__(self, most: int, most_bytes: int) -> None:
        self._calls = Holdings(most, lambda _: 1)
        self._bytes = Holdings(most_bytes, lambda turn: turn.held_bytes)
        self.length = 0
        self.images = 0
        self.kinds: Counter[tuple[Route, int]] = Counter()
        self._turns = FairTurns[Turn]()

    @property
    def is_full(self) -> bool:
        """Tell if calls or bytes reach their bound."""
        return self._calls.is_full or self._bytes.is_full

    def add(self, turn: Turn, *, is_first: bool = False) -> None:
        """Put *turn* behind the others of its owners, or before them if it *is_first*."""
        turn.is_waiting = True
        self.length += 1
        self.images += turn.images
        self.kinds[turn.route, turn.images] += 1
        self._calls.add(turn)
        self._bytes.add(turn)
        for owner in turn.owners:
            self._turns.add(turn, owner, turn.images, is_first=is_first)

    def take(self, fits: Callable[[Turn], bool]) -> tuple[Turn, Person] | None:
        """Take out the first turn that *fits*, with the owner that it comes from; None if none does."""
        found = self._turns.take(fits)
        if found is not None:
            self.remove(found[0])
        return found

    def waiting_for(self, route: Route) -> tuple[int, int]:
        """Return how many calls, and images, wait for the keys of *route*."""
        own = [(number, images) for (each, images), number in self.kinds.items() if each is route]
        return sum(number for number, _ in own), sum(number * images for number, images in own)

    def charge(self, owner: Person, images: int) -> None:
        """Count a turn with *images* as taken by *owner*."""
        self._turns.charge(owner, images)

    def remove(self, turn: Turn) -> None:
        """Take *turn* out of the line."""
        turn.is_waiting = False
        self.length -= 1
        self.images -= turn.images
        kind = turn.route, turn.images
        self.kinds[kind] -= 1
        if not self.kinds[kind]:
            del self.kinds[kind]
        self._calls.remove(turn)
        self._bytes.remove(turn)
        for owner in turn.owners:
            self._turns.discard(turn, owner)

    def find_surplus(self, owner: Person, turns: Sequence[Turn] = (), *, free: int = 0) -> list[Turn] | None:
        """Return the turns that give way to *turns* of *owner*, *free* of which need not wait; None if the line is full."""
        calls = self._calls.find_surplus(owner, turns, free=free)
        large = self._bytes.find_surplus(owner, turns)
        return None if calls is None or large is None else list(dict.fromkeys(calls + large))

    def share(self, turn: Turn, owner: Person) -> None:
        """Let *turn* be taken when it is the turn of *owner*, too."""
        if owner not in turn.owners:
            turn.owners.append(owner)
            self._turns.add(turn, owner, turn.images)

    def count_ahead(self, turns: Sequence[Turn]) -> tuple[int, int]:
        """Return how many calls and images come before the last of *turns*, all of one owner and one route."""
        images = sum(turn.images for turn in turns)
        calls_of_route, images_of_route = self.waiting_for(turns[0].route)
        ahead = self._turns.count_ahead(turns[0].owners[0], images)
        # Those for other keys are in nobody's way.
        ahead = min(ahead, images_of_route + images - 1)
        calls = ahead * (calls_of_route + len(turns)) // (images_of_route + images)
        return max(calls, len(turns) - 1), ahead
