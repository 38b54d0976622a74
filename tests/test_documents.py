"""Documents that promise names: compared with what has them."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import get_args, get_type_hints

import orjson
import pytest

from service.adapters.redis.client.client import REASONS
from service.adapters.telemetry.prometheus import PrometheusMetrics
from service.domain.callers import Resource
from service.domain.errors import StateUnavailable
from service.domain.failures import Billing, FailureKind
from service.domain.images import Realm, Source
from service.gateway.accounts.audit import Act
from service.ports.telemetry import (
    Crashed,
    ImageForgotten,
    ImageSpilled,
    InFlight,
    LimitDecided,
    StateFailed,
    StoreTrouble,
)
from service.settings.environment import load_settings
from service.settings.problems import SettingsError
from service.settings.variables import Settings
from service.wiring.checks import check_settings
from tests.processes import REPOSITORY
from tests.settings_page import NESTED, NOT_VARIABLES, TABLES, write_page

LEADING: dict[tuple[str, str | int], tuple[str, list[tuple[str, str | int]]]] = {
    ("StateFailed", "operation"): ("service/gateway/admission/shared.py", [("_try", 0), ("_fail", 0)]),
    ("ImageForgotten", "reason"): (
        "service/gateway/images/retention.py",
        [("_forget", 2), ("_forget_old", 2)],
    ),
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
TRANSLATED = {"一只白色暹罗猫": "a white siamese cat", "一顶红色的帽子": "a red hat"}
"""The prompts of the Chinese README."""
PAGES = sorted(
    str(path.relative_to(REPOSITORY))
    for path in (REPOSITORY / "README.md", REPOSITORY / "README.zh-CN.md", *REPOSITORY.glob("docs/*.md"))
)
"""Documents for those who call and run the gateway."""


def read(path: str) -> str:
    return (REPOSITORY / path).read_text("utf-8")


def variables() -> set[str]:
    """Return every variable that is a setting."""
    names = set(Settings.model_fields) - NOT_VARIABLES - set(NESTED)
    own = {f"GATEWAY_{name.upper()}" for name in names if not name.startswith("openai_")}
    provider = {name.upper() for name in names if name.startswith("openai_")}
    members = {
        f"GATEWAY_{group}__{name}".upper() for group, model in NESTED.items() for name in model.model_fields
    }
    return own | provider | members


def rows(text: str, heading: str) -> list[list[str]]:
    """Return the cells of the first table behind *heading*, without its head."""
    part = text.split(heading, 1)[1]
    lines = [line for line in re.split(r"\n#", part)[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def settings_rows() -> list[list[str]]:
    """Return the cells of the rows of `docs/settings.md` that are variables."""
    page = read("docs/settings.md").partition("\n## Configuration file\n")[0]
    return [row for part in page.split("\n## ")[1:] for row in rows(part, "\n")]


def test_the_settings_page_is_what_the_settings_say_of_themselves() -> None:
    assert read("docs/settings.md") == write_page(), "python -m tests.settings_page > docs/settings.md"


def test_the_settings_page_has_every_setting_once_and_no_other() -> None:
    documented = [
        name for cells in settings_rows() for name in re.findall(r"`((?:GATEWAY|OPENAI)_[A-Z_]+)`", cells[0])
    ]

    assert sorted(documented) == sorted(variables())


def test_the_settings_page_has_the_defaults_that_are_in_force() -> None:
    wrong = {}
    for cells in settings_rows():
        (name,) = re.findall(r"`((?:GATEWAY|OPENAI)_[A-Z_]+)`", cells[0])
        default = _default(name)
        expected = "unset" if default in (None, "") else f"`{_plain(default)}`"
        if cells[1] != expected:
            wrong[name] = (cells[1], default)

    assert wrong == {}


def test_the_settings_page_says_what_every_setting_does() -> None:
    page = read("docs/settings.md")
    described = settings_rows() + [row for table in TABLES for row in rows(page, f"\n### `{table}`\n")]

    assert all(len(cells[3]) > 10 and cells[3].endswith(".") for cells in described)
    assert {cells[0] for cells in described} >= {"`closed`", "`words`", "`pass_unknown`", "`max_size`"}


def test_the_settings_page_marks_every_variable_that_a_file_may_hold() -> None:
    marked = {cells[0].split("`")[1] for cells in settings_rows() if "`…_FILE`" in cells[0]}

    assert marked == {name for name in variables() if _is_read_from_a_file(name)}


def _is_read_from_a_file(variable: str) -> bool:
    try:
        load_settings({f"{variable}_FILE": "/nowhere"})
    except SettingsError as error:
        return f"{variable}_FILE: cannot read" in str(error)
    return False


def _default(variable: str) -> object:
    name = variable.removeprefix("GATEWAY_").lower()
    group, _, member = name.partition("__")
    if member:
        return getattr(NESTED[group](), member)
    return Settings.model_fields[name].get_default()


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


@pytest.mark.parametrize("path", [*PAGES, "docker-compose.yml", "Dockerfile", "deploy/compose.env.example"])
def test_no_document_names_a_setting_that_is_none(path: str) -> None:
    known = variables() | {f"{name}_FILE" for name in variables() if _is_read_from_a_file(name)}
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
    for name in (*PAGES, "openapi/openapi.json", "Makefile"):
        text = read(name)

        assert not re.search(r"/(home|root|work|Users|tmp)/\w", text), name


def test_links_between_documents_lead_somewhere() -> None:
    broken = []
    for document in (*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md")):
        for link in _links(document.read_text("utf-8")):
            path, _, section = link.partition("#")
            target = document.parent / path if path else document
            if not target.exists() or (section and section not in _anchors(target.read_text("utf-8"))):
                broken.append(f"{document.name}: {link}")

    assert broken == []


def _links(text: str) -> list[str]:
    return [link for link in re.findall(r"\]\(([^)\s]+)[^)]*\)", text) if "://" not in link]


def _anchors(text: str) -> set[str]:
    """Return the anchors that GitHub gives the headings of *text*."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_both_readmes_have_the_same_sections_code_and_links() -> None:
    english, chinese = _outline(read("README.md")), _outline(read("README.zh-CN.md"))

    assert chinese == english
    assert len(english) > 6


def _outline(readme: str) -> list[tuple[str, list[str], set[str], int]]:
    """Return, section by section, the level, the code, the targets of links and the number of rows and items."""
    outline = []
    for section in re.split(r"^(?=#+ )", _in_english(readme), flags=re.MULTILINE)[1:]:
        code = re.findall(r"^```.*?^```", section, re.MULTILINE | re.DOTALL)
        links = {link for link in _links(section) if not link.startswith("README")}
        items = len(re.findall(r"^(?:\||- )", section, re.MULTILINE))
        outline.append((section.partition(" ")[0], code, links, items))
    return outline


def _in_english(readme: str) -> str:
    """Return *readme* with its prompts in English and its code without comments."""
    for chinese, english in TRANSLATED.items():
        readme = readme.replace(chinese, english)
    return re.sub(r"[ \t]+# .*", "", readme)


@pytest.mark.parametrize("path", [page for page in PAGES if "```toml" in read(page)])
def test_every_configuration_file_in_a_document_is_one(path: str, tmp_path: Path) -> None:
    for number, text in enumerate(re.findall(r"^```toml\n(.*?)^```", read(path), re.MULTILINE | re.DOTALL)):
        file = tmp_path / f"{number}.toml"
        file.write_text(text, "utf-8")

        check_settings(load_settings({"GATEWAY_CONFIG": str(file)}))


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
