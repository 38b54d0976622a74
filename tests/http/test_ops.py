"""Read health, metrics, models and documents."""

import re
import shutil
import subprocess

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.domain.catalog import parse_catalog
from tests.contract.published import published
from tests.http.house import check_error, until
from tests.processes import REPOSITORY


def test_liveness_and_readiness(client: httpx.Client) -> None:
    until(lambda: client.get("/readyz?verbose").json()["provider"] != "unknown")
    live, ready, verbose = (client.get(path) for path in ("/livez", "/readyz", "/readyz?verbose"))

    assert (live.status_code, live.json()) == (200, {"status": "ok"})
    assert (ready.status_code, ready.json()) == (200, {"status": "ok"})
    rows = verbose.json()
    assert set(rows.pop("details")["provider"]) == {"since"}
    assert rows == {"status": "ok", "state": "ok", "store": "ok", "provider": "ok", "journal": "ok"}


@pytest.mark.parametrize(
    ("query", "is_verbose"),
    [("", False), ("?verbose=false", False), ("?verbose=true", True), ("?verbose=", True)],
)
def test_conditions_are_told_on_request(client: httpx.Client, query: str, is_verbose: bool) -> None:
    assert ("details" in client.get(f"/readyz{query}").json()) is is_verbose


def test_a_verbosity_that_is_none_is_refused(client: httpx.Client) -> None:
    check_error(client.get("/readyz?verbose=perhaps"), 400, code="invalid_value", param="verbose")


def test_metrics_are_what_prometheus_reads(client: httpx.Client, prompt: str) -> None:
    client.post("/v1/images/generations", json={"prompt": prompt, "model": "dall-e-3", "n": 2})
    client.post("/v1/images/generations", json={"prompt": prompt, "model": "dall-e-3", "n": 2})

    answer = client.get("/metrics")

    assert answer.headers["content-type"].startswith("text/plain; version=")
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    ours = {name for name in families if name.startswith("imagegw_")}
    assert ours >= {
        "imagegw_http_requests",
        "imagegw_http_request_duration_seconds",
        "imagegw_orders",
        "imagegw_images_delivered",
        "imagegw_images_made",
        "imagegw_upstream_attempts",
        "imagegw_limit_decisions",
        "imagegw_in_flight",
    }
    sources = {sample.labels["source"] for sample in families["imagegw_images_delivered"].samples}
    assert sources >= {"made", "hit"}
    assert all(family.documentation for name, family in families.items() if name in ours)
    assert families["imagegw_in_flight"].samples
    assert {sample.value for sample in families["imagegw_in_flight"].samples} == {0.0}


def test_metrics_satisfy_promtool(client: httpx.Client) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")

    checked = subprocess.run(
        [promtool, "check", "metrics"], input=client.get("/metrics").content, capture_output=True, check=False
    )

    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_callers_cannot_create_metric_labels(client: httpx.Client) -> None:
    before = count_series(client)
    for number in range(50):
        client.get(f"/made-up/{number}")
        client.request(f"MADEUP{number}", "/livez")
        client.get(f"/v1/models/made-up-{number}")
        client.get(f"/v1/images/files/made-up-{number}")
        client.post("/v1/images/generations", json={"prompt": "x", "model": f"made-up-{number}"})

    assert count_series(client) - before < 60
    assert "made-up" not in client.get("/metrics").text


def count_series(client: httpx.Client) -> int:
    return sum(not line.startswith("#") for line in client.get("/metrics").text.splitlines())


def test_the_list_has_the_models_of_the_catalogue(client: httpx.Client) -> None:
    catalog = parse_catalog((REPOSITORY / "service/domain/models.toml").read_text("utf-8"))

    body = client.get("/v1/models").json()

    assert body["object"] == "list"
    models = {model["id"]: model for model in body["data"]}
    assert set(models) == set(catalog.models)
    assert all(
        set(model) == {"id", "object", "created", "owned_by", "shutdown_date"} for model in body["data"]
    )
    assert models["dall-e-3"]["shutdown_date"] == "2026-05-12"
    assert models["gpt-image-2"]["shutdown_date"] is None
    for path in ("/v1/models/dall-e-3", "/v1/models/dall-e-3/"):
        assert client.get(path).json() == models["dall-e-3"]


@pytest.mark.parametrize("name", ["made-up", "org%2Fgpt%20image", "a/b/c", "dall-e-3/standard", "a" * 5000])
def test_an_unknown_model_is_a_404(client: httpx.Client, name: str) -> None:
    """Unlike in an order, where the provider answers 400."""
    answer = client.get(f"/v1/models/{name}")

    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (404, "model_not_found", "model")
    assert len(error["message"]) < 250


def test_the_page_loads_no_foreign_files(client: httpx.Client) -> None:
    page = client.get("/")

    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["content-security-policy"].startswith("default-src 'self'")
    assert "http://" not in page.text
    assert "https://" not in page.text
    for path, media_type in (("/playground.js", "text/javascript"), ("/playground.css", "text/css")):
        assert path in page.text
        part = client.get(path)
        assert (part.status_code, part.headers["content-type"]) == (200, f"{media_type}; charset=utf-8")


def test_the_docs_load_no_foreign_files(client: httpx.Client) -> None:
    """A company's network may have no way out: by their policy not even a browser could ask."""
    page = client.get("/docs")

    assert page.headers["content-type"].startswith("text/html")
    assert "//" not in page.headers["content-security-policy"]
    assert page.headers["content-security-policy"].startswith("default-src 'self';")
    assert "//" not in page.text
    parts = re.findall(r'(?:src|href)="(/docs/[^"]+)"', page.text)
    assert len(parts) == 3
    for path in parts:
        part = client.get(path)
        kind = "text/css" if path.endswith(".css") else "text/javascript"
        assert (part.status_code, part.headers["content-type"]) == (200, f"{kind}; charset=utf-8")
        assert part.content
    assert "SwaggerUIBundle" in client.get("/docs/swagger-ui-bundle.js").text
    assert '"/openapi.json"' in client.get("/docs/docs.js").text


def test_docs_and_the_openapi_document_are_served(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()

    assert document == published()
    operations = {
        operation["operationId"] for path in document["paths"].values() for operation in path.values()
    }
    assert operations >= {
        "createImage",
        "getImageFile",
        "listModels",
        "getModel",
        "getLiveness",
        "getReadiness",
    }


def test_every_answer_has_a_request_id(client: httpx.Client) -> None:
    paths = (
        "/",
        "/docs",
        "/openapi.json",
        "/livez",
        "/readyz",
        "/metrics",
        "/v1/models",
        "/nowhere",
        "/livez/",
    )

    ids = [client.get(path).headers["x-request-id"] for path in paths]

    assert len(set(ids)) == len(paths)
