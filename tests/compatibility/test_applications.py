"""Every generation of the official SDKs, doing what applications do with them."""

from uuid import uuid4

import pytest

from tests.compatibility.client import Client
from tests.compatibility.conftest import clients
from tests.compatibility.expectations import (
    assert_dalle_answer,
    assert_error,
    assert_events,
    assert_gpt_image_answer,
)
from tests.compatibility.pictures import HOLE, SQUARE_EDGE, differing_share, open_picture
from tests.compatibility.pins import NODE, NODE_4, NODE_5, NODE_6, PYTHON_0, PYTHON_1, PYTHON_2, PYTHON_3
from tests.compatibility.servers import Provider
from tests.processes import Gateway

pytestmark = [pytest.mark.clients, pytest.mark.timeout(240)]

STREAMING = (PYTHON_3, PYTHON_2, PYTHON_1, NODE, NODE_6, NODE_5)
MODERN = (*STREAMING, NODE_4)
UNORDERED = (NODE_5, NODE_4)
"""They send each file as soon as it is read, in any order."""
EVERY = (*MODERN, PYTHON_0)
PYTHON = (PYTHON_3, PYTHON_2, PYTHON_1, PYTHON_0)


@clients(*EVERY)
def test_dalle_3_makes_a_link(client: Client, gateway: Gateway) -> None:
    """Generate: dall-e-3, one image as a link"""
    observed = client.observe("generate dall-e-3", gateway.url)

    assert_dalle_answer(observed, count=1, size=(1024, 1024), revised=True)


@clients(*EVERY)
def test_dalle_3_makes_four(client: Client, gateway: Gateway) -> None:
    """Generate: dall-e-3, n=4, which the model itself never could"""
    observed = client.observe("generate dall-e-3 n=4", gateway.url)

    assert_dalle_answer(observed, count=4, size=(1024, 1024), revised=True)


@clients(*EVERY)
def test_dalle_3_makes_base64(client: Client, gateway: Gateway) -> None:
    """Generate: dall-e-3, response_format=b64_json"""
    observed = client.observe("generate dall-e-3 b64_json", gateway.url)

    assert_dalle_answer(observed, count=1, size=(1024, 1024), by="b64_json", revised=True)


@clients(*EVERY)
def test_hd_and_natural_are_kept(client: Client, gateway: Gateway, provider: Provider) -> None:
    """Generate: dall-e-3, quality=hd, style=natural, 1792x1024"""
    prompt = f"a harbour {uuid4().hex}"

    observed = client.observe("generate dall-e-3 hd natural", gateway.url, prompt)

    assert_dalle_answer(observed, count=1, size=(1792, 1024), revised=True)
    order, *more = provider.orders(prompt)
    assert not more
    assert order["parameters"]["quality"] == "high"
    assert "natural style" in order["prompt"]


@clients(*EVERY)
def test_dalle_2_makes_small_pictures(client: Client, gateway: Gateway) -> None:
    """Generate: dall-e-2, 256x256, n=2"""
    observed = client.observe("generate dall-e-2", gateway.url)

    assert_dalle_answer(observed, count=2, size=(256, 256))


@clients(*EVERY)
def test_gpt_image_makes_transparent_webp(client: Client, gateway: Gateway) -> None:
    """Generate: gpt-image-1.5, transparent background, WebP"""
    observed = client.observe("generate gpt-image", gateway.url)

    picture, *_ = assert_gpt_image_answer(observed, picture_format="WEBP")
    assert picture.mode == "RGBA"
    assert observed["answer"]["background"] == "transparent"


@clients(*EVERY)
def test_a_model_need_not_be_named(client: Client, gateway: Gateway) -> None:
    """Generate: no model named"""
    observed = client.observe("generate default", gateway.url)

    assert_dalle_answer(observed, count=1, size=(1024, 1024))


@clients(*EVERY)
def test_null_is_the_same_as_nothing(client: Client, gateway: Gateway) -> None:
    """Generate: parameters that are null"""
    observed = client.observe("generate nulls", gateway.url)

    assert_dalle_answer(observed, count=1, size=(1024, 1024), revised=True)


