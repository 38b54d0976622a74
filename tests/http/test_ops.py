"""Read health, metrics, models and documents."""

import re
import secrets
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from service.domain.models_file import parse_catalog
from tests.contract.published import published
from tests.http.house import check_error, until
from tests.processes import REPOSITORY

KINDS = {".css": "text/css", ".js": "text/javascript", ".json": "application/json", ".svg": "image/svg+xml"}
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
TEXT = "text/plain; version=0.0.4; charset=utf-8"
PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,*/*;q=0.1"
)


def test_liveness_and_readiness(client: httpx.Client) -> None:
    until(lambda: client.get("/readyz?verbose").json()["provider"] != "unknown")
    live, ready, verbose = (client.get(path) for path in ("/livez", "/readyz", "/readyz?verbose"))

    assert (live.status_code, live.json()) == (200, {"status": "ok"})
    assert (ready.status_code, ready.json()) == (200, {"status": "ok"})
    rows = verbose.json()
    details = rows.pop("details")
    parts = ("state", "store", "provider", "journal", "queue", "clock", "disk")
    assert rows == {"status": "ok", **dict.fromkeys(parts, "ok")}
    # Since when, and no advice where there is nothing to do.
    assert [set(details[name]) for name in parts] == [{"since"}] * len(parts)


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

    assert answer.headers["content-type"] == TEXT
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
        "imagegw_redis_up",
        "imagegw_build_info",
    }
    assert families["imagegw_redis_up"].samples[0].value == 1.0
    trips = {sample.labels["operation"] for sample in families["imagegw_redis_request_seconds"].samples}
    assert {"begin", "finish", "beat"} <= trips
    stored = {sample.labels["operation"] for sample in families["imagegw_store_request_seconds"].samples}
    assert "write" in stored
    sent = {sample.labels["route"]: sample.value for sample in families["imagegw_http_sent_bytes"].samples}
    assert sent["/v1/images/generations"] > 100
    sources = {sample.labels["source"] for sample in families["imagegw_images_delivered"].samples}
    assert sources >= {"made", "hit"}
    assert all(family.documentation for name, family in families.items() if name in ours)
    assert families["imagegw_in_flight"].samples
    assert {sample.value for sample in families["imagegw_in_flight"].samples} == {0.0}


@pytest.mark.parametrize(
    ("accepted", "media_type"),
    [
        (PROMETHEUS_2, OPENMETRICS),
        (PROMETHEUS_3, OPENMETRICS),
        ("application/openmetrics-text;version=1.x", OPENMETRICS),
        ("text/plain, application/openmetrics-text", TEXT),
        ("application/openmetrics-text;q=0", TEXT),
        ("*/*", TEXT),
        ("", TEXT),
    ],
)
def test_the_format_of_metrics_is_negotiated(client: httpx.Client, accepted: str, media_type: str) -> None:
    answer = client.get("/metrics", headers={"accept": accepted})

    assert answer.headers["content-type"] == media_type
    families = {family.name for family in text_string_to_metric_families(answer.text)}
    if "openmetrics" in media_type:
        assert answer.text.endswith("\n# EOF\n")
        families = {family.name for family in parse_openmetrics(answer.text)}
    assert {"imagegw_redis_up", "imagegw_http_requests", "process_resident_memory_bytes"} <= families


def test_the_trace_of_a_caller_is_an_exemplar(client: httpx.Client) -> None:
    recorded, other = (secrets.token_hex(16) for _ in range(2))
    for trace_id, flags in ((recorded, "01"), (other, "00")):
        client.get("/v1/models", headers={"traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-{flags}"})

    text = client.get("/metrics", headers={"accept": PROMETHEUS_3}).text

    durations = next(
        family for family in parse_openmetrics(text) if family.name == "imagegw_http_request_duration_seconds"
    )
    exemplars = [
        (sample.labels["route"], sample.exemplar.labels) for sample in durations.samples if sample.exemplar
    ]
    assert ("/v1/models", {"trace_id": recorded}) in exemplars
    assert other not in text


