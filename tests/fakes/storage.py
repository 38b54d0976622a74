"""Stores, pictures and the outbox, in memory."""

from collections.abc import Sequence

from service.domain.errors import ImageMissing, StoreUnavailable
from service.domain.images import Finish
from service.ports import Picture, PictureBroken, Settlement


class FakeStore:
    """Implements `ports.ImageStore`. *is_full* takes nothing, *is_gone* gives nothing either.

    *hides_it* is the race: it looks writable and is not.
    """

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.is_full = False
        self.is_gone = False
        self.hides_it = False

    async def put(self, name: str, data: bytes) -> None:
        if self.is_full or self.is_gone:
            raise StoreUnavailable
        self.blobs[name] = data

    async def get(self, name: str) -> bytes:
        if self.is_gone:
            raise StoreUnavailable
        if name not in self.blobs:
            raise ImageMissing
        return self.blobs[name]

    async def is_writable(self) -> bool:
        return self.hides_it or not (self.is_full or self.is_gone)


class FakePictures:
    """Implements `ports.Pictures`: what starts with `broken` is none, `bug` meets a bug of ours."""

    def __init__(self) -> None:
        self.plans: list[Finish | None] = []

    async def finish(self, data: bytes, finish: Finish | None) -> Picture:
        self.plans.append(finish)
        if data.startswith(b"broken"):
            raise PictureBroken
        if data.startswith(b"bug"):
            raise ZeroDivisionError
        width, height = (finish.width, finish.height) if finish else (1024, 1024)
        return Picture(data, "png", width, height)


class FakeOutbox:
    """Implements `ports.Outbox`."""

    def __init__(self, *kept: Settlement) -> None:
        self.kept = list(kept)

    def add(self, settlement: Settlement) -> None:
        self.kept.append(settlement)

    def pending(self, most: int = 100) -> list[Settlement]:
        return self.kept[:most]

    def remove(self, settlements: Sequence[Settlement]) -> None:
        self.kept = [kept for kept in self.kept if kept not in settlements]