@clients(PYTHON_3, PYTHON_2, PYTHON_1)
def test_asyncio_clients_are_served(client: Client, gateway: Gateway) -> None:
    """Generate: asyncio client"""
    observed = client.observe("generate async", gateway.url)

    assert_dalle_answer(observed, count=1, size=(1024, 1024), revised=True)


@clients(PYTHON_0)
def test_acreate_is_served(client: Client, gateway: Gateway) -> None:
    """Generate: asyncio client"""
    observed = client.observe("generate async", gateway.url)

    assert_dalle_answer(observed, count=1, size=(256, 256))


@clients(*STREAMING)
def test_stages_come_before_the_picture(client: Client, gateway: Gateway) -> None:
    """Stream: gpt-image, partial_images=2"""
    observed = client.observe("stream gpt-image", gateway.url)

    events = observed["events"]
    assert_events(events, "image_generation", partial=2, completed=1)
    assert len(events) == 3
    final = open_picture(observed["pictures"][-1]["path"])
    assert events[-1]["size"] == f"{final.width}x{final.height}"


@clients(*STREAMING)
def test_dalle_3_can_be_streamed(client: Client, gateway: Gateway) -> None:
    """Stream: dall-e-3, n=2, which the model itself never could"""
    observed = client.observe("stream dall-e-3", gateway.url)

    assert_events(observed["events"], "image_generation", partial=0, completed=2)
    first, second = (open_picture(picture["path"]) for picture in observed["pictures"])
    assert first.tobytes() != second.tobytes()


@clients(*STREAMING)
def test_edits_can_be_streamed(client: Client, gateway: Gateway) -> None:
    """Stream: edit, partial_images=1"""
    observed = client.observe("stream edit", gateway.url)

    assert_events(observed["events"], "image_edit", partial=1, completed=1)


@clients(*STREAMING)
def test_a_refused_stream_raises(client: Client, gateway: Gateway) -> None:
    """Stream: refused prompt"""
    prompt = f"forbidden-word {uuid4().hex}"

    observed = client.observe("stream refused", gateway.url, prompt)

    assert_error(observed, status=400, code="moderation_blocked", type="image_generation_user_error")


@clients(*STREAMING)
def test_a_stream_that_breaks_raises(client: Client, gateway: Gateway, provider: Provider) -> None:
    """Stream: provider breaks off after the first stage"""
    provider.behave(stream_fault="cut")

    try:
        observed = client.observe("stream broken", gateway.url)
    finally:
        provider.behave()

    # The status was sent before anything broke, so that there is none to tell.
    error = observed["error"]
    assert error["class"] == "APIError"
    assert error["code"] == "upstream_invalid_response"
    assert error["message"]


@pytest.mark.parametrize(
    "operation",
    ["edit one file", "edit list of one", "edit mask", "edit bytes"],
)
@clients(*MODERN)
def test_one_picture_is_edited(client: Client, gateway: Gateway, provider: Provider, operation: str) -> None:
    """Edit: gpt-image, as a file, list of one, with a mask, bytes without a name or type"""
    prompt = f"the same at night {uuid4().hex}"

    observed = client.observe(operation, gateway.url, prompt)

    assert_gpt_image_answer(observed)
    order, *more = provider.orders(prompt)
    assert not more
    expected = ["image", "mask"] if operation == "edit mask" else ["image"]
    fields = [part["field"].partition("[")[0] for part in order["inputs"]]
    assert (sorted(fields) if client.pin in UNORDERED else fields) == expected
    # The provider judges by the part's type, which these clients do not all set.
    assert {part["content_type"] for part in order["inputs"]} == {"image/png"}


