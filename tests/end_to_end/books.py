"""What a provider made and what became of each image, read from its journal and from the team's references.

Owns the judgement which images were cut: made by a gateway that was killed before it
could settle them. Every image is in exactly one of two states, both seen from outside:
*settled*, when the team refers to its bytes, or *cut*. Each life of a gateway has
an API key of its own, so that the journal tells who asked.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

UNSETTLED_S = 10.0
"""An image whose maker has lived on so long after it was answered ought to be settled: several time-outs of Redis."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """One image the provider would charge for; *maker* is the key of one life of one gateway.

    Instants are of the monotonic clock, which all processes of a machine share.
    """

    serial: int
    digest: str
    prompt: str
    maker: str
    asked_at_s: float
    answered_at_s: float
    is_settled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """The end of one life of a gateway, and the orders whose callers were waiting there at that moment."""

    maker: str
    at_s: float
    waiting: tuple["Waiting", ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """An order that a caller waits for; *fields* are its body."""

    gateway: str
    fields: dict[str, Any]
    is_fresh: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """All that was made, and who was killed when."""

    made: tuple[Made, ...]
    kills: tuple[Kill, ...]

    @property
    def settled(self) -> Counter[str]:
        """Return how many images of each prompt were settled."""
        return Counter(one.prompt for one in self.made if one.is_settled)

    @property
    def cut(self) -> tuple[Made, ...]:
        """Return what was made and never settled."""
        return tuple(one for one in self.made if not one.is_settled)

    @property
    def excused(self) -> tuple[tuple[Made, Kill], ...]:
        """Return every cut image with the one kill that cut it: of its own maker, over it or just after."""
        kills = {kill.maker: kill for kill in self.kills}
        return tuple(
            (one, kills[one.maker])
            for one in self.cut
            if one.maker in kills and one.answered_at_s > kills[one.maker].at_s - UNSETTLED_S
        )

    def places_taken(self, kill: Kill) -> Counter[str]:
        """Return how many claims of each prompt were taken when *kill* fell, as far as images prove them.

        What was asked for before and settled has a place of its own in the pool, and
        so has each image that this kill cut: more places than anybody needed would be a claim made twice.
        """
        taken = Counter(one.prompt for one in self.made if one.is_settled and one.asked_at_s < kill.at_s)
        return taken + Counter(one.prompt for one, by in self.excused if by is kill)


def read_books(journal: Iterable[dict[str, Any]], kills: Sequence[Kill], references: Iterable[str]) -> Books:
    """Put together the provider's *journal* and the digests the team refers to."""
    digests = set(references)
    return Books(
        kills=tuple(kills),
        made=tuple(
            Made(
                serial=image["serial"],
                digest=image["sha256"],
                prompt=entry["prompt"],
                maker=entry["key_sha256"],
                asked_at_s=entry["started_monotonic_s"],
                answered_at_s=entry["finished_monotonic_s"],
                is_settled=image["sha256"] in digests,
            )
            for entry in journal
            for image in entry["images"]
        ),
    )


def name_maker(api_key: str) -> str:
    """Return how the journal calls who asks with *api_key*."""
    return hashlib.sha256(api_key.encode()).hexdigest()[:16]
