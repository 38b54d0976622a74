"""Call a server that has OpenAI's images API in its own way: one that makes one format only, or repaints what is white.

Failure behaviour: closed. A call whose mask cannot be changed is not sent.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace

from service.domain.failures import Billing, CallFailure, FailureKind
from service.domain.images import CallMade, ImageCall, InputImage, Operation, Realm
from service.ports.imaging import ImageBroken, ImagingBusy, MaskWhitener
from service.ports.provider import Backend, CallProgress

_OF_FORMAT = ("output_format", "output_compression")
_BROKEN_MASK = CallFailure(
    kind=FailureKind.INVALID,
    billing=Billing.NOT_BILLED,
    message="Invalid image file or mode for the mask, please check your image file.",
    status=400,
    code="invalid_image_file",
    type="image_generation_user_error",
    param="mask",
)
_BUSY = CallFailure(
    kind=FailureKind.NOT_SENT,
    billing=Billing.NOT_BILLED,
    message="Too many images wait to be processed. Nothing was spent; try again later.",
    code="overloaded",
)


class DeviatingBackend:
    """Implements `ports.provider.Backend` around the *backend* that calls such a server.

    *makes* is the only format of its images: it is asked for no other, and they are converted when they are kept. It repaints
    what *masks* makes white, and heeds no transparency: an image is its own mask for the models *masked_by_alpha*.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        makes: str | None = None,
        masks: MaskWhitener | None = None,
        masked_by_alpha: Collection[str] = (),
    ) -> None:
        self._backend = backend
        self._makes = makes
        self._masks = masks
        self._masked_by_alpha = masked_by_alpha

    @property
    def name(self) -> str:
        return self._backend.name

    @property
    def realm(self) -> Realm:
        return self._backend.realm

    async def make(self, call: ImageCall, progress: CallProgress) -> CallMade | CallFailure:
        if self._masks is not None and (mask := self._mask_of(call)) is not None:
            try:
                white = await self._masks.whiten(mask, call.holder)
            except ImageBroken:
                return _BROKEN_MASK
            except ImagingBusy:
                return _BUSY
            call = replace(call, inputs=(*[each for each in call.inputs if each.role != "mask"], white))
        if self._makes is None:
            return await self._backend.make(call, progress)
        if call.parameters.get("output_format", self._makes) != self._makes:
            parameters = {name: value for name, value in call.parameters.items() if name not in _OF_FORMAT}
            call = replace(call, parameters=parameters)
        return await self._backend.make(call, _Stages(progress, self._makes))

    def _mask_of(self, call: ImageCall) -> InputImage | None:
        """Return the mask of an edit, if it has one."""
        for entry in call.inputs:
            if entry.role == "mask":
                return entry
        if call.operation is not Operation.EDIT or call.model not in self._masked_by_alpha:
            return None
        first = next(entry for entry in call.inputs if entry.role == "image")
        return replace(first, role="mask") if first.has_alpha else None


class _Stages:
    """Implements `ports.provider.CallProgress` around *progress*: stages have the format of the image."""

    def __init__(self, progress: CallProgress, makes: str) -> None:
        self._progress = progress
        self._makes = makes

    def sending(self) -> None:
        self._progress.sending()

    def show(self, number: int, data: bytes, resolved: Mapping[str, str]) -> None:
        self._progress.show(number, data, {**resolved, "output_format": self._makes})
