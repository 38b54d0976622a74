import pytest

from service.domain.delivering import DeliveryHeaders, delivery_headers

CACHED = "private, max-age=31536000, immutable"


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "gif"])
def test_an_image_is_shown_inline(kind: str) -> None:
    name = f"{'ab' * 32}.{kind}"

    assert delivery_headers(name) == DeliveryHeaders(
        f"image/{kind}", f'inline; filename="{"ab" * 8}.{kind}"', CACHED
    )


def test_a_drawing_is_downloaded_since_it_can_hold_scripts() -> None:
    assert delivery_headers(f"{'ab' * 32}.svg") == DeliveryHeaders(
        "image/svg+xml", f'attachment; filename="{"ab" * 8}.svg"', CACHED
    )
