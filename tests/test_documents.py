"""Documents that promise names: compared with what has them."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from typing import get_args, get_type_hints

import orjson
import pytest
from pydantic import BaseModel

from service.adapters.prometheus import PrometheusMetrics
from service.adapters.redis.client import REASONS
from service.domain.callers import Resource
from service.domain.errors import Billing, FailureKind, StateUnavailable
from service.domain.images import Realm, Source
from service.gateway.audit import Act
from service.ports.telemetry import (
    Crashed,
    ImageForgotten,
    ImageSpilled,
    InFlight,
    LimitDecided,
    StateFailed,
    StoreTrouble,
)
from service.settings.policies import DefaultPolicy
from service.settings.variables import JwtConfig, Settings
from tests.processes import REPOSITORY

LEADING: dict[tuple[str, str | int], tuple[str, list[tuple[str, str | int]]]] = {
    ("StateFailed", "operation"): ("service/gateway/state.py", [("_try", 0), ("_fail", 0)]),
    ("ImageForgotten", "reason"): ("service/gateway/retention.py", [("_forget", 2), ("_forget_old", 2)]),
}
"""Where a value of a label is written down, if not where the fact is made: a module, calls, and their argument."""
PASSED_ON = {
    *("operation", "reason"),
    # Of `StateUnavailable`, whose reasons are looked up where they are made.
    *("error.reason", "_name_reason(error)"),
    # A `Resource`.
    "refusal.refused.resource",
}
"""What stands for values that are written elsewhere."""
NOT_VARIABLES = {"file"}
GROUPS: dict[str, type[BaseModel]] = {"default_policy": DefaultPolicy, "jwt": JwtConfig}


def read(path: str) -> str:
    return (REPOSITORY / path).read_text("utf-8")


def variables() -> set[str]:
    """Return every variable that is a setting."""
    names = set(Settings.model_fields) - NOT_VARIABLES - set(GROUPS)
    own = {f"GATEWAY_{name.upper()}" for name in names if not name.startswith("openai_")}
    provider = {name.upper() for name in names if name.startswith("openai_")}
    members = {
        f"GATEWAY_{group}__{name}".upper() for group, model in GROUPS.items() for name in model.model_fields
    }
    return own | provider | members


def rows(text: str, heading: str) -> list[list[str]]:
    """Return the cells of the first table behind *heading*, without its head."""
    part = text.split(heading, 1)[1]
    lines = [line for line in re.split(r"\n#", part)[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_readme_has_every_setting_and_no_other() -> None:
    documented = set()
    for cells in rows(read("README.md"), "\n## Settings\n"):
        documented |= set(re.findall(r"`((?:GATEWAY|OPENAI)_[A-Z_]+)`", cells[0]))

    assert documented == variables()


def test_the_readme_has_the_defaults_that_are_in_force() -> None:
    wrong = {}
    for cells in rows(read("README.md"), "\n## Settings\n"):
        names = re.findall(r"`(GATEWAY_[A-Z_]+)`", cells[0])
        values = re.findall(r"`([^`]+)`", cells[1])
        for name, value in zip(names, values, strict=False):
            default = _default(name)
            if default is not None and _plain(default) != value:
                wrong[name] = (value, default)

    assert wrong == {}


def _default(variable: str) -> object:
    name = variable.removeprefix("GATEWAY_").lower()
    group, _, member = name.partition("__")
    if member:
        return getattr(GROUPS[group](), member)
    return Settings.model_fields[name].get_default()


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


@pytest.mark.parametrize(
    "path", ["README.md", "README.zh-CN.md", "docker-compose.yml", "Dockerfile", "deploy/compose.env.example"]
)
def test_no_document_names_a_setting_that_is_none(path: str) -> None:
    known = variables() | {
        f"{name}_FILE"
        for name in (
            "GATEWAY_SECRETS",
            "GATEWAY_REDIS_URL",
            "GATEWAY_ADMIN_KEY",
            "GATEWAY_METRICS_KEY",
            "GATEWAY_STORE_ACCESS_KEY_ID",
            "GATEWAY_STORE_SECRET_ACCESS_KEY",
            "OPENAI_API_KEY",
        )
    }
    # Of the command line, which is a client.
    known |= {"GATEWAY_URL", "GATEWAY_KEY"}

    named = set(re.findall(r"\b(?:GATEWAY|OPENAI)_[A-Z_]*[A-Z]\b", read(path)))

    assert named - known == set()


def test_metrics_md_has_every_metric_with_type_and_labels() -> None:
    documented = {}
    for cells in rows(read("docs/metrics.md"), "# Metrics"):
        name, kind = cells[0].strip("`"), cells[1]
        documented[name] = (kind, set(re.findall(r"`(\w+)`", cells[2])))

    assert documented == dict(_metrics())


def test_metrics_md_has_every_value_of_every_closed_label() -> None:
    documented = {}
    for cells in rows(read("docs/metrics.md"), "\n## Values of labels\n"):
        name, label = cells[0].strip("`"), cells[1].strip("`")
        documented[name, label] = set(re.findall(r"`(\w+)`", cells[2]))

    assert documented == {
        ("imagegw_images_delivered_total", "source"): set(Source),
        ("imagegw_cost_dollars_total", "realm"): set(Realm),
        ("imagegw_upstream_attempts_total", "outcome"): {"made", *FailureKind},
        ("imagegw_upstream_attempts_total", "billing"): set(Billing),
        ("imagegw_limit_decisions_total", "decision"): {*Resource, *said(LimitDecided, "decision")},
        ("imagegw_in_flight", "kind"): {field.name for field in fields(InFlight)},
        ("imagegw_images_forgotten_total", "reason"): said(ImageForgotten, "reason"),
        ("imagegw_images_spilled_total", "outcome"): said(ImageSpilled, "outcome"),
        ("imagegw_state_failures_total", "operation"): said(StateFailed, "operation"),
        ("imagegw_state_failures_total", "reason"): {
            *REASONS,
            *said(StateFailed, "reason"),
            *said(StateUnavailable, 0, under="service/adapters/redis"),
        },
        ("imagegw_store_failures_total", "reason"): set(get_args(StoreTrouble)),
        ("imagegw_admin_acts_total", "act"): set(Act),
        ("imagegw_order_crashes_total", "where"): set(get_args(get_type_hints(Crashed)["where"])),
    }


def said(what: type, argument: str | int, *, under: str = "service") -> set[str]:
    """Return the texts that are written where one of *what* is made, or behind a name that leads there."""
    module, leading = LEADING.get((what.__name__, argument), ("", []))
    found: set[str] = set()
    for path in sorted((REPOSITORY / under).rglob("*.py")):
        calls = [(what.__name__, argument), *(leading if path == REPOSITORY / module else [])]
        for given in _given(ast.parse(path.read_text("utf-8")), calls):
            constants = [node.value for node in ast.walk(given) if isinstance(node, ast.Constant)]
            texts = {value for value in constants if isinstance(value, str)}
            assert texts or ast.unparse(given) in PASSED_ON, f"{path}: what can {ast.unparse(given)} be?"
            found |= texts
    return found


def _given(tree: ast.AST, calls: list[tuple[str, str | int]]) -> Iterator[ast.expr]:
    """Yield what *calls* are given; for a variable, what its function assigns to it."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    for function in functions:
        nodes = list(ast.walk(function))
        assigned = [
            (ast.unparse(node.targets[0]), node.value) for node in nodes if isinstance(node, ast.Assign)
        ]
        for call in (node for node in nodes if isinstance(node, ast.Call)):
            for name, argument in calls:
                if ast.unparse(call.func).rpartition(".")[2] != name:
                    continue
                if isinstance(argument, int):
                    given = call.args[argument]
                else:
                    given = next(each.value for each in call.keywords if each.arg == argument)
                yield from [value for name, value in assigned if name == ast.unparse(given)] or [given]


