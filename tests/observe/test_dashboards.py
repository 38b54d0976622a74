"""Hold the dashboards equal to the code that makes them, and to the rules of Grafana's dashboard-linter."""

import json
import re
from typing import Any

import promql_parser
import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana.build import BOARDS, TARGET, render
from tests.observe.expressions import DASHBOARDS, expressions_of_panels, load_dashboard, panels_of

UIDS = [board.uid for board in BOARDS]
EXPRESSIONS = list(expressions_of_panels())


@pytest.fixture(params=UIDS)
def dashboard(request: pytest.FixtureRequest) -> dict[str, Any]:
    return load_dashboard(request.param)


def test_the_files_are_what_the_code_writes() -> None:
    written = {path.stem: path.read_text("utf-8") for path in DASHBOARDS}

    assert written == {board.uid: render(board) for board in BOARDS}, "run `make dashboards`"
    assert {path.parent for path in DASHBOARDS} == {TARGET}


def test_a_dashboard_survives_a_round_trip_through_the_sdk(dashboard: dict[str, Any]) -> None:
    again = json.loads(json.dumps(Dashboard.from_json(dashboard), cls=JSONEncoder))

    assert again == dashboard


def test_a_dashboard_has_a_fixed_address_and_cannot_be_edited(dashboard: dict[str, Any]) -> None:
    assert dashboard["uid"] in UIDS
    assert dashboard["editable"] is False
    assert "id" not in dashboard
    assert dashboard["description"]


def test_a_dashboard_links_to_the_others(dashboard: dict[str, Any]) -> None:
    [link] = dashboard["links"]

    assert link["tags"] == dashboard["tags"] == ["image-gateway"]
    assert link["includeVars"]
    assert link["keepTime"]


def test_a_dashboard_takes_any_data_source(dashboard: dict[str, Any]) -> None:
    first = dashboard["templating"]["list"][0]

    assert (first["name"], first["type"], first["query"]) == ("datasource", "datasource", "prometheus")
    assert {panel["datasource"]["uid"] for panel in panels_of(dashboard)} == {"${datasource}"}


def test_a_reader_selects_jobs_and_instances(dashboard: dict[str, Any]) -> None:
    _, *choices = dashboard["templating"]["list"]

    assert [choice["name"] for choice in choices][:2] == ["job", "instance"]
    for choice in choices:
        assert choice["multi"]
        assert choice["includeAll"]
        assert choice["allValue"] == ".+"
        assert choice["refresh"] == 2, "values must follow the selected time"
        assert choice["datasource"]["uid"] == "${datasource}"


def test_panels_have_numbers_of_their_own_and_do_not_overlap(dashboard: dict[str, Any]) -> None:
    panels = dashboard["panels"]
    cells = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]

    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24


def test_panels_explain_themselves(dashboard: dict[str, Any]) -> None:
    titles = [panel["title"] for panel in panels_of(dashboard)]

    assert len(set(titles)) == len(titles)
    for panel in panels_of(dashboard):
        assert panel["title"].endswith("?"), panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["targets"], panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["fieldConfig"]["defaults"]["thresholds"]["steps"], panel["title"]


def test_titles_are_not_cut_on_a_laptop(dashboard: dict[str, Any]) -> None:
    for panel in panels_of(dashboard):
        assert len(panel["title"]) <= 6 * panel["gridPos"]["w"], panel["title"]


def test_graphs_have_a_legend(dashboard: dict[str, Any]) -> None:
    graphs = [panel for panel in panels_of(dashboard) if panel["type"] == "timeseries"]

    assert graphs
    for panel in graphs:
        assert panel["options"]["legend"]["showLegend"], panel["title"]
        assert all(target["legendFormat"] for target in panel["targets"]), panel["title"]


def test_legends_name_only_labels_of_the_result(dashboard: dict[str, Any]) -> None:
    for panel in panels_of(dashboard):
        for target in panel["targets"]:
            wanted = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            grouped = {
                label.strip()
                for labels in re.findall(r"by \(([^)]*)\)", target["expr"])
                for label in labels.split(",")
            }

            assert wanted <= grouped | {"instance"}, panel["title"]


def test_queries_are_promql() -> None:
    for expression in EXPRESSIONS:
        promql_parser.parse(expression.fill_in())


def test_a_reader_selects_the_series_of_every_query() -> None:
    for expression in EXPRESSIONS:
        for selector in re.findall(r"[\w:]+\{[^}]*\}", expression.text):
            assert 'job=~"$job"' in selector, expression.place
            # What is recorded for a job has no instance.
            assert selector.startswith("job:") or 'instance=~"$instance"' in selector, expression.place


def test_rates_follow_the_resolution_of_the_graph() -> None:
    windows = {
        (function, window)
        for expression in EXPRESSIONS
        for function, window in re.findall(r"(rate|increase) ?\([^[]*\[([^]]+)\]", expression.text)
    }

    assert windows == {
        ("rate", "$__rate_interval"),
        ("increase", "$__rate_interval"),
        ("increase", "$__range"),
        ("increase", "5m"),
    }


def test_counters_are_only_read_by_their_growth() -> None:
    for expression in EXPRESSIONS:
        for counter in re.finditer(r"\w+_total\{", expression.text):
            assert expression.text[: counter.start()].endswith(("rate(", "increase(")), expression.place
