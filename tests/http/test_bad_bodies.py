"""Send invalid bodies: refused with OpenAI's messages before money is spent."""

import json

import pytest

from tests.http.wire import Connection, ask, check_goes_on, check_has_id, check_refused, post
from tests.processes import Gateway

pytestmark = pytest.mark.usefixtures("nothing_tried", "nothing_sent")

DEEP = 100_000

NOT_JSON = {
    "nothing": b"",
    "an open brace": b"{",
    "a trailing comma": b'{"prompt": "x",}',
    "two documents": b'{"prompt": "x"}{"prompt": "x"}',
    "NaN": b'{"prompt": "x", "n": NaN}',
    "Infinity": b'{"prompt": "x", "n": Infinity}',
    "-Infinity": b'{"prompt": "x", "n": -Infinity}',
    "100,000 open arrays": b"[" * DEEP,
    "100,000 nested arrays": b'{"prompt": ' + b"[" * DEEP + b"]" * DEEP + b"}",
    "20,000 nested objects": b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
    "an escaped lone surrogate": rb'{"prompt": "\ud800"}',
    "an encoded lone surrogate": b'{"prompt": "\xed\xa0\x80"}',
    "broken UTF-8": b'{"prompt": "\xff\xfe"}',
    "UTF-16": '{"prompt": "x"}'.encode("utf-16"),
    "a NUL": b'{"prompt": "x"}\x00',
    "single quotes": b"{'prompt': 'x'}",
    "a form": b"prompt=x&n=1",
}


@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON)
def test_invalid_json_is_refused_and_the_connection_stays_open(gateway: Gateway, body: bytes) -> None:
    with Connection(gateway.url) as connection:
        connection.send(post(body))
        answer = connection.read_answer()

        check_refused(answer, 400, code=None)
        check_has_id(answer)
        check_goes_on(connection)


@pytest.mark.parametrize("body", ["[]", '"prompt"', "1", "null", "true", '[{"prompt": "x"}]'])
def test_json_other_than_an_object_is_refused(gateway: Gateway, body: str) -> None:
    check_refused(ask(gateway.url, post(body.encode())), 400, code="invalid_type")


TEXTS = (
    "prompt",
    "model",
    "size",
    "quality",
    "style",
    "response_format",
    "background",
    "output_format",
    "moderation",
    "user",
    "safety_identifier",
)
NUMBERS = ("n", "output_compression")


@pytest.mark.parametrize("value", [1, 1.5, True, [], ["x"], {}, {"a": 1}], ids=json.dumps)
@pytest.mark.parametrize("name", TEXTS)
def test_text_fields_accept_only_strings(gateway: Gateway, name: str, value: object) -> None:
    body = json.dumps({"prompt": "x", "model": "dall-e-3", name: value}).encode()

    message = check_refused(ask(gateway.url, post(body)), 400, code="invalid_type", param=name)

    assert message.startswith(f"Invalid type for '{name}': expected a string, but got a")


@pytest.mark.parametrize(
    "value", ["x", "1.5", "1e3", " 1", 1.5, 1e300, True, [], [1], {}, 2**70, -(2**70)], ids=json.dumps
)
@pytest.mark.parametrize("name", NUMBERS)
def test_number_fields_accept_only_integers(gateway: Gateway, name: str, value: object) -> None:
    body = {"prompt": "x", "model": "gpt-image-2", "output_format": "jpeg", name: value}

    check_refused(ask(gateway.url, post(json.dumps(body).encode())), 400, code="invalid_type", param=name)


@pytest.mark.parametrize("value", [2**31, 2**40, 2**63, -(2**40), -(2**63)])
def test_the_refusal_of_a_number_names_the_range(gateway: Gateway, value: int) -> None:
    body = json.dumps({"prompt": "x", "n": value}).encode()
    code = "integer_above_max_value" if value > 0 else "integer_below_min_value"

    message = check_refused(ask(gateway.url, post(body)), 400, code=code, param="n")

    expected = (
        "above maximum value. Expected a value <= 10"
        if value > 0
        else "below minimum value. Expected a value >= 1"
    )
    assert message == f"Invalid 'n': integer {expected}, but got {value} instead."


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("svg", [], "an object, but got an array"),
        ("stream", 1, "a boolean, but got an integer"),
        ("partial_images", [1], "an integer, but got an array"),
    ],
)
def test_the_refusal_of_a_type_names_the_expected_one(
    gateway: Gateway, name: str, value: object, expected: str
) -> None:
    body = json.dumps({"prompt": "x", "model": "gpt-image-2", name: value}).encode()

    message = check_refused(ask(gateway.url, post(body)), 400, code="invalid_type", param=name)

    assert message == f"Invalid type for '{name}': expected {expected} instead."


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"prompt": None}, "missing_required_parameter", "prompt"),
        ({}, "missing_required_parameter", "prompt"),
        ({"prompt": ""}, "empty_string", "prompt"),
        ({"prompt": " \n\t"}, "empty_string", "prompt"),
        ({"prompt": "x", "n": 0}, "integer_below_min_value", "n"),
        ({"prompt": "x", "n": -1}, "integer_below_min_value", "n"),
        ({"prompt": "x", "n": 11}, "integer_above_max_value", "n"),
        ({"prompt": "x", "model": "dall-e-3", "size": "1x1"}, "invalid_size", "size"),
        ({"prompt": "x", "model": "dall-e-3", "size": "1024X1024"}, "invalid_size", "size"),
        ({"prompt": "x", "model": "dall-e-3", "quality": "ultra"}, "invalid_value", "quality"),
        ({"prompt": "x", "model": "dall-e-3", "style": "noir"}, "invalid_value", "style"),
        ({"prompt": "x", "model": "gpt-image-2", "style": "vivid"}, "unknown_parameter", "style"),
        ({"prompt": "x", "model": "gpt-image-2", "quality": "hd"}, "invalid_value", "quality"),
        ({"prompt": "x", "model": "gpt-image-2", "output_format": "bmp"}, "invalid_value", "output_format"),
        ({"prompt": "x", "model": "gpt-image-2", "complexity": "low"}, "unknown_parameter", "complexity"),
        (
            {"prompt": "x", "model": "dall-e-2", "negative_prompt": "y"},
            "unknown_parameter",
            "negative_prompt",
        ),
        ({"prompt": "x", "response_format": "png"}, "invalid_value", "response_format"),
        ({"prompt": "x", "model": "dall-e-2", "": 1}, "unknown_parameter", ""),
        ({"prompt": "x", "model": "dall-e-2", "a" * 5000: 1}, "unknown_parameter", "a" * 100),
        ({"prompt": "x", "model": "dall-e-3", "stream": "yes"}, "invalid_type", "stream"),
        ({"prompt": "x", "model": "dall-e-2", "image": "y"}, "unknown_parameter", "image"),
    ],
)
def test_unsupported_values_name_the_parameter(
    gateway: Gateway, fields: dict[str, object], code: str, param: str
) -> None:
    answer = ask(gateway.url, post(json.dumps(fields).encode()))

    check_refused(answer, 400, code=code, param=param)
    check_has_id(answer)


