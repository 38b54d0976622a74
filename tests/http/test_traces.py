"""Send the spans of real orders to a real receiver: what a trace has in it, and what it must not have."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from service.settings.problems import SettingsError
from service.settings.variables import Settings
from service.wiring.traces import check_traces
from tests.collector import Collector, Received, run_collector
from tests.http.conftest import SandboxJournal
from tests.http.house import GENERATIONS, until
from tests.http.tenants import Tenants, follow, open_tenants
from tests.processes import REPOSITORY, Gateway, free_port, run_gateway

SERVER, CLIENT = 2, 3
"""Kinds of spans in OTLP."""
ORDER = "POST /v1/images/generations"
ATTEMPT = "generate_content gpt-image-2"
OFTEN = {"traces": "otlp", "otel_bsp_schedule_delay": 50}
MARK = "mark8f3a"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with run_collector() as collector:
        yield collector


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[Tenants]:
    """A gateway that asks for keys and sends its spans to *collector*."""
    directory = tmp_path_factory.mktemp("traced")
    settings = {
        **OFTEN,
        "otel_exporter_otlp_endpoint": collector.url,
        "openai_api_key": f"sk-provider-{MARK}",
        "admin_key": f"operator-key-{MARK}",
    }
    with open_tenants(directory, **settings) as tenants:
        yield tenants


@pytest.fixture
def client(traced: Tenants) -> Iterator[httpx.Client]:
    with traced.client("shop", f"user-{MARK}") as client:
        yield client


def context() -> tuple[str, str, dict[str, str]]:
    """Return a new trace, the span of its caller, and the header for both."""
    trace, span = uuid4().hex, uuid4().hex[:16]
    return trace, span, {"traceparent": f"00-{trace}-{span}-01"}


def is_answered(spans: list[Received]) -> bool:
    """Tell if the request's own span has come, which ends last."""
    return any(span.kind == SERVER for span in spans)


def named(spans: list[Received], name: str) -> list[Received]:
    return [span for span in spans if span.name == name]


def test_a_trace_goes_on_from_its_caller_to_the_provider(
    traced: Tenants, client: httpx.Client, collector: Collector
) -> None:
    trace, caller, header = context()
    prompt = f"a lighthouse {trace}"

    answer = client.post(GENERATIONS, json={"model": "dall-e-3", "prompt": prompt, "n": 2}, headers=header)

    assert answer.status_code == 200, answer.text
    spans = collector.wait_for(trace, is_answered)
    [request], [order], calls = (named(spans, name) for name in (ORDER, "order", "call"))
    attempts = [span for span in spans if span.name.startswith("generate_content ")]
    assert request.parent == caller
    assert order.parent == request.id
    assert [call.parent for call in calls] == [order.id] * 2
    assert {attempt.parent for attempt in attempts} == {call.id for call in calls}
    assert {attempt.kind for attempt in attempts} == {CLIENT}
    assert {span.parent for span in named(spans, "redis begin")} == {order.id}
    assert {span.parent for span in named(spans, "store write")} == {call.id for call in calls}
    assert {call.id for call in calls} <= {span.parent for span in named(spans, "redis finish")}
    sent = {entry["headers"]["traceparent"] for entry in traced.house.journal(prompt=prompt)}
    assert sent == {f"00-{trace}-{attempt.id}-01" for attempt in attempts}


def test_spans_tell_how_an_order_went(client: httpx.Client, collector: Collector) -> None:
    order = {"model": "gpt-image-2", "prompt": f"a kite {uuid4().hex}"}
    client.post(GENERATIONS, json=order).raise_for_status()
    trace, _, header = context()

    client.post(GENERATIONS, json={**order, "n": 2}, headers=header).raise_for_status()

    spans = collector.wait_for(trace, is_answered)
    [request], [ordered], [attempt] = (named(spans, name) for name in (ORDER, "order", ATTEMPT))
    assert request.values == {
        "http.request.method": "POST",
        "http.route": GENERATIONS,
        "http.response.status_code": 200,
    }
    assert ordered.values["imagegw.images.hit"] == ordered.values["imagegw.images.made"] == 1
    assert ordered.values["imagegw.model.asked"] == attempt.values["gen_ai.request.model"] == "gpt-image-2"
    assert attempt.values["imagegw.images.made"] == 1
    assert not any(span.is_error for span in spans)
    assert {resource["service.name"] for resource in collector.resources} == {"image-gateway"}