def test_every_metric_says_what_it_means() -> None:
    meanings = [cells[3] for cells in rows(read("docs/metrics.md"), "# Metrics")]

    assert meanings
    assert all(len(meaning) > 5 for meaning in meanings)


def _metrics() -> list[tuple[str, tuple[str, set[str]]]]:
    metrics = PrometheusMetrics(version="1")
    found = []
    for collector in vars(metrics).values():
        described = getattr(collector, "describe", None)
        if described is None or not hasattr(collector, "_labelnames"):
            continue
        for family in described():
            suffix = "_total" if family.type == "counter" else ""
            found.append((f"{family.name}{suffix}", (family.type, set(collector._labelnames))))
    # Held by the registry alone.
    found.append(("imagegw_build_info", ("gauge", {"version"})))
    registered = {family.name for family in metrics.registry.collect()}
    assert len(found) == len(registered)
    return found


def test_the_committed_openapi_document_is_the_one_that_is_served() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "service", "openapi"], cwd=REPOSITORY, capture_output=True, check=True
    ).stdout

    assert read("openapi/openapi.json").strip() == printed.decode().strip(), (
        "image-gateway openapi > openapi/openapi.json"
    )


def test_the_openapi_document_has_ids_and_no_loose_ends() -> None:
    text = read("openapi/openapi.json")
    document = orjson.loads(text)

    operations = [operation for path in document["paths"].values() for operation in path.values()]
    identifiers = [operation["operationId"] for operation in operations]
    assert len(set(identifiers)) == len(identifiers)
    assert all(re.fullmatch(r"[a-z][A-Za-z]+", identifier) for identifier in identifiers)
    for path, each in document["paths"].items():
        for operation in each.values():
            assert operation["operationId"].startswith("admin") is path.startswith("/admin/"), path
    for reference in set(re.findall(r'"\$ref":\s*"#/([^"]+)"', text)):
        found = document
        for part in reference.split("/"):
            found = found[part]


def test_nothing_committed_tells_of_the_machine_it_was_made_on() -> None:
    for name in ("README.md", "README.zh-CN.md", "openapi/openapi.json", "docs/metrics.md", "Makefile"):
        text = read(name)

        assert not re.search(r"/(home|root|work|Users|tmp)/\w", text), name


def test_links_between_documents_lead_somewhere() -> None:
    broken = []
    for document in (*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md")):
        targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text("utf-8"))
        broken += [
            f"{document.name}: {target}"
            for target in targets
            if "://" not in target and not (document.parent / target).exists()
        ]

    assert broken == []


def test_the_openapi_document_says_which_routes_want_credentials() -> None:
    document = orjson.loads(read("openapi/openapi.json"))

    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    without = {
        f"{method} {path}"
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if operation.get("security") != [{"bearer": []}]
    }
    assert without == {"get /livez", "get /readyz", "get /v1/images/files/{name}"}
