"""Generate clients in three languages, compile them strictly, and call each operation through its types."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.sdks.compile import (
    compile_oazapfts,
    compile_openapi_fetch,
    compile_orval,
    compile_swagger_typescript_api,
)
from tests.sdks.conftest import SDKS_DIRECTORY, Outcome
from tests.sdks.pins import release

pytestmark = [pytest.mark.sdks, pytest.mark.timeout(480)]
Observe = Callable[[str], dict[str, Any]]
PNG_HEAD = "89504e470d0a1a0a"
ONLY_COMPILED = {
    f"TypeScript, {release('openapi-typescript')} and {release('openapi-fetch')}": compile_openapi_fetch,
    f"TypeScript, {release('orval')}": compile_orval,
    f"TypeScript, {release('oazapfts')}": compile_oazapfts,
    f"TypeScript, {release('swagger-typescript-api')}": compile_swagger_typescript_api,
}


def test_a_client_that_runs_compiles_strictly(
    outcome: Outcome, record_property: Callable[[str, object], None]
) -> None:
    """Compile: strictly, with a typed caller"""
    record_property("client", outcome.sdk.label)

    assert outcome.fault is None


@pytest.mark.parametrize("label", ONLY_COMPILED)
def test_a_client_compiles_strictly(
    label: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Compile: strictly, with a typed caller"""
    record_property("client", label)

    ONLY_COMPILED[label](tmp_path)


def test_the_project_of_maven_is_ours() -> None:
    project = (SDKS_DIRECTORY / "java" / "pom.xml").read_text("utf-8")
    licenses = re.findall(r"<license>\s*<name>(.*)</name>", project)

    assert licenses == ["Apache-2.0"]
    head = project.partition("<build>")[0].lower()
    assert "openapitools" not in head
    assert "openapi-generator" not in head


def test_the_lines_of_the_readme_make_an_image(observe: Observe) -> None:
    """README: its five lines"""
    assert observe("readme")["told"].count("/v1/images/files/") == 1


def test_four_images_are_generated(observe: Observe) -> None:
    """Generate: n=4"""
    urls = observe("generate")["urls"]

    assert len(set(urls)) == 4


def test_images_are_edited(observe: Observe) -> None:
    """Edit: two files and a mask, n=2"""
    observed = observe("edit")

    assert observed["heads"] == [PNG_HEAD] * 2
    assert observed["tokens"] > 0


def test_an_image_is_varied(observe: Observe) -> None:
    """Vary: n=2"""
    assert len(set(observe("vary")["urls"])) == 2


@pytest.mark.parametrize(
    ("operation", "prefix"), [("stream", "image_generation"), ("stream edit", "image_edit")]
)
def test_events_are_streamed(observe: Observe, operation: str, prefix: str) -> None:
    """Stream: generation and edit, with a stage"""
    observed = observe(operation)

    assert observed["types"] == [f"{prefix}.partial_image", f"{prefix}.completed"]
    assert observed["tokens"] > 0


@pytest.mark.parametrize(
    ("fault", "status", "message"),
    [("wrong key", 401, "Incorrect API key"), ("wrong size", 400, "Invalid size")],
)
def test_a_refused_stream_raises_once(observe: Observe, fault: str, status: int, message: str) -> None:
    """Stream: a refusal raises status and message, without a repeat"""
    refusal = observe("refused stream")[fault]

    assert refusal["status"] == status, refusal
    assert message in refusal["message"]
    assert observe("refused stream")["requests"] == 2


def test_a_stream_without_a_gateway_raises(observe: Observe) -> None:
    """Stream: a gateway that is not there raises"""
    told = observe("unreachable stream")["told"]

    assert any(name in told for name in ("ConnectError", "fetch failed", "ConnectException")), told


def test_models_are_listed(observe: Observe) -> None:
    """List models"""
    models = observe("models")["models"]

    assert models["dall-e-3"] == "2026-05-12"
    assert {"gpt-image-2", "dall-e-2"} < set(models)


def test_a_model_is_described(observe: Observe) -> None:
    """Describe a model: sizes and values"""
    observed = observe("details")

    assert (observed["answered_by"], observed["multiple"]) == ("gpt-image-2.6-flare", 16)
    assert observed["qualities"][:2] == ["standard", "hd"]


def test_an_order_is_estimated(observe: Observe) -> None:
    """Estimate: price, limits and refusal"""
    observed = observe("estimate")

    assert observed["microusd"] > 0
    assert "images_per_min" in observed["limits"]
    assert observed["refused_by"] == "n"


def test_usage_is_read(observe: Observe, outcome: Outcome) -> None:
    """Read usage"""
    observed = observe("usage")

    assert observed["team"] == outcome.team
    assert observed["images"] >= 10


def test_a_limit_is_typed(observe: Observe) -> None:
    """Limit: 429 with `Retry-After`"""
    observed = observe("limit")

    assert (observed["status"], observed["code"]) == (429, "rate_limit_exceeded")
    assert 1 <= observed["retry_after"] <= 60


def test_an_image_is_downloaded_by_its_link(observe: Observe) -> None:
    """Download: an image by its link"""
    assert observe("download") == {"head": PNG_HEAD, "kind": "image/png"}


def test_an_admin_makes_and_revokes_a_key(observe: Observe, outcome: Outcome) -> None:
    """Administer: make a key, revoke it"""
    observed = observe("administer")

    assert observed["id"]
    assert observed["user"] == f"made-by-{outcome.sdk.language}"
    assert observed["revoked"] is True


def test_a_large_budget_comes_back(observe: Observe) -> None:
    """Administer: a budget of $25,000 comes back"""
    assert observe("budget") == {"put": 25_000_000_000, "listed": 25_000_000_000}
