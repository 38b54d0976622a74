"""Frameworks for applications with language models, as an application or an agent calls them."""

from uuid import uuid4

import pytest

from tests.compatibility.client import Client
from tests.compatibility.conftest import clients
from tests.compatibility.expectations import assert_pictures
from tests.compatibility.pins import (
    AI_SDK,
    HAYSTACK,
    LANGCHAIN,
    LANGCHAIN_JS,
    LITELLM,
    LLAMA_INDEX,
    SEMANTIC_KERNEL,
)
from tests.compatibility.servers import Provider
from tests.processes import Gateway

# The first test of a client waits for its imports, which take long where all cores are busy.
pytestmark = [pytest.mark.clients, pytest.mark.timeout(240)]

EVERY = (AI_SDK, LANGCHAIN_JS, LANGCHAIN, LLAMA_INDEX, LITELLM, HAYSTACK, SEMANTIC_KERNEL)


@clients(AI_SDK, LANGCHAIN_JS, LANGCHAIN, LLAMA_INDEX, LITELLM, SEMANTIC_KERNEL)
def test_dalle_3_makes_one(client: Client, gateway: Gateway) -> None:
    """Frameworks: dall-e-3, one image"""
    observed = client.observe("one", gateway.url)

    (picture,) = assert_pictures(observed, count=1)
    assert picture.size == (1024, 1024)


@clients(LANGCHAIN_JS, LLAMA_INDEX)
def test_dalle_3_makes_base64(client: Client, gateway: Gateway) -> None:
    """Frameworks: dall-e-3, as base64"""
    observed = client.observe("base64", gateway.url)

    assert_pictures(observed, count=1)


@clients(AI_SDK, LITELLM, HAYSTACK, SEMANTIC_KERNEL)
def test_gpt_image_is_made(client: Client, gateway: Gateway) -> None:
    """Frameworks: gpt-image-2, with the parameters that it has there"""
    observed = client.observe("gpt-image", gateway.url)

    assert_pictures(observed, count=1 if client.pin is HAYSTACK else 2)


@clients(LANGCHAIN, LITELLM, SEMANTIC_KERNEL)
def test_three_in_one_call_differ(client: Client, gateway: Gateway) -> None:
    """Frameworks: dall-e-3, three images, all different"""
    observed = client.observe("three", gateway.url)

    assert_pictures(observed, count=3)


@clients(AI_SDK, LANGCHAIN_JS)
def test_three_calls_at_once_differ(client: Client, gateway: Gateway, provider: Provider) -> None:
    """Frameworks: dall-e-3, three images, all different"""
    prompt = f"a pier {uuid4().hex}"

    observed = client.observe("three", gateway.url, prompt)

    assert_pictures(observed, count=3)
    # They ask three times for one, and each is paid once.
    assert len(provider.orders(prompt)) == 3


@clients(AI_SDK, LITELLM, SEMANTIC_KERNEL)
def test_an_image_is_edited(client: Client, gateway: Gateway, provider: Provider) -> None:
    """Frameworks: edit, with a mask"""
    prompt = f"the same at night {uuid4().hex}"

    observed = client.observe("edit", gateway.url, prompt)

    assert_pictures(observed, count=1)
    (order,) = provider.orders(prompt)
    assert [part["field"].partition("[")[0] for part in order["inputs"]] == ["image", "mask"]


@clients(AI_SDK)
def test_an_edit_is_moderated(client: Client, gateway: Gateway) -> None:
    """Frameworks: edit, with `moderation`"""
    observed = client.observe("edit moderated", gateway.url)

    assert_pictures(observed, count=1)


@clients(LANGCHAIN_JS, LANGCHAIN, LLAMA_INDEX)
def test_dalle_2_ignores_what_it_never_had(client: Client, gateway: Gateway) -> None:
    """Frameworks: dall-e-2, with the `style` or `quality` that they always send"""
    observed = client.observe("unusual", gateway.url)

    (picture,) = assert_pictures(observed, count=1)
    assert picture.size == (512, 512)


@clients(LITELLM)
def test_variations_are_made(client: Client, gateway: Gateway) -> None:
    """Frameworks: variation"""
    observed = client.observe("vary", gateway.url)

    assert_pictures(observed, count=1)


@clients(*EVERY)
def test_a_refusal_reaches_the_application(client: Client, gateway: Gateway, provider: Provider) -> None:
    """Frameworks: refused prompt, told once and in its own words"""
    prompt = f"forbidden-word {uuid4().hex}"

    error = client.observe("refused", gateway.url, prompt)["error"]

    assert error["status"] == 400
    assert "safety" in error["message"]
    assert len(provider.orders(prompt)) == 1
