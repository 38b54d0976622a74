"""Headers that tell who made the images of an answer, also if several backends did."""

from collections.abc import Sequence

import pytest

from service.domain.images import Source
from service.domain.progress import ImageReady
from service.http.headers import order_headers
from tests.fakes.values import an_image

Made = tuple[Source, str, str]


def headers_of(*made: Made) -> dict[str, str]:
    images = [
        ImageReady(position=place, image=an_image(backend=backend, sent_model=model), source=source)
        for place, (source, backend, model) in enumerate(made)
    ]
    return order_headers(
        sent_model="expected",
        shutdown=None,
        admitted=None,
        images=images,
        is_cached=True,
        timings_s={"order": 1.0},
    )


@pytest.mark.parametrize(
    ("made", "model", "backends"),
    [
        ([], "expected", None),
        ([(Source.MADE, "azure", "asked")], "asked", "azure"),
        ([(Source.MADE, "openai", "current"), (Source.MADE, "azure", "asked")], "current", "openai, azure"),
        ([(Source.MADE, "azure", "asked")] * 3, "asked", "azure"),
        ([(Source.MADE, "", "asked")], "asked", None),
        ([(Source.HIT, "", ""), (Source.COALESCED, "azure", "other")], "expected", None),
        ([(Source.COALESCED, "azure", "other"), (Source.MADE, "openai", "current")], "current", "openai"),
    ],
    ids=["none", "one", "several", "twice", "unknown", "of-others", "mixed"],
)
def test_an_answer_names_the_makers_of_its_own_images(
    made: Sequence[Made], model: str, backends: str | None
) -> None:
    headers = headers_of(*made)

    assert (headers["x-model-sent"], headers.get("x-backend")) == (model, backends)
