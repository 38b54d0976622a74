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


ANSWERS = {
    "who is throttled, by which limit": {"Who is refused, by which limit?": "team, limit, scope"},
    "what did a team pay": {"What did each team pay?": "team"},
    "what did the cache save": {"What was saved?": "", "What did each team save?": "team, source"},
    "which model ends next": {"How many days does a model have left?": "model"},
    "who still asks for it": {"Who still asks for a model with an end?": "model, team"},
    "where the time of a slow order goes": {"In which stage do orders spend their time?": "stage"},
    "is it the key": {"Is our key accepted?": "", "Is our key refused?": "", "Is the account blocked?": ""},
    "which key rests, and why": {"Which keys rest?": "backend, key, model, reason"},
    "is a key full": {"How many calls has each key?": "backend, key"},
    "which key makes the images": {"How do attempts end at each key?": "backend, key, outcome"},
    "do other keys help out": {"How many calls cross?": "backend, to"},
    "is it the breaker": {"Is the breaker open?": ""},
    "is it the store": {"Does the store work?": "", "Why does the store fail?": "reason"},
    "is it Redis": {"Is Redis there?": "", "How long do requests to Redis take?": "operation"},
    "how full is the queue": {"How full is the queue?": "", "How long do calls wait?": ""},
    "how long does the provider take": {
        "How long does a model take?": "model",
        "How long do failures take?": "outcome",
    },
    "a hit beside a miss": {"How long does a hit take, and how long a miss?": "cache"},
    "errors": {"Which errors do callers get?": "code"},
    "bytes": {"How many bytes do callers send and take?": ""},
    "time to the first event": {"When does the first event of a stream arrive?": ""},
    "width of the fan-out": {"How many calls does an order take?": ""},
    "memory": {"How much memory does a process use?": "instance"},
    "CPU": {"How much CPU does a process use?": "instance"},
    "files": {"How many of its files are open?": "instance"},
    "lag of the event loop": {"Does the event loop lag?": "instance"},
}
"""What operators ask: the panels that answer it, and the labels by which they do."""


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


@pytest.mark.parametrize("question", ANSWERS)
def test_a_question_of_operators_has_its_panels(question: str) -> None:
    panels = [panel for path in DASHBOARDS for panel in panels_of(load_dashboard(path.stem))]

    for title, labels in ANSWERS[question].items():
        queries = [target for panel in panels if panel["title"] == title for target in panel["targets"]]
        assert queries, title
        wanted = set(filter(None, labels.split(", ")))
        assert all(wanted <= set(re.findall(r"{{(\w+)}}", query["legendFormat"])) for query in queries), title


def test_a_number_without_data_does_not_look_well(dashboard: dict[str, Any]) -> None:
    for panel in panels_of(dashboard):
        if panel["type"] == "stat":
            defaults = panel["fieldConfig"]["defaults"]
            unknown = defaults["mappings"][-1]
            assert defaults["noValue"] == "no data", panel["title"]
            assert (unknown["type"], unknown["options"]["match"]) == ("special", "null+nan"), panel["title"]
            assert unknown["options"]["result"]["text"] == "no data", panel["title"]
            assert unknown["options"]["result"]["color"] not in {"green", "yellow", "red"}, panel["title"]


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
    }


def test_counters_are_only_read_by_their_growth() -> None:
    for expression in EXPRESSIONS:
        for counter in re.finditer(r"\w+_total\{", expression.text):
            assert expression.text[: counter.start()].endswith(("rate(", "increase(")), expression.place
