"""Stores, images and the journal, in memory."""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Sequence

from service.domain.errors import ImageMissing, StateUnavailable, StoreUnavailable
from service.domain.images import Finish
from service.ports.admission import Settlement
from service.ports.audit import AuditEntry
from service.ports.imaging import FinishedImage, ImageBroken
from service.ports.processes import Round
from service.ports.references import Reference
from service.ports.store import StoredImage


class FakeStore:
    """Implements `ports.store.ImageStore`. *is_full* takes nothing, *is_gone* gives nothing either.

    *hides_it* is the race: it looks writable and is not. Each use takes *delay_s*.
    """

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.is_full = False
        self.is_gone = False
        self.hides_it = False
        self.delay_s = 0.0
        self.deadlines_s: list[float] = []

    async def put(self, name: str, data: bytes, *, deadline_s: float = math.inf) -> None:
        self.deadlines_s.append(deadline_s)
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if self.is_full or self.is_gone:
            raise StoreUnavailable
        self.blobs[name] = data

    async def get(self, name: str, *, deadline_s: float = math.inf) -> bytes:
        self.deadlines_s.append(deadline_s)
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if self.is_gone:
            raise StoreUnavailable
        if name not in self.blobs:
            raise ImageMissing
        return self.blobs[name]

    async def is_writable(self) -> bool:
        return self.hides_it or not (self.is_full or self.is_gone)


class FakeImaging:
    """Implements `ports.imaging.ImageFinisher`: what starts with `broken` is none, `bug` meets a bug of ours."""

    def __init__(self) -> None:
        self.plans: list[Finish | None] = []

    async def finish(self, data: bytes, finish: Finish | None, holder: str) -> FinishedImage:
        self.plans.append(finish)
        if data.startswith(b"broken"):
            raise ImageBroken
        if data.startswith(b"bug"):
            raise ZeroDivisionError
        asked = finish or Finish()
        return FinishedImage(data, asked.format or "png", asked.width or 1024, asked.height or 1024)


class FakeJournal:
    """Implements `ports.admission.Journal` and `UnsettledImages`; *is_full* takes nothing that is written ahead.

    With *hangs* it never says what it took. What is pending only if the process dies lies in *written_ahead*.
    """

    def __init__(self, *kept: Settlement) -> None:
        self.kept = list(kept)
        self.written_ahead: list[Settlement] = []
        self.is_full = False
        self.hangs = False

    def add(self, settlement: Settlement, *, is_ahead: bool = False) -> Awaitable[bool]:
        self._forget(settlement)
        if not (is_ahead and self.is_full):
            (self.written_ahead if is_ahead else self.kept).append(settlement)
        return asyncio.get_running_loop().create_future() if self.hangs else _done(not self.is_full)

    async def pending(self, most: int = 100) -> list[Settlement]:
        parts = {each.ticket.id for each in self.kept if not each.is_last}
        return [each for each in self.kept if not (each.is_last and each.ticket.id in parts)][:most]

    def remove(self, settlements: Sequence[Settlement]) -> Awaitable[bool]:
        for settlement in settlements:
            self._forget(settlement)
        return _done(True)

    async def has_image(self, team: str, name: str) -> bool:
        return any(
            settlement.ticket.caller.team == team and any(image.name == name for _, image in settlement.made)
            for settlement in self.kept
        )

    def _forget(self, settlement: Settlement) -> None:
        name = (settlement.ticket.id, settlement.part)
        self.kept = [each for each in self.kept if (each.ticket.id, each.part) != name]
        self.written_ahead = [each for each in self.written_ahead if (each.ticket.id, each.part) != name]


def _done(value: bool) -> Awaitable[bool]:
    done = asyncio.get_running_loop().create_future()
    done.set_result(value)
    return done


