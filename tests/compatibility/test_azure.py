"""Azure's clients, as they call Azure: a deployment in the path, `api-version`, a key that counts in `api-key`."""

from collections.abc import Callable, Iterator

import pytest

from tests.compatibility.client import Client, Observation
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
from tests.compatibility.servers import Provider
from tests.http.offices import Office, open_office

# The first test of a client waits for its imports, which take long where all cores are busy.
pytestmark = [pytest.mark.clients, pytest.mark.timeout(240)]

STREAMING = (PYTHON_3, PYTHON_2, PYTHON_1, NODE, NODE_6, NODE_5)
SDKS = (*STREAMING, NODE_4)
FRAMEWORKS = (AI_SDK, LITELLM, SEMANTIC_KERNEL)
Observe = Callable[[str], Observation]


@pytest.fixture(scope="module")
def office(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """A gateway that needs keys."""
    there = {"openai_base_url": f"{provider.url}/v1", "openai_api_key": "sk-provider", "sandbox": "false"}
    with open_office(tmp_path_factory.mktemp("azure"), **there) as running:
        yield running


@pytest.fixture
def observe(client: Client, office: Office) -> Observe:
    """Have the client do something with a key of its own; returns what it saw."""
    key = office.create_key()["key"]
    return lambda operation: client.observe(operation, office.gateway.url, key=key)


@clients(*SDKS)
def test_a_deployment_is_a_model(observe: Observe) -> None:
    """Azure: generate, by deployment"""
    observed = observe("azure generate")

    assert_dalle_answer(observed, count=1, size=(1024, 1024), revised=True)


@clients(*FRAMEWORKS)
def test_frameworks_generate_by_deployment(observe: Observe) -> None:
    """Azure: generate, by deployment"""
    observed = observe("azure generate")

    assert_pictures(observed, count=1)


@clients(*STREAMING)
def test_deployments_stream(observe: Observe) -> None:
    """Azure: stream, by deployment"""
    observed = observe("azure stream")

    assert_events(observed["events"], "image_generation", partial=1, completed=1)


@clients(*SDKS)
def test_a_deployment_edits(observe: Observe) -> None:
    """Azure: edit, by deployment"""
    observed = observe("azure edit")

    assert_gpt_image_answer(observed)


@clients(*FRAMEWORKS)
def test_frameworks_edit_by_deployment(observe: Observe) -> None:
    """Azure: edit, by deployment"""
    observed = observe("azure edit")

    assert_pictures(observed, count=1)


@clients(*SDKS)
def test_the_deployment_of_the_client_decides(observe: Observe) -> None:
    """Azure: deployment of the client, another model in the call"""
    observed = observe("azure deployment")

    assert_dalle_answer(observed, count=1, size=(1024, 1024), revised=True)


@clients(*SDKS)
def test_a_token_takes_the_place_of_the_key(observe: Observe) -> None:
    """Azure: token of Entra ID in place of the key"""
    observed = observe("azure token")

    assert_dalle_answer(observed, count=1, size=(1024, 1024), revised=True)


@clients(*SDKS)
def test_models_are_listed_at_azures_path(observe: Observe) -> None:
    """Azure: models"""
    models = observe("azure models")["models"]

    assert {"dall-e-3", "gpt-image-2"} <= {model["id"] for model in models}


@clients(*SDKS)
def test_an_unknown_deployment_is_named(observe: Observe) -> None:
    """Azure: unknown deployment"""
    observed = observe("azure unknown deployment")

    error = assert_error(observed, **{"class": "BadRequestError"}, status=400, param="model")
    assert "no-such-deployment" in error["message"]


@clients(*SDKS)
def test_the_current_api_needs_no_client_of_its_own(observe: Observe) -> None:
    """Azure: `/openai/v1`, `api-version=preview`"""
    observed = observe("azure v1")

    assert_dalle_answer(observed, count=1, size=(1024, 1024), revised=True)


@clients(AI_SDK)
def test_the_ai_sdk_calls_the_current_api(observe: Observe) -> None:
    """Azure: `/openai/v1`, `api-version=preview`"""
    observed = observe("azure v1")

    assert_pictures(observed, count=1)
