"""Read the expressions of dashboards and rules, from the files that operators install."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from tests.processes import REPOSITORY

DASHBOARDS = sorted((REPOSITORY / "deploy/grafana/dashboards").glob("*.json"))
RULES = [REPOSITORY / "deploy/prometheus" / name for name in ("rules.yml", "alerts.yml")]
VARIABLES = {
    "$__rate_interval": "1m",
    "$__range": "1h",
    "$job": ".+",
    "$instance": ".+",
    "$team": ".+",
    "$realm": ".+",
}
"""Grafana's variables, with the values they have while a reader selects nothing."""


@dataclass(frozen=True)
class Expression:
    """A query of a panel or a rule; *place* names both its file and itself."""

    place: str
    text: str

    def fill_in(self, **values: str) -> str:
        """Return it as Prometheus takes it; *values* replace those of variables, by their names without `$`."""
        text = self.text
        for name, value in VARIABLES.items():
            text = text.replace(name, values.get(name.lstrip("$"), value))
        return text


def load_dashboard(uid: str) -> dict[str, Any]:
    [path] = [path for path in DASHBOARDS if path.stem == uid]
    dashboard: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return dashboard


def panels_of(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the panels without the headings of rows."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def expressions_of_panels() -> Iterator[Expression]:
    for path in DASHBOARDS:
        for panel in panels_of(load_dashboard(path.stem)):
            for target in panel["targets"]:
                yield Expression(
                    f"{path.stem}: {panel['title']} {target['legendFormat']}".strip(), target["expr"]
                )


def rules() -> Iterator[dict[str, Any]]:
    """Return every rule: those that record, and alerts."""
    for path in RULES:
        for group in yaml.safe_load(path.read_text("utf-8"))["groups"]:
            yield from group["rules"]


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


def expressions_of_rules() -> Iterator[Expression]:
    for rule in rules():
        yield Expression(f"rule: {rule.get('alert') or rule['record']}", rule["expr"])