@clients(*MODERN)
def test_three_pictures_are_edited(client: Client, gateway: Gateway, provider: Provider) -> None:
    """Edit: gpt-image, three files of two formats"""
    prompt = f"all in one {uuid4().hex}"

    observed = client.observe("edit three files", gateway.url, prompt)

    assert_gpt_image_answer(observed)
    order, *_ = provider.orders(prompt)
    types = [part["content_type"] for part in order["inputs"]]
    if client.pin in UNORDERED:
        assert sorted(types) == ["image/jpeg", "image/png", "image/png"]
    else:
        assert types == ["image/png", "image/jpeg", "image/png"]


@clients(*EVERY)
def test_dalle_2_keeps_what_the_mask_covers(client: Client, gateway: Gateway) -> None:
    """Edit: dall-e-2 with a mask, what it covers comes back bit for bit"""
    observed = client.observe("edit dall-e-2", gateway.url)

    picture, *_ = assert_dalle_answer(observed, count=1, size=(SQUARE_EDGE, SQUARE_EDGE), by="b64_json")
    sent = open_picture(str(client.inputs / "square.png"))
    left, upper, right, lower = HOLE
    for kept in (
        (0, 0, SQUARE_EDGE, upper),
        (0, lower, SQUARE_EDGE, SQUARE_EDGE),
        (0, upper, left, lower),
        (right, upper, SQUARE_EDGE, lower),
    ):
        assert differing_share(picture, sent, kept) == 0
    assert differing_share(picture, sent, HOLE) > 0.99


@clients(*EVERY)
def test_without_a_mask_the_whole_picture_is_painted(client: Client, gateway: Gateway) -> None:
    """Edit: dall-e-2 without a mask, the whole of an opaque image is painted anew"""
    observed = client.observe("edit whole", gateway.url)

    picture, *_ = assert_dalle_answer(observed, count=1, size=(SQUARE_EDGE, SQUARE_EDGE), by="b64_json")
    sent = open_picture(str(client.inputs / "square.png"))
    assert differing_share(picture, sent, (0, 0, SQUARE_EDGE, SQUARE_EDGE)) > 0.99


@clients(*EVERY)
def test_variations_are_made(client: Client, gateway: Gateway) -> None:
    """Vary: n=2, 256x256"""
    observed = client.observe("vary", gateway.url)

    assert_dalle_answer(observed, count=2, size=(256, 256))


@clients(*EVERY)
def test_models_are_listed(client: Client, gateway: Gateway) -> None:
    """Models: list"""
    models = client.observe("list models", gateway.url)["models"]

    assert {"dall-e-2", "dall-e-3", "gpt-image-1", "gpt-image-2.6-flare"} <= {model["id"] for model in models}
    for model in models:
        assert model["object"] == "model"
        assert isinstance(model["created"], int)
        assert isinstance(model["owned_by"], str)


@clients(*EVERY)
def test_a_model_is_described(client: Client, gateway: Gateway) -> None:
    """Models: retrieve"""
    model = client.observe("retrieve model", gateway.url)["model"]

    assert model["id"] == "dall-e-3"
    assert model["shutdown_date"] == "2026-05-12"


@pytest.mark.parametrize("operation", ["retrieve unknown model", "retrieve model with slash"])
@clients(*EVERY)
def test_an_unknown_model_is_not_found(client: Client, gateway: Gateway, operation: str) -> None:
    """Models: unknown name, name with a slash"""
    observed = client.observe(operation, gateway.url)

    name = "InvalidRequestError" if client.pin is PYTHON_0 else "NotFoundError"
    assert_error(observed, **{"class": name}, status=404, code="model_not_found")


@pytest.mark.parametrize(
    ("operation", "code", "param"),
    [
        ("bad size", "invalid_size", "size"),
        ("unknown parameter", "unknown_parameter", "colour"),
        ("long prompt", "string_above_max_length", "prompt"),
    ],
)
@clients(*EVERY)
def test_a_mistake_is_named(client: Client, gateway: Gateway, operation: str, code: str, param: str) -> None:
    """Errors: bad size, unknown parameter, prompt too long"""
    observed = client.observe(operation, gateway.url)

    name = "InvalidRequestError" if client.pin is PYTHON_0 else "BadRequestError"
    expected = {"class": name, "type": "invalid_request_error"}
    assert_error(observed, **expected, status=400, code=code, param=param)


