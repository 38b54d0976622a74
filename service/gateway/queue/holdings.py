"""Tell who gives way in a full line: who holds most of it, so that no caller keeps it from all others.

Teams are compared first, then the users of a team.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from service.gateway.queue.turn import Turn
from service.gateway.queue.turns import Person


class Holdings:
    """The shares of a line that callers hold, by one measure and up to *most*: *weigh* returns that of a turn."""

    def __init__(self, most: int, weigh: Callable[[Turn], int]) -> None:
        self.total = 0
        self._most = most
        self._weigh = weigh
        self._teams: dict[str, _Team] = {}

    @property
    def is_full(self) -> bool:
        """Tell if no more fits without another giving way."""
        return self.total >= self._most

    def add(self, turn: Turn) -> None:
        """Count *turn* as the newest of its first owner."""
        owner, weight = turn.owners[0], self._weigh(turn)
        if not weight:
            return
        team = self._teams.setdefault(owner.team, _Team())
        user = team.users.setdefault(owner.user, _User())
        user.turns[turn] = None
        user.weight += weight
        team.weight += weight
        self.total += weight

    def remove(self, turn: Turn) -> None:
        """Count *turn* no more."""
        owner, weight = turn.owners[0], self._weigh(turn)
        if not weight:
            return
        team = self._teams[owner.team]
        user = team.users[owner.user]
        del user.turns[turn]
        user.weight -= weight
        team.weight -= weight
        self.total -= weight
        if not user.turns:
            del team.users[owner.user]
        if not team.users:
            del self._teams[owner.team]

    def find_surplus(self, owner: Person, turns: Sequence[Turn], *, free: int = 0) -> list[Turn] | None:
        """Return the turns that make room for *turns* of *owner* beside *free*, or None if it would hold as much as others."""
        claim = sum(self._weigh(turn) for turn in turns)
        found: list[Turn] = []
        while is_full := self.total + claim - free > self._most:
            turn = self._find_newest_of_most(owner, claim)
            if turn is None:
                break
            self.remove(turn)
            found.append(turn)
        for turn in reversed(found):
            self.add(turn)
        return None if is_full else found

    def _find_newest_of_most(self, owner: Person, claim: int) -> Turn | None:
        """Return the newest turn of who holds more than *owner* with its *claim*."""
        own_team = self._teams.get(owner.team, _Team())
        own = own_team.users.get(owner.user, _User())
        team = max(self._teams.values(), key=_weight_of, default=own_team)
        if team.weight > own_team.weight + claim:
            return _newest(max(team.users.values(), key=_weight_of))
        user = max(own_team.users.values(), key=_weight_of, default=own)
        return _newest(user) if user.weight > own.weight + claim else None


@dataclass(slots=True)
class _User:
    weight: int = 0
    turns: OrderedDict[Turn, None] = field(default_factory=OrderedDict)


@dataclass(slots=True)
class _Team:
    weight: int = 0
    users: dict[str, _User] = field(default_factory=dict)


def _weight_of(holder: _User | _Team) -> int:
    return holder.weight


def _newest(user: _User) -> Turn:
    return next(reversed(user.turns))
