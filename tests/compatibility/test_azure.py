"""Azure's clients, as they call Azure: a deployment in the path, `api-version`, the key in `api-key`."""

import pytest

from tests.compatibility.client import Client
from tests.compatibility.conftest import clients
from tests.compatibility.expectations import (
    assert_dalle_answer,
    assert_error,
    assert_events,
    assert_gpt_image_answer,
    assert_pictures,
)
from tests.compatibility.pins import (
    AI_SDK,
    LITELLM,
    NODE,
    NODE_4,
    NODE_5,
    NODE_6,
    PYTHON_1,
    PYTHON_2,
    PYTHON_3,
    SEMANTIC_KERNEL,
)
from tests.processes import Gateway

pytestmark = pytest.mark.clients

STREAMING = (PYTHON_3, PYTHON_2, PYTHON_1, NODE, NODE_6, NODE_5)
SDKS = (*STREAMING, NODE_4)
FRAMEWORKS = (AI_SDK, LITELLM, SEMANTIC_KERNEL)


@clients(*SDKS)
def test_a_deployment_is_a_model(client: Client, gateway: Gateway) -> None:
    """Azure: generate, by deployment"""
    observed = client.observe("azure generate", gateway.url)

    assert_dalle_answer(observed, count=1, size=(1024, 1024), revised=True)


@clients(*FRAMEWORKS)
def test_frameworks_generate_by_deployment(client: Client, gateway: Gateway) -> None:
    """Azure: generate, by deployment"""
    observed = client.observe("azure generate", gateway.url)

    assert_pictures(observed, count=1)


@clients(*STREAMING)
def test_deployments_stream(client: Client, gateway: Gateway) -> None:
    """Azure: stream, by deployment"""
    observed = client.observe("azure stream", gateway.url)

    assert_events(observed["events"], "image_generation", partial=1, completed=1)


@clients(*SDKS)
def test_a_deployment_edits(client: Client, gateway: Gateway) -> None:
    """Azure: edit, by deployment"""
    observed = client.observe("azure edit", gateway.url)

    assert_gpt_image_answer(observed)


@clients(*FRAMEWORKS)
def test_frameworks_edit_by_deployment(client: Client, gateway: Gateway) -> None:
    """Azure: edit, by deployment"""
    observed = client.observe("azure edit", gateway.url)

    assert_pictures(observed, count=1)


@clients(*SDKS)
def test_the_deployment_of_the_client_decides(client: Client, gateway: Gateway) -> None:
    """Azure: deployment of the client, another model in the call"""
    observed = client.observe("azure deployment", gateway.url)

    assert_dalle_answer(observed, count=1, size=(1024, 1024), revised=True)


@clients(*SDKS)
def test_a_token_takes_the_place_of_the_key(client: Client, gateway: Gateway) -> None:
    """Azure: token of Entra ID in place of the key"""
    observed = client.observe("azure token", gateway.url)

    assert_dalle_answer(observed, count=1, size=(1024, 1024), revised=True)


@clients(*SDKS)
def test_models_are_listed_at_azures_path(client: Client, gateway: Gateway) -> None:
    """Azure: models"""
    models = client.observe("azure models", gateway.url)["models"]

    assert {"dall-e-3", "gpt-image-2"} <= {model["id"] for model in models}


@clients(*SDKS)
def test_an_unknown_deployment_is_named(client: Client, gateway: Gateway) -> None:
    """Azure: unknown deployment"""
    observed = client.observe("azure unknown deployment", gateway.url)

    error = assert_error(observed, **{"class": "BadRequestError"}, status=400, param="model")
    assert "no-such-deployment" in error["message"]


@clients(*SDKS)
def test_the_current_api_needs_no_client_of_its_own(client: Client, gateway: Gateway) -> None:
    """Azure: `/openai/v1`, `api-version=preview`"""
    observed = client.observe("azure v1", gateway.url)

    assert_dalle_answer(observed, count=1, size=(1024, 1024), revised=True)


@clients(AI_SDK)
def test_the_ai_sdk_calls_the_current_api(client: Client, gateway: Gateway) -> None:
    """Azure: `/openai/v1`, `api-version=preview`"""
    observed = client.observe("azure v1", gateway.url)

    assert_pictures(observed, count=1)
