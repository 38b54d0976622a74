"""Turn a provider's bytes into the gateway's images: finished, priced, named and stored."""

import asyncio
import hashlib
from dataclasses import dataclass

from service.domain.catalog import Model
from service.domain.credentials import has_credentials
from service.domain.errors import Billing, CallFailure, FailureKind, StoreUnavailable
from service.domain.fanout import share_usage
from service.domain.images import CallMade, Credentials, Image, RawImage, SentOrder
from service.domain.pricing import estimate_sent, price_usage
from service.ports.clock import Clock
from service.ports.pictures import Picture, PictureBroken, Pictures
from service.ports.store import ImageStore

_HASHED_AT_ONCE_BYTES = 2 * 1024 * 1024
"""An ordinary image takes a millisecond or two; the largest readable one takes sixty."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One finished image; *is_stored* False when a full store left only its bytes."""

    image: Image
    data: bytes
    is_stored: bool


class Keeper:
    """Applies the finish plan to the images of a call and stores them by their content."""

    def __init__(self, *, pictures: Pictures, store: ImageStore, clock: Clock) -> None:
        self._pictures = pictures
        self._store = store
        self._clock = clock

    async def keep(self, made: CallMade, sent: SentOrder, model: Model) -> list[Kept | CallFailure]:
        """Finish and store the images of one call, in its order."""
        shares = share_usage(made.usage, len(made.images)) if made.usage else [None] * len(made.images)
        return [
            await self._keep_one(raw, sent, model, usage=share, made=made)
            for raw, share in zip(made.images, shares, strict=True)
        ]

    async def _keep_one(
        self,
        raw: RawImage,
        sent: SentOrder,
        model: Model,
        *,
        usage: dict[str, object] | None,
        made: CallMade,
    ) -> Kept | CallFailure:
        try:
            picture = await self._pictures.finish(raw.data, sent.finish)
        except PictureBroken:
            return CallFailure(
                kind=FailureKind.BROKEN,
                billing=Billing.UNKNOWN,
                message="The image provider returned something that is not an acceptable picture.",
            )
        cost = price_usage(model, usage) if usage else None
        if cost is None:
            # The reserved amount, unless the size was still unknown then.
            cost = estimate_sent(model, sent, painted=f"{picture.width}x{picture.height}")
        image = Image(
            digest=await _digest(picture.data),
            format=picture.format,
            width=picture.width,
            height=picture.height,
            size_bytes=len(picture.data),
            created_s=int(self._clock.wall_s()),
            revised_prompt=raw.revised_prompt,
            usage=usage,
            resolved=dict(made.resolved),
            cost_microusd=cost,
            answered_model=made.answered_model,
            credentials=_credentials(raw, picture),
        )
        try:
            await self._store.put(image.name, picture.data)
        except StoreUnavailable:
            return Kept(image, picture.data, is_stored=False)
        return Kept(image, picture.data, is_stored=True)


async def _digest(data: bytes) -> str:
    """Hash *data*, yielding to the event loop after each part."""
    digest = hashlib.sha256(data[:_HASHED_AT_ONCE_BYTES])
    for start in range(_HASHED_AT_ONCE_BYTES, len(data), _HASHED_AT_ONCE_BYTES):
        await asyncio.sleep(0)
        digest.update(data[start : start + _HASHED_AT_ONCE_BYTES])
    return digest.hexdigest()


def _credentials(raw: RawImage, picture: Picture) -> Credentials:
    """Return the state of the provider's content credentials; new pixels would belie them, so none are copied."""
    had = has_credentials(raw.data)
    if had is None:
        return Credentials.UNKNOWN
    if not had:
        return Credentials.NONE
    return Credentials.KEPT if picture.data == raw.data else Credentials.LOST
