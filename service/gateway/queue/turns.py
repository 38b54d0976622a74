"""Let callers take turns: one team after the other, and in its turn one user of a team after the other.

A turn is worth one image. A caller whose call makes more is passed over until the others have caught up, so neither many
calls nor large ones crowd out another's.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

Entry = TypeVar("Entry")
Member = TypeVar("Member")


@dataclass(frozen=True, slots=True)
class Person:
    """The owner of a lane: a user of a team."""

    team: str
    user: str


class FairTurns(Generic[Entry]):
    """Entries by their owner, each with the number of its images; an entry may be in several lanes."""

    def __init__(self) -> None:
        self._teams = _Rotation[_Team[Entry]]()

    def __bool__(self) -> bool:
        return bool(self._teams.members)

    def add(self, entry: Entry, owner: Person, images: int, *, is_first: bool = False) -> None:
        """Put *entry* behind the others of *owner*, or before them if it *is_first*; a new owner comes behind all others."""
        team = self._teams.members.setdefault(owner.team, _Team[Entry]())
        lane = team.users.members.setdefault(owner.user, _Lane[Entry]())
        lane.entries[entry] = images
        if is_first:
            lane.entries.move_to_end(entry, last=False)
        lane.images += images
        team.images += images

    def discard(self, entry: Entry, owner: Person) -> None:
        """Take *entry* out of the lane of *owner*, if it is there."""
        team = self._teams.members.get(owner.team)
        lane = team.users.members.get(owner.user) if team else None
        if team and lane and entry in lane.entries:
            self._take_out(entry, owner, team, lane)

    def take(self, fits: Callable[[Entry], bool]) -> tuple[Entry, Person] | None:
        """Take out the first entry in turn that *fits*, with the owner of its lane; None if none does.

        Who is passed over, as no entry fits, keeps the turn.
        """
        if not self._teams.members:
            return None
        next_team, team = self._teams.find_next()
        next_user, lane = team.users.find_next()
        entry = next(iter(lane.entries))
        if not fits(entry):
            return self._take_other(fits)
        owner = Person(next_team, next_user)
        self._take_out(entry, owner, team, lane)
        return entry, owner

    def _take_other(self, fits: Callable[[Entry], bool]) -> tuple[Entry, Person] | None:
        for team_name, team in self._teams.in_turn():
            for user_name, lane in team.users.in_turn():
                for entry in lane.entries:
                    if fits(entry):
                        owner = Person(team_name, user_name)
                        self._take_out(entry, owner, team, lane)
                        return entry, owner
        return None

    def charge(self, owner: Person, images: int) -> None:
        """Put *owner*, whose turn made *images*, behind the others."""
        self._teams.charge(owner.team, images)
        team = self._teams.members.get(owner.team)
        if team is not None:
            team.users.charge(owner.user, images)

    def count_ahead(self, owner: Person, images: int) -> int:
        """Return the number of images that come before the last of *images* new ones of *owner*."""
        team = self._teams.members.get(owner.team)
        ahead = images - 1
        if team is not None:
            own = team.users.members.get(owner.user)
            ahead += own.images if own else 0
            # Another gets as many as this one in the same time, and no more than it waits for.
            ahead += sum(
                min(lane.images, ahead + 1) for lane in team.users.members.values() if lane is not own
            )
        others = (each for each in self._teams.members.values() if each is not team)
        return ahead + sum(min(each.images, ahead + 1) for each in others)

    def _take_out(self, entry: Entry, owner: Person, team: "_Team[Entry]", lane: "_Lane[Entry]") -> None:
        images = lane.entries.pop(entry)
        lane.images -= images
        team.images -= images
        if not lane.entries:
            team.users.drop(owner.user)
        if not team.users.members:
            self._teams.drop(owner.team)


class _Rotation(Generic[Member]):
    """Members in turn; one that took more than an image at its turn is passed over once for each of them."""

    def __init__(self) -> None:
        self.members: OrderedDict[str, Member] = OrderedDict()
        self._debts: dict[str, int] = {}

    def find_next(self) -> tuple[str, Member]:
        """Return the member whose turn it is; each that is passed over owes an image less."""
        while True:
            name = next(iter(self.members))
            if not self._debts.get(name):
                return name, self.members[name]
            self._debts[name] -= 1
            self.members.move_to_end(name)

    def in_turn(self) -> list[tuple[str, Member]]:
        """Return all members, those that are passed over least first."""
        return sorted(self.members.items(), key=lambda item: self._debts.get(item[0], 0))

    def charge(self, name: str, images: int) -> None:
        """Put a member that took *images* behind the others, if it is still there."""
        if name in self.members:
            self._debts[name] = images - 1
            self.members.move_to_end(name)

    def drop(self, name: str) -> None:
        del self.members[name]
        self._debts.pop(name, None)


class _Lane(Generic[Entry]):
    """The entries of one user, oldest first."""

    def __init__(self) -> None:
        # A plain dict walks over its deleted entries to find its first.
        self.entries: OrderedDict[Entry, int] = OrderedDict()
        self.images = 0


class _Team(Generic[Entry]):
    """The lanes of one team's users."""

    def __init__(self) -> None:
        self.users = _Rotation[_Lane[Entry]]()
        self.images = 0
