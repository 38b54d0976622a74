"""Hold the calls that wait, and what they hold: in fair turns, by the images they will make, and in bytes."""

from collections.abc import Iterable, Sequence

from service.gateway.queue.turn import PoolIndex, Turn
from service.gateway.queue.turns import FairTurns, Person


class Line:
    """The turns that wait: their number, the *images* they will make and the *held_bytes* of their orders."""

    def __init__(self) -> None:
        self.length = 0
        self.images = 0
        self.held_bytes = 0
        self._turns = FairTurns[Turn]()
        self._by_image: dict[PoolIndex, Turn] = {}

    def add(self, turn: Turn) -> None:
        """Put *turn* behind the others of its owners."""
        turn.is_waiting = True
        self.length += 1
        self.images += turn.images
        self.held_bytes += turn.held_bytes
        for image in turn.pool_indices:
            self._by_image[image] = turn
        for owner in turn.owners:
            self._turns.add(turn, owner, turn.images)

    def take(self) -> tuple[Turn, Person]:
        """Take out the turn that comes next, with the owner that it comes from; there must be one."""
        turn, owner = self._turns.take()
        self.remove(turn)
        return turn, owner

    def charge(self, owner: Person, images: int) -> None:
        """Count a turn with *images* as taken by *owner*."""
        self._turns.charge(owner, images)

    def remove(self, turn: Turn) -> None:
        """Take *turn* out of the line."""
        turn.is_waiting = False
        self.length -= 1
        self.images -= turn.images
        self.held_bytes -= turn.held_bytes
        for image in turn.pool_indices:
            self._by_image.pop(image, None)
        for owner in turn.owners:
            self._turns.discard(turn, owner)

    def share(self, images: Iterable[PoolIndex], owner: Person) -> None:
        """Let the calls for *images* take a turn of *owner*, too, who waits for them."""
        for image in images:
            turn = self._by_image.get(image)
            if turn is not None and owner not in turn.owners:
                turn.owners.append(owner)
                self._turns.add(turn, owner, turn.images)

    def count_ahead(self, turns: Sequence[Turn]) -> tuple[int, int]:
        """Return how many calls and images come before the last of *turns*, all of one owner."""
        images = sum(turn.images for turn in turns)
        ahead = self._turns.count_ahead(turns[0].owners[0], images)
        calls = ahead * (self.length + len(turns)) // (self.images + images)
        return max(calls, len(turns) - 1), ahead
