"""Report the images of an order: where they are, what they cost, and why some are missing."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service.commands.ordering.client import MadeImage, Order
from service.commands.ordering.language import Words


@dataclass(frozen=True, slots=True)
class SavedImage:
    """An image and its file."""

    path: Path
    image: MadeImage


@dataclass(slots=True)
class Report:
    """The course of one *order*; *realm* is `sandbox` for test images, None if unknown."""

    order: Order
    request_id: str | None = None
    sent_model: str | None = None
    realm: str | None = None
    seconds: float = 0.0
    saved: list[SavedImage] = field(default_factory=list)
    problem: dict[str, Any] | None = None

    @property
    def cost_microusd(self) -> int | None:
        """The cost of the saved images; None if the price of one is unknown."""
        costs = [each.image.cost_microusd for each in self.saved]
        return None if None in costs else sum(cost or 0 for cost in costs)

    def line(self, say: Words) -> str:
        """Return the number of images, the time and the cost in one line."""
        cost, price = self.cost_microusd, ""
        if cost == 0:
            price = say("free")
        elif self.realm == "sandbox":
            price = say("test images, nothing charged")
        else:
            price = say("price unknown") if cost is None else _dollars(cost)
        line = say(
            "{images} in {seconds} s, {price}",
            images=say.count(len(self.saved)),
            seconds=f"{self.seconds:.1f}",
            price=price,
        )
        caches = [each.image.cache for each in self.saved]
        notes = []
        if hits := caches.count("hit"):
            notes.append(say("{n} from the cache", n=hits))
        if shared := caches.count("coalesced"):
            notes.append(say("{n} shared with an equal order", n=shared))
        if notes and cost != 0:
            notes.append(say("free"))
        return line + (say(" ({notes})", notes=say(", ").join(notes)) if notes else "")

    def record(self) -> dict[str, Any]:
        """Return the report for programs."""
        return {
            "files": [
                self._record_of(each) for each in sorted(self.saved, key=lambda each: each.image.place)
            ],
            "cost_microusd": self.cost_microusd,
            "realm": self.realm,
            "seconds": round(self.seconds, 3),
            "error": self.problem,
        }

    def _record_of(self, saved: SavedImage) -> dict[str, Any]:
        image = saved.image
        return {
            "path": str(saved.path),
            "model": self.order.model,
            "sent_model": image.sent_model or self.sent_model,
            "backend": image.backend,
            "size": image.size,
            "cost_microusd": image.cost_microusd,
            "cache": image.cache,
            "url": image.url,
            "revised_prompt": image.revised_prompt,
            "request_id": self.request_id,
        }


def _dollars(microusd: int) -> str:
    """Return an amount with the digits that tell it from nothing."""
    return f"${microusd / 1e6:.{4 if microusd >= 1000 else 6}f}"