def test_each_attempt_is_a_span_with_its_failure(
    traced: Tenants, client: httpx.Client, collector: Collector
) -> None:
    trace, _, header = context()
    prompt = f"a wheel {trace}"
    failure = {"status": 500, "code": "server_error", "message": f"no {MARK}"}
    traced.house.behave(failures=[failure], failure_match=prompt)

    client.post(GENERATIONS, json={"model": "gpt-image-2", "prompt": prompt}, headers=header)

    failed, made = named(collector.wait_for(trace, is_answered), ATTEMPT)
    assert (failed.is_error, made.is_error) == (True, False)
    assert failed.values["error.type"] == "overloaded"
    assert failed.values["http.response.status_code"] == 500
    assert (failed.values["imagegw.is_retry"], made.values["imagegw.is_retry"]) == (False, True)
    assert [each.values["imagegw.key"] for each in (failed, made)] == ["key-1", "key-1"]


def test_a_refused_order_has_its_reason_and_no_call(
    traced: Tenants, client: httpx.Client, collector: Collector
) -> None:
    trace, _, header = context()
    order = {"model": "gpt-image-2", "prompt": f"{MARK} {trace}"}

    answer = client.post(GENERATIONS, json=order, headers={**header, "cache-control": "only-if-cached"})

    assert answer.status_code == 504
    spans = collector.wait_for(trace, is_answered)
    [request], [ordered] = named(spans, ORDER), named(spans, "order")
    assert (ordered.is_error, ordered.values["error.type"]) == (True, "NotCached")
    assert (request.is_error, request.values["error.type"]) == (True, "504")
    assert named(spans, "call") == []


def test_no_prompt_name_key_or_link_is_exported(
    traced: Tenants, client: httpx.Client, collector: Collector
) -> None:
    """Everything that a caller, an operator or the provider can write has the mark; no byte of it arrives."""
    _, _, header = context()
    headers = {
        **header,
        "tracestate": f"{MARK}={MARK}",
        "baggage": f"user={MARK}",
        "x-request-id": f"req-{MARK}",
        "user-agent": MARK,
        "idempotency-key": f"{MARK}-{uuid4().hex}",
    }
    prompt = f"{MARK} {uuid4().hex}"
    traced.house.behave(
        failures=[{"status": 400, "code": MARK, "message": f"{MARK} is refused"}],
        failure_match="refused",
    )
    orders = [
        {"prompt": prompt, "response_format": "url"},
        {"prompt": f"{prompt} refused"},
        {"prompt": prompt, "model": MARK},
        {"prompt": prompt, "size": MARK},
    ]

    answers = [
        client.post(
            GENERATIONS,
            json={"model": "dall-e-3", "user": MARK, **order},
            headers={**headers, "idempotency-key": f"{MARK}{number}{uuid4().hex}"},
        )
        for number, order in enumerate(orders)
    ]
    link = httpx.URL(answers[0].json()["data"][0]["url"])
    assert follow(link).status_code == 200
    client.get(f"/{MARK}?{MARK}={MARK}", headers=headers)
    httpx.get(
        f"{traced.house.gateway.url}/v1/models", headers={"authorization": f"Bearer {MARK}"}, trust_env=False
    )

    assert [answer.status_code for answer in answers] == [200, 400, 400, 400]
    trace, _, header = context()
    client.get("/v1/models", headers=header)
    # The exporter keeps the order of the ends, so the others have arrived, too.
    collector.wait_for(trace, is_answered)
    exported = b"".join(collector.bodies)
    assert len(collector.spans) > len(orders)
    for secret in (MARK, link.path.rpartition("/")[2], link.params["sig"], "sk-", "operator-key"):
        assert secret.encode() not in exported, secret


def test_the_log_line_and_the_exemplars_of_metrics_name_the_trace(
    traced: Tenants, client: httpx.Client, collector: Collector
) -> None:
    trace, _, header = context()
    order = {"model": "gpt-image-2", "prompt": uuid4().hex}

    answer = client.post(GENERATIONS, json=order, headers=header)

    collector.wait_for(trace, is_answered)
    lines = traced.house.gateway.log_lines("request")
    assert [line["request_id"] for line in lines if line.get("trace_id") == trace] == [
        answer.headers["x-request-id"]
    ]
    with traced.client_of(f"operator-key-{MARK}") as operator:
        metrics = operator.get("/metrics", headers={"accept": "application/openmetrics-text"}).text
    exemplars = [line.split("{")[0] for line in metrics.splitlines() if f'trace_id="{trace}"' in line]
    assert "imagegw_order_duration_seconds_bucket" in exemplars


def test_requests_without_a_context_have_a_trace_each(traced: Tenants, collector: Collector) -> None:
    """Also a pipelined one, which the request before it starts."""
    trace, _, header = context()
    head = f"GET /nowhere/{trace} HTTP/1.1\r\nhost: gateway\r\n"
    address = httpx.URL(traced.house.gateway.url)
    before = {span.trace for span in collector.spans}

    with socket.create_connection((address.host, address.port)) as connection:
        first = f"{head}traceparent: {header['traceparent']}\r\n\r\n"
        connection.sendall(f"{first}{head}\r\n{head}connection: close\r\n\r\n".encode())
        while connection.recv(65536):
            pass

    until(lambda: len({span.trace for span in collector.spans} - before) == 3)
    assert len(collector.of(trace)) == 1


