"""Try the alerts with `promtool`, and hold them to what an operator needs of an alert."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import promql_parser
import pytest
import yaml

from deploy.grafana.build import BOARDS
from tests.documents import anchors_in, quoted_in, read, rows_behind
from tests.observe.expressions import RULES, alerts, expressions_of_rules, rules
from tests.processes import REPOSITORY, run_gateway

CASES = sorted((REPOSITORY / "tests/observe").glob("*.test.yml"))
FIRSTS = REPOSITORY / "tests/observe/firsts.test.yml"
ALERTS = alerts()
CODES_OF_CALLERS = {
    "client_gone",
    "cross_site_request",
    "host_not_allowed",
    "idempotency_key_reuse",
    "image_gone",
    "insufficient_permissions",
    "insufficient_quota",
    "invalid",
    "invalid_api_key",
    "invalid_order",
    "model_not_found",
    "model_unpriced",
    "not_cached",
    "order_under_way",
    "own_deadline",
    "rate_limit_exceeded",
    "refused",
    "request_timeout",
    "request_too_large",
    "unknown_url",
    "unsupported_content_encoding",
    "unsupported_media_type",
}
WITHOUT_SERIES = {"ImageGatewayAbsent"}
"""Alerts on what is not there; they have no value to show."""


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.name)
def test_promtool_reads_the_rules(path: Path) -> None:
    promtool("check", "rules", "--lint=all", "--lint-fatal", path)


def test_promtool_reads_the_configuration() -> None:
    promtool("check", "config", REPOSITORY / "deploy/prometheus/prometheus.yml")


def test_alerts_fire_on_the_first_event_of_its_kind() -> None:
    promtool("test", "rules", FIRSTS)


# Seventeen seconds of CPU for each file.
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("path", [path for path in CASES if path != FIRSTS], ids=lambda path: path.stem)
def test_each_alert_fires_in_its_trouble_and_not_before(path: Path) -> None:
    promtool("test", "rules", path)


def test_what_alerts_see_grow_is_in_a_new_gateway(tmp_path: Path) -> None:
    watched = {each for rule in rules() for each in re.findall(r"increase\((\w+(?:{[^}]*})?)", rule["expr"])}
    with run_gateway(tmp_path) as gateway:
        answer = httpx.get(f"{gateway.url}/metrics", trust_env=False)
    series = {line.rpartition(" ")[0] for line in answer.text.splitlines() if not line.startswith("#")}

    assert len(watched) > 5
    # No team is known yet.
    assert {each for each in watched if not any(selects(each, one) for one in series)} == {
        "imagegw_dying_model_orders_total"
    }


def test_each_alert_is_expected_to_fire_and_not_to_fire() -> None:
    tried = [(expectation["expr"], bool(expectation["exp_samples"])) for expectation in expectations()]

    for alert in ALERTS:
        name, labels = alert["alert"], alert["labels"]
        window = labels.get("window") or labels.get("within") or ""
        of_this = [fires for expr, fires in tried if f'"{name}"' in expr and window in expr]
        assert set(of_this) == {True, False}, f"{name} {window}"


def test_an_order_fails_by_every_code_that_is_no_fault_of_its_caller() -> None:
    [codes] = [
        set(quoted_in(values))
        for metric, label, values in rows_behind("\n## Values of labels\n", read("docs/metrics.md"))
        if (metric, label) == ("`imagegw_orders_total`", "`code`")
    ]
    [failing] = [rule["expr"] for rule in rules() if rule.get("record") == "job:imagegw_orders_failed:rate5m"]
    [pattern] = re.findall(r'code=~"([^"]+)"', failing)

    assert {code for code in codes if not re.fullmatch(pattern, code)} == CODES_OF_CALLERS


def test_names_of_recorded_metrics_tell_level_metric_and_operation() -> None:
    recorded = [rule["record"] for rule in rules() if "record" in rule]

    assert recorded
    assert [name for name in recorded if not re.fullmatch(r"[a-z_]+:imagegw_[a-z_]+:[a-z_0-9]+", name)] == []


def test_each_alert_tells_what_is_wrong_and_how_much() -> None:
    for alert in ALERTS:
        name, notes = alert["alert"], alert["annotations"]
        assert re.fullmatch(r"ImageGateway[A-Z][A-Za-z]+", name)
        assert alert["labels"]["severity"] in {"critical", "warning", "info"}, name
        assert set(notes) == {"summary", "description", "runbook_url", "dashboard_url"}, name
        assert name in WITHOUT_SERIES or "{{ $" in notes["summary"], name
        assert name in WITHOUT_SERIES or "{{ $" in notes["description"], name


def test_each_alert_leads_to_its_section_of_the_runbook() -> None:
    page = read("docs/runbook.md")
    begins = "{{ $externalLabels.runbooks }}docs/runbook.md#"

    assert all(alert["annotations"]["runbook_url"].startswith(begins) for alert in ALERTS)
    led_to = {(alert["annotations"]["runbook_url"].removeprefix(begins), alert["alert"]) for alert in ALERTS}
    assert {anchor for anchor, _ in led_to} <= anchors_in(page)
    for anchor, name in led_to:
        [section] = [
            part
            for part in re.split(r"^## ", page, flags=re.MULTILINE)
            if anchors_in(f"# {part.splitlines()[0]}") == {anchor}
        ]
        assert f"`{name}`" in section
        assert "- **Confirm**" in section
        assert "- **Act**" in section


def test_the_runbook_has_no_section_without_an_alert() -> None:
    named = set(re.findall(r"`(ImageGateway\w+)`", read("docs/runbook.md")))

    assert named == {alert["alert"] for alert in ALERTS}


def test_the_runbook_names_panels_that_exist() -> None:
    titles = {panel.build().title for board in BOARDS for panels in board.rows.values() for panel in panels}
    named = set(re.findall(r"(?<!\*)\*([A-Z][^*]+\?)\*(?!\*)", read("docs/runbook.md")))

    assert named
    assert named - titles - {"Which part is the cause?"} == set()


def test_each_alert_leads_to_a_dashboard() -> None:
    begins = "{{ $externalLabels.grafana }}/d/"

    assert {alert["annotations"]["dashboard_url"] for alert in ALERTS} <= {
        begins + board.uid for board in BOARDS
    }


def test_the_links_begin_with_labels_of_the_configuration() -> None:
    configuration = yaml.safe_load(read("deploy/prometheus/prometheus.yml"))

    assert set(configuration["global"]["external_labels"]) == {"grafana", "runbooks"}


def test_expressions_are_promql() -> None:
    for expression in expressions_of_rules():
        promql_parser.parse(expression.text)


def selects(selector: str, series: str) -> bool:
    """Tell if a selector without patterns matches a series of a scrape."""
    (metric, wanted), (name, labels) = (
        (each.partition("{")[0], set(re.findall(r'\w+="[^"]*"', each))) for each in (selector, series)
    )
    return metric == name and wanted <= labels


def expectations() -> list[dict[str, Any]]:
    return [
        expectation
        for path in CASES
        for case in yaml.safe_load(path.read_text("utf-8"))["tests"]
        for expectation in case["promql_expr_test"]
    ]


def promtool(*arguments: object) -> None:
    """Run it, and show its words if it is not content."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed")
    done = subprocess.run(
        [program, *map(str, arguments)], capture_output=True, text=True, check=False, cwd=REPOSITORY
    )
    assert done.returncode == 0, done.stdout + done.stderr