@pytest.mark.parametrize(
    "size", ["3008x3008", "800x800", "1024x1000", "3856x1024", "3072x960", "0x0", "٣x٣", "99999x16"]
)
def test_invalid_sizes_are_refused_as_by_the_provider(gateway: Gateway, size: str) -> None:
    """The messages of the rule have another type; text that is no size is an invalid value."""
    body = json.dumps({"prompt": "x", "model": "gpt-image-2", "size": size}).encode()

    error = ask(gateway.url, post(body)).json()["error"]

    assert (error["param"], error["code"]) == ("size", "invalid_value")
    assert error["type"] in {"image_generation_user_error", "invalid_request_error"}


@pytest.mark.parametrize(
    "model", ["dall-e-4", "gpt-4o", "DALL-E-3", "a" * 10_000, "../etc/passwd", "dall-e-3\u0000"]
)
def test_an_unknown_model_is_a_400_on_model(gateway: Gateway, model: str) -> None:
    answer = ask(gateway.url, post(json.dumps({"prompt": "x", "model": model}).encode()))

    message = check_refused(
        answer, 400, code="invalid_value", param="model", kind="image_generation_user_error"
    )
    assert message.startswith(f"The model '{model[:100]}' does not exist.")
    assert len(message) < 300


@pytest.mark.parametrize(
    ("model", "limit"), [("dall-e-2", 32_000), ("dall-e-3", 32_000), ("gpt-image-2", 32_000)]
)
def test_the_refusal_of_a_long_prompt_has_both_lengths_and_no_prompt(
    gateway: Gateway, model: str, limit: int
) -> None:
    """A retired model takes what its replacement takes."""
    body = json.dumps({"model": model, "prompt": "secret " * 10_000}).encode()

    message = check_refused(ask(gateway.url, post(body)), 400, code="string_above_max_length", param="prompt")

    assert message.endswith(f"maximum length {limit}, but got a string with length 70000 instead.")
    assert "secret" not in message


def test_the_last_of_two_equal_keys_counts(gateway: Gateway) -> None:
    """RFC 8259 leaves it open; most parsers, and the provider's, take the last."""
    answer = ask(gateway.url, post(b'{"prompt": "x", "n": 1, "n": 0}'))

    check_refused(answer, 400, code="integer_below_min_value", param="n")


@pytest.mark.parametrize(
    "field",
    [
        None,
        "Content-Type:",
        "Content-Type: text/plain",
        "Content-Type: application/x-www-form-urlencoded",
        "Content-Type: multipart/form-data; boundary=x",
        "Content-Type: application/jsonp",
        "Content-Type: application/json-patch+json",
        "Content-Type: text/plain; a=application/json",
    ],
)
def test_another_content_type_is_a_415(gateway: Gateway, field: str | None) -> None:
    """A page of another origin can send text/plain without asking: it must not be able to spend."""
    body = b'{"prompt": "x"}'
    lines = ["POST /v1/images/generations HTTP/1.1", "Host: gateway", f"Content-Length: {len(body)}"]
    request = "\r\n".join([*lines, *([field] if field else [])]).encode() + b"\r\n\r\n" + body

    with Connection(gateway.url) as connection:
        connection.send(request)
        answer = connection.read_answer()

        check_refused(answer, 415, code="unsupported_media_type")
        check_has_id(answer)
        check_goes_on(connection)


@pytest.mark.parametrize(
    "media_type", ["application/json", "Application/JSON", "application/json; charset=utf-8"]
)
def test_every_json_content_type_is_accepted(gateway: Gateway, media_type: str) -> None:
    request = post(b'{"n": 1}').replace(b"application/json", media_type.encode())

    check_refused(ask(gateway.url, request), 400, code="missing_required_parameter", param="prompt")


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "0", "abc", "", "1e999", "1,5", "0x10", "1_0"])
def test_an_invalid_timeout_is_refused(gateway: Gateway, value: str) -> None:
    answer = ask(gateway.url, post(b'{"prompt": "x"}', f"x-request-timeout-s: {value}"))

    check_refused(answer, 400, code="invalid_value")