def test_polled_routes_and_background_loops_make_no_spans(
    traced: Tenants, client: httpx.Client, collector: Collector
) -> None:
    before = len(collector.spans)
    for route in ("/livez", "/readyz", "/metrics"):
        client.get(route)
    trace, _, header = context()

    client.get("/v1/models", headers=header)

    collector.wait_for(trace, is_answered)
    assert [span.trace for span in collector.spans[before:] if span.kind == SERVER] == [trace]
    # Nor do the loops that ask Redis meanwhile.
    assert {span.kind for span in collector.spans if not span.parent} <= {SERVER}


def test_a_trace_that_its_caller_does_not_record_is_not_recorded(
    client: httpx.Client, collector: Collector
) -> None:
    unrecorded, (trace, _, header) = uuid4().hex, context()

    client.get("/v1/models", headers={"traceparent": f"00-{unrecorded}-{'1' * 16}-00"})
    client.get("/v1/models", headers=header)

    collector.wait_for(trace, is_answered)
    assert collector.of(unrecorded) == []


def test_a_dead_collector_harms_no_order(tmp_path: Path, journal: SandboxJournal) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    provider = {"openai_base_url": f"{journal.url}/v1", "openai_api_key": "sk-ours"}
    with run_gateway(tmp_path, **OFTEN, **provider, otel_exporter_otlp_endpoint=endpoint) as gateway:
        answer = httpx.post(
            f"{gateway.url}{GENERATIONS}",
            json={"model": "gpt-image-2", "prompt": uuid4().hex},
            trust_env=False,
            timeout=30,
        )

        assert answer.status_code == 200, answer.text
        until(lambda: "exporting spans batch" in gateway.log.read_text("utf-8"))
        assert gateway.stop() == 0


def test_a_hanging_collector_delays_no_order_and_no_end_and_takes_bounded_memory(tmp_path: Path) -> None:
    queue, batch, requests = 16, 8, 100
    bounds = {"otel_bsp_max_queue_size": queue, "otel_bsp_max_export_batch_size": batch}
    with run_collector() as collector:
        collector.answers.clear()
        # Without a bound of its own the end would wait for this.
        slow = {"otel_exporter_otlp_endpoint": collector.url, "otel_exporter_otlp_timeout": 600}
        with run_gateway(tmp_path, **OFTEN, **bounds, **slow) as gateway:
            with httpx.Client(base_url=gateway.url, trust_env=False, timeout=30) as client:
                answers = {client.get("/v1/models").status_code for _ in range(requests)}

            assert answers == {200}
            until(lambda: "Queue full, dropping Span" in gateway.log.read_text("utf-8"))
            collector.answers.set()
            until(lambda: len(collector.spans) >= queue)
            assert len(collector.spans) <= queue + 2 * batch

            collector.answers.clear()
            with httpx.Client(base_url=gateway.url, trust_env=False, timeout=30) as client:
                client.get("/v1/models")
            gateway.process.terminate()
            # Half of the time for which the library would wait for its thread.
            assert gateway.process.wait(timeout=15) == 0


def test_without_traces_no_module_of_them_is_loaded() -> None:
    loaded = "import service.app, service.wiring.services, sys; print(*sys.modules)"
    printed = subprocess.run(
        [sys.executable, "-c", loaded], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout.split()

    assert "service.wiring.traces" in printed
    assert not {
        "service.adapters.telemetry.spans",
        "opentelemetry.sdk.trace",
        "google.protobuf",
        "requests",
    } & {*printed}


def test_without_traces_no_span_is_made_and_the_provider_gets_no_header(
    gateway: Gateway, client_without_traces: httpx.Client, journal: SandboxJournal
) -> None:
    _, _, header = context()
    prompt = f"a gate {uuid4().hex}"

    client_without_traces.post(
        GENERATIONS, json={"model": "gpt-image-2", "prompt": prompt}, headers=header
    ).raise_for_status()

    [entry] = journal.of(prompt)
    assert "traceparent" not in entry["headers"]


@pytest.fixture
def client_without_traces(gateway: Gateway) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=gateway.url, trust_env=False, timeout=30) as client:
        yield client


def test_traces_without_their_packages_are_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    # As Python marks a module that it must not find.
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter", None)

    with pytest.raises(SettingsError, match=r"GATEWAY_TRACES: install image-gateway\[otel\]"):
        check_traces(Settings(traces="otlp"))
    check_traces(Settings())