@clients(*EVERY)
def test_a_broken_file_is_named(client: Client, gateway: Gateway) -> None:
    """Errors: file that is no image"""
    observed = client.observe("edit broken file", gateway.url)

    error = assert_error(observed, status=400)
    assert error["code"] is not None


@pytest.mark.parametrize(
    ("operation", "code", "kind"),
    [
        ("refused", "content_policy_violation", "invalid_request_error"),
        ("refused by gpt-image", "moderation_blocked", "image_generation_user_error"),
    ],
)
@clients(*EVERY)
def test_a_refused_prompt_is_told_and_not_repeated(
    client: Client, gateway: Gateway, provider: Provider, operation: str, code: str, kind: str
) -> None:
    """Errors: prompt refused by the provider, in the asked model's words"""
    prompt = f"forbidden-word {uuid4().hex}"

    observed = client.observe(operation, gateway.url, prompt)

    name = "InvalidRequestError" if client.pin is PYTHON_0 else "BadRequestError"
    assert_error(observed, **{"class": name}, status=400, code=code, type=kind)
    assert len(provider.orders(prompt)) == 1


@clients(*EVERY)
def test_a_limit_says_when_to_come_back(client: Client, limited_gateway: Gateway) -> None:
    """Errors: limit reached, with both retry headers"""
    observed = client.observe("limit", limited_gateway.url)

    error = assert_error(observed, **{"class": "RateLimitError"}, status=429, type="images")
    headers = {name.lower(): value for name, value in error["headers"].items()}
    assert 1 <= int(headers["retry-after"]) <= 60
    assert 0 < int(headers["retry-after-ms"]) <= 60_000
    assert headers["x-ratelimit-limit-images"] == "1"
    if client.pin is not PYTHON_0:
        assert error["code"] == "rate_limit_exceeded"


@clients(*EVERY)
def test_another_endpoint_is_not_found(client: Client, gateway: Gateway) -> None:
    """Errors: endpoint that is not ours"""
    observed = client.observe("wrong endpoint", gateway.url)

    assert_error(observed, status=404, code="unknown_url")


@clients(*MODERN)
def test_what_may_have_been_paid_is_not_retried(client: Client, gateway: Gateway, provider: Provider) -> None:
    """Retries: none after an answer that may have been billed"""
    prompt = f"broken-answer {uuid4().hex}"
    failure = {"status": 200, "body": "truncated_json", "after_painting": True, "count": 9}
    provider.behave(failures=[failure], failure_match=prompt)

    try:
        observed = client.observe("retries", gateway.url, prompt)
    finally:
        provider.behave()

    error = assert_error(observed, status=502)
    assert error["headers"]["x-should-retry"] == "false"
    assert len(provider.orders(prompt)) == 1


@clients(*MODERN)
def test_a_limit_is_outlasted(client: Client, slow_gateway: Gateway) -> None:
    """Retries: after the time that a limit names, unseen by the application"""
    observed = client.observe("outlast limit", slow_gateway.url)

    assert observed["longest_s"] > 0.4


@clients(PYTHON_0)
def test_attributes_of_0_28_are_filled(client: Client, gateway: Gateway) -> None:
    """Errors: attributes `http_status`, `error`, `json_body`, `request_id`"""
    error = client.observe("bad size", gateway.url)["error"]

    assert error["status"] == 400
    assert {"message", "type", "param", "code"} <= set(error["error"])
    assert error["json_body"] == {"error": error["error"]}
    assert error["request_id"].startswith("req_")


@clients(PYTHON_0)
def test_the_time_taken_is_known_to_0_28(client: Client, gateway: Gateway) -> None:
    """Generate: `response_ms` of an answer"""
    observed = client.observe("generate dall-e-2", gateway.url)

    assert isinstance(observed["response_ms"], int)
