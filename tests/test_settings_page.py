"""Compare `docs/settings.md` and other documents with the settings."""

import re
from dataclasses import dataclass
from functools import cache

import pytest

from service.settings.environment import load_settings
from service.settings.problems import SettingsError
from service.settings.variables import Settings
from tests.documents import PAGES, read, rows_behind
from tests.settings_page import NESTED, NOT_VARIABLES, TABLES, write_page

PATH = "docs/settings.md"
NAMED = r"\b(?:GATEWAY|OPENAI)_[A-Z_]*[A-Z]\b"
OF_THE_CLIENT = {"GATEWAY_URL", "GATEWAY_KEY"}
"""Variables of the command line, which calls a gateway."""


@dataclass(frozen=True)
class Row:
    """A documented variable."""

    variable: str
    may_be_a_file: bool
    default: str
    meaning: str


@pytest.fixture(scope="module")
def documented() -> list[Row]:
    """The variables of the page."""
    subjects = read(PATH).partition("\n## Configuration file\n")[0].split("\n## ")[1:]
    return [to_row(cells) for subject in subjects for cells in rows_behind("\n", subject)]


def to_row(cells: list[str]) -> Row:
    name, default, _, meaning = cells
    (variable,) = re.findall(r"`((?:GATEWAY|OPENAI)_[A-Z_]+)`", name)
    return Row(variable, "`…_FILE`" in name, default, meaning)


def test_the_page_is_generated_from_the_settings() -> None:
    assert read(PATH) == write_page(), f"python -m tests.settings_page > {PATH}"


def test_the_page_has_every_variable_once_and_no_other(documented: list[Row]) -> None:
    assert sorted(row.variable for row in documented) == sorted(variables())


def test_the_page_has_the_defaults(documented: list[Row]) -> None:
    defaults = {row.variable: row.default for row in documented}

    assert defaults == {variable: default_of(variable) for variable in variables()}


def test_the_page_describes_every_variable(documented: list[Row]) -> None:
    for row in documented:
        assert is_sentence(row.meaning), row.variable


def test_the_page_describes_every_name_of_a_configuration_file() -> None:
    rows = [cells for table in TABLES for cells in rows_behind(f"\n### `{table}`\n", read(PATH))]

    assert {cells[0] for cells in rows} >= {"`closed`", "`words`", "`pass_unknown`", "`max_size`"}
    for name, _, _, meaning in rows:
        assert is_sentence(meaning), name


def test_the_page_marks_every_variable_that_a_file_may_hold(documented: list[Row]) -> None:
    marked = {row.variable for row in documented if row.may_be_a_file}

    assert marked == secrets()


@pytest.mark.parametrize("path", [*PAGES, "docker-compose.yml", "Dockerfile", "deploy/compose.env.example"])
def test_no_document_names_a_variable_that_does_not_exist(path: str) -> None:
    named = set(re.findall(NAMED, read(path)))

    assert named - variables() - {f"{variable}_FILE" for variable in secrets()} - OF_THE_CLIENT == set()


def variables() -> set[str]:
    """Return the variable of every setting."""
    names = set(Settings.model_fields) - NOT_VARIABLES - set(NESTED)
    provider = {name.upper() for name in names if name.startswith("openai_")}
    own = {f"GATEWAY_{name}".upper() for name in names if not name.startswith("openai_")}
    members = {
        f"GATEWAY_{group}__{name}".upper() for group, model in NESTED.items() for name in model.model_fields
    }
    return own | provider | members


def default_of(variable: str) -> str:
    """Return the default of a variable as the page writes it."""
    group, _, member = variable.removeprefix("GATEWAY_").lower().partition("__")
    value = getattr(NESTED[group](), member) if member else Settings.model_fields[group].get_default()
    if value in (None, ""):
        return "unset"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


@cache
def secrets() -> set[str]:
    """Return the variables that may be read from a file."""
    return {variable for variable in variables() if is_read_from_a_file(variable)}


def is_read_from_a_file(variable: str) -> bool:
    try:
        load_settings({f"{variable}_FILE": "/nowhere"})
    except SettingsError as error:
        return f"{variable}_FILE: cannot read" in str(error)
    return False


def is_sentence(meaning: str) -> bool:
    return len(meaning) > 10 and meaning.endswith(".")