def parse_openmetrics(text: str) -> list[Metric]:
    return list(openmetrics.text_string_to_metric_families(text))  # type: ignore[no-untyped-call]  # the client's own


def test_metrics_satisfy_promtool(client: httpx.Client) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")

    checked = subprocess.run(
        [promtool, "check", "metrics"], input=client.get("/metrics").content, capture_output=True, check=False
    )

    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


@pytest.mark.parametrize(
    "rounds",
    [20, pytest.param(1700, marks=[pytest.mark.slow, pytest.mark.timeout(300)])],
    ids=["120-requests", "10200-requests"],
)
def test_callers_cannot_create_metric_labels(client: httpx.Client, prompt: str, rounds: int) -> None:
    """The first requests of a kind may add series, of an image that is made and then a hit; no other does."""
    list_series(client)
    for name in ("first", "second"):
        send_odd_requests(client, prompt, name)
    before = list_series(client)
    for _ in range(rounds):
        send_odd_requests(client, prompt, f"odd-{secrets.token_hex(8)}")

    # Round trips of background loops may come for the first time.
    added = {each for each in list_series(client) - before if not each.startswith("imagegw_redis_request")}
    assert added == set()
    assert "odd-" not in client.get("/metrics").text


def send_odd_requests(client: httpx.Client, prompt: str, name: str) -> None:
    client.get(f"/{name}/{name}")
    client.request(f"X{name.upper()}", "/livez")
    client.get(f"/v1/models/{name}")
    client.get(f"/v1/images/files/{name}")
    order = {"prompt": prompt, "model": "dall-e-3"}
    client.post("/v1/images/generations", json={**order, "model": name})
    headers = {"x-request-id": name, "user-agent": name, "traceparent": name, "openai-organization": name}
    client.post("/v1/images/generations", json={**order, "user": name}, headers=headers)


def list_series(client: httpx.Client) -> set[str]:
    """Return the names and labels of all series."""
    lines = client.get("/metrics").text.splitlines()
    return {line.rpartition(" ")[0] for line in lines if not line.startswith("#")}


def test_the_list_has_the_models_of_the_catalogue(client: httpx.Client) -> None:
    catalog = parse_catalog((REPOSITORY / "service/domain/models.toml").read_text("utf-8"))

    body = client.get("/v1/models").json()

    assert body["object"] == "list"
    models = {model["id"]: model for model in body["data"]}
    assert set(models) == set(catalog.models)
    assert all(
        set(model) == {"id", "object", "created", "owned_by", "shutdown_date", "answered_by"}
        for model in body["data"]
    )
    assert models["dall-e-3"]["shutdown_date"] == "2026-05-12"
    assert models["gpt-image-2"]["shutdown_date"] is None
    for path in ("/v1/models/dall-e-3", "/v1/models/dall-e-3/"):
        assert client.get(path).json().items() >= models["dall-e-3"].items()


@pytest.mark.parametrize("name", ["made-up", "org%2Fgpt%20image", "a/b/c", "dall-e-3/standard", "a" * 5000])
def test_an_unknown_model_is_a_404(client: httpx.Client, name: str) -> None:
    """Unlike in an order, where the provider answers 400."""
    answer = client.get(f"/v1/models/{name}")

    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (404, "model_not_found", "model")
    assert len(error["message"]) < 250


def test_the_docs_load_no_foreign_files(client: httpx.Client) -> None:
    """A company's network may have no way out: by their policy not even a browser could ask."""
    page = client.get("/docs")

    assert page.headers["content-type"].startswith("text/html")
    assert "//" not in page.headers["content-security-policy"]
    assert page.headers["content-security-policy"].startswith("default-src 'self';")
    assert "//" not in page.text
    parts = re.findall(r'(?:src|href)="(/[^"]+)"', page.text)
    assert len(parts) == 7
    for path in parts:
        part = client.get(path)
        assert part.status_code == 200
        assert part.headers["content-type"].startswith(KINDS[Path(path).suffix])
        assert part.content
    assert "SwaggerUIBundle" in client.get("/docs/swagger-ui-bundle.js").text
    assert '"/openapi.json"' in client.get("/web/docs/main.js").text


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
