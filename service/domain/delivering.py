"""Choose the headers of an image by its name, for the gateway and for the store behind a signed URL."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DeliveryHeaders:
    """The values of `content-type`, `content-disposition` and `cache-control`."""

    media_type: str
    disposition: str
    cache_control: str


def delivery_headers(name: str) -> DeliveryHeaders:
    """Return the headers of the image *name* (`<digest>.<format>`), whose content never changes.

    A drawing can contain scripts: it is downloaded, not shown as a page of this origin.
    """
    digest, _, kind = name.partition(".")
    is_drawing = kind == "svg"
    return DeliveryHeaders(
        media_type="image/svg+xml" if is_drawing else f"image/{kind}",
        disposition=f'{"attachment" if is_drawing else "inline"}; filename="{digest[:16]}.{kind}"',
        cache_control="private, max-age=31536000, immutable",
    )
