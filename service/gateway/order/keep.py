"""Turn a provider's bytes into the gateway's images: finished, priced, named and stored."""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from service.domain.errors import StoreUnavailable
from service.domain.failures import Billing, CallFailure, FailureKind
from service.domain.fanout import share_usage
from service.domain.images import CallMade, Delivery, Finish, Image, RawImage
from service.domain.order import ImageOrder, SentOrder
from service.domain.pricing import counts_tokens, estimate_sent, price_usage
from service.ports.clock import Clock
from service.ports.imaging import FinishedImage, ImageBroken, ImageFinisher
from service.ports.store import ImageStore

_HASHED_AT_ONCE_BYTES = 2 * 1024 * 1024
"""Hashed in a millisecond or two; the largest readable image takes sixty."""

_AT_ONCE_S = 4.0
"""Longest delay of the end of a process by images that have arrived."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A finished image. *data* None must be read from the store; *is_stored* False leaves only its *data*."""

    image: Image
    data: bytes | None
    is_stored: bool = True


Outcome = Kept | CallFailure
"""The end of one image: finished, or failed."""

NOT_KEPT = CallFailure(
    kind=FailureKind.NOT_KEPT,
    billing=Billing.BILLED,
    message="The image was made, but the store failed, so there is no link to it.",
)


_BROKEN = CallFailure(
    kind=FailureKind.BROKEN,
    billing=Billing.UNKNOWN,
    message="The image provider returned something that is not an acceptable image.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeper:
    """Applies the finish plan to the images of a call and stores them by their content.

    Those of backends *of_one_format* are converted to the asked one.
    """

    finisher: ImageFinisher
    store: ImageStore
    clock: Clock
    of_one_format: frozenset[str] = frozenset()

    async def keep(
        self, made: CallMade, sent: SentOrder, order: ImageOrder, *, deadline_s: float, backend: str = ""
    ) -> list[Outcome]:
        """Finish and store the images of a call of *order*, one after the other; the good ones share what it cost.

        *sent* is the form of the order that *backend* made.
        For a link the bytes are dropped as soon as they are stored. Cut off, it stores them without delay, or spills
        them: they are paid for. Raises `CancelledError` only if that takes more than a few seconds.
        """
        if backend in self.of_one_format:
            sent = _convert(sent)
        try:
            return await self._keep(made, sent, order, deadline_s, backend)
        except asyncio.CancelledError:
            return await self._keep_at_once(made, sent, order, backend)

    async def _keep_at_once(
        self, made: CallMade, sent: SentOrder, order: ImageOrder, backend: str
    ) -> list[Outcome]:
        now_s = self.clock.monotonic_s()
        try:
            async with self.clock.timeout_at(now_s + _AT_ONCE_S):
                # With the present as its deadline, the store tries once.
                return await self._keep(made, sent, order, now_s, backend)
        except TimeoutError:
            raise asyncio.CancelledError from None

    async def _keep(
        self, made: CallMade, sent: SentOrder, order: ImageOrder, deadline_s: float, backend: str
    ) -> list[Outcome]:
        finished = [await self._finish(raw, sent, order.caller.holder) for raw in made.images]
        good = sum(each is not None for each in finished)
        shares = iter(share_usage(made.usage, good) if made.usage and good else [None] * good)
        kept: list[Outcome] = []
        for raw, each in zip(made.images, finished, strict=True):
            kept.append(
                _BROKEN
                if each is None
                else await self._keep_one(raw, each, next(shares), sent, made, deadline_s)
            )
        billing = billing_of_missing(made, kept)
        return [
            replace(each, billing=billing)
            if isinstance(each, CallFailure)
            else _fit(each, order.delivery, backend)
            for each in kept
        ]

    async def _finish(self, raw: RawImage, sent: SentOrder, holder: str) -> FinishedImage | None:
        try:
            return await self.finisher.finish(raw.data, sent.finish, holder)
        except ImageBroken:
            return None

    async def _keep_one(
        self,
        raw: RawImage,
        finished: FinishedImage,
        usage: dict[str, object] | None,
        sent: SentOrder,
        made: CallMade,
        deadline_s: float,
    ) -> Kept:
        cost = price_usage(sent.target, usage) if usage and counts_tokens(made.usage) else None
        if cost is None:
            # The reserved amount, except for a size that was unknown then.
            cost = estimate_sent(sent, made=f"{finished.width}x{finished.height}")
        resolved = dict(made.resolved)
        if sent.finish and sent.finish.format:
            resolved["output_format"] = finished.format
        image = Image(
            digest=await _digest(finished.data),
            format=finished.format,
            width=finished.width,
            height=finished.height,
            size_bytes=len(finished.data),
            created_s=int(self.clock.wall_s()),
            revised_prompt=raw.revised_prompt,
            usage=usage,
            resolved=resolved,
            cost_microusd=cost,
            answered_model=made.answered_model,
            credentials=finished.credentials,
            sent_model=sent.target.name,
        )
        try:
            await self.store.put(image.name, finished.data, deadline_s=deadline_s)
        except StoreUnavailable:
            return Kept(image, finished.data, is_stored=False)
        return Kept(image, finished.data)


def _convert(sent: SentOrder) -> SentOrder:
    """Return *sent* with the asked format as part of the finish plan."""
    finish = sent.finish or Finish(compression=sent.parameters.get("output_compression"))
    return replace(sent, finish=replace(finish, format=sent.output_format))


def _fit(kept: Kept, delivery: Delivery, backend: str) -> Kept:
    """Return *kept* as made by *backend*, with the bytes only if they are delivered, or nowhere else."""
    data = None if kept.is_stored and delivery is Delivery.URL else kept.data
    return Kept(replace(kept.image, backend=backend), data, kept.is_stored)


def billing_of_missing(made: CallMade, kept: Sequence[Outcome]) -> Billing:
    """Return the billing of an image of a call that is not in *kept*.

    The counts of a call include it, so the kept images carry its price. Without counts, or an image to carry
    them, it is unknown.
    """
    is_carried = counts_tokens(made.usage) and any(isinstance(each, Kept) for each in kept)
    return Billing.BILLED if is_carried else Billing.UNKNOWN


async def _digest(data: bytes) -> str:
    """Hash *data*, and yield to the event loop after each part."""
    view = memoryview(data)
    digest = hashlib.sha256(view[:_HASHED_AT_ONCE_BYTES])
    for start in range(_HASHED_AT_ONCE_BYTES, len(data), _HASHED_AT_ONCE_BYTES):
        await asyncio.sleep(0)
        digest.update(view[start : start + _HASHED_AT_ONCE_BYTES])
    return digest.hexdigest()