class FakeReferences:
    """Implements all of `ports.references`, and `ports.accounts.KnownTeams`.

    Every team may refer to everything but what is in *gone*, until *kept* has something: then to
    that alone. *is_away* answers nothing, for *away_reason*.
    """

    def __init__(self, *kept: Reference) -> None:
        self.gone: set[str] = set()
        self.kept = {(reference.team, reference.name): reference for reference in kept}
        self.is_strict = bool(kept)
        self.published: dict[str, int] = {}
        self.leftovers: dict[str, float] = {}
        self.is_away = False
        self.away_reason = "timeout"

    def keep(self, *kept: Reference) -> None:
        self.kept |= {(reference.team, reference.name): reference for reference in kept}
        self.is_strict = True

    def names(self) -> set[str]:
        return {name for _, name in self.kept}

    async def has(self, team: str, name: str) -> bool:
        self._answer()
        return (team, name) in self.kept if self.is_strict else name not in self.gone

    async def find(self, team: str, name: str) -> Reference | None:
        self._answer()
        return self.kept.get((team, name))

    async def forget(self, team: str, name: str) -> bool:
        self._answer()
        self.gone.add(name)
        self.leftovers[name] = 0.0
        return self.kept.pop((team, name), None) is not None

    async def oldest(self, team: str, *, before_s: float, most: int, is_brief: bool = False) -> list[str]:
        self._answer()
        found = [
            reference
            for reference in self.kept.values()
            if reference.team == team and reference.is_brief is is_brief and reference.created_s < before_s
        ]
        return [each.name for each in sorted(found, key=lambda reference: reference.created_s)][:most]

    async def scan(self, team: str) -> AsyncIterator[Reference]:
        self._answer()
        for reference in list(self.kept.values()):
            if reference.team == team:
                yield reference

    async def totals(self, team: str) -> tuple[int, int]:
        self._answer()
        sizes = [reference.size_bytes for reference in self.kept.values() if reference.team == team]
        return len(sizes), sum(sizes)

    async def teams(self) -> list[str]:
        self._answer()
        return sorted({team for team, _ in self.kept})

    async def existing(self, team: str, names: Sequence[str]) -> set[str]:
        self._answer()
        return {name for name in names if (team, name) in self.kept}

    async def variants(self, team: str, names: Sequence[str]) -> int:
        self._answer()
        return sum(self.published.get(name, 0) for name in names if (team, name) in self.kept)

    async def due(self, *, now_s: float, most: int) -> list[str]:
        self._answer()
        return [name for name, at_s in self.leftovers.items() if at_s <= now_s][:most]

    async def postpone(self, name: str, *, until_s: float) -> None:
        self._answer()
        self.leftovers[name] = until_s

    async def done(self, names: Sequence[str]) -> None:
        self._answer()
        for name in names:
            self.leftovers.pop(name, None)

    def _answer(self) -> None:
        if self.is_away:
            raise StateUnavailable(self.away_reason)


class FakeShelves:
    """Implements `ports.store.StoreListing` and `ports.store.StoreCleaner`: *files* are modification times by name."""

    def __init__(self, **files: float) -> None:
        self.files = dict(files)
        self.remains_before_s: list[float] = []
        self.listed: list[int | None] = []
        self.is_away = False

    async def modified_s(self, name: str) -> float:
        if name not in self.files:
            raise ImageMissing
        return self.files[name]

    async def list(self, part: int | None = None) -> AsyncIterator[StoredImage]:
        if self.is_away:
            raise StoreUnavailable
        self.listed.append(part)
        for name, modified_s in list(self.files.items()):
            if part is None or int(name[:2], 16) == part:
                yield StoredImage(name, 1, modified_s)

    async def delete(self, names: Sequence[str]) -> None:
        for name in names:
            self.files.pop(name, None)

    async def remove_remains(self, *, before_s: float) -> int:
        self.remains_before_s.append(before_s)
        return 0


class FakeSweepLease:
    """Implements `ports.processes.SweepLease`. *turns* are the answers to come; then it is always our turn."""

    def __init__(self, *turns: bool) -> None:
        self.turns = list(turns)
        self.round: Round | None = None

    async def take(self, *, hold_s: float) -> bool:
        return self.turns.pop(0) if self.turns else True

    async def read_round(self) -> Round | None:
        return self.round

    async def keep_round(self, round_: Round) -> None:
        self.round = round_


class FakeAudit:
    """Implements `ports.audit.Audit`."""

    def __init__(self) -> None:
        self.entries: list[AuditEntry] = []

    async def note(self, entry: AuditEntry) -> None:
        self.entries.append(entry)
