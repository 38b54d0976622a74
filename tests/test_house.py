"""Hold the rules of the house that ruff does not know."""

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.processes import REPOSITORY

QUESTION_WORDS = {"what", "who", "whom", "whose", "where", "whether", "which", "how", "why", "when"}


def question_openers(path: Path) -> Iterator[str]:
    """Yield the place of each docstring in the file that opens with a question word."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            words = (ast.get_docstring(node) or "").split(maxsplit=1)
            if words and words[0].strip(".,:;'").lower() in QUESTION_WORDS:
                yield f"{path.relative_to(REPOSITORY)}:{node.body[0].lineno}"


def test_no_docstring_of_the_service_opens_with_a_question_word() -> None:
    modules = sorted((REPOSITORY / "service").rglob("*.py"))

    found = [place for path in modules for place in question_openers(path)]

    assert modules
    assert found == []


MOST_METHODS = 3


def ports() -> Iterator[tuple[str, int]]:
    """Yield the name and the number of methods of each protocol in the ports."""
    for path in sorted((REPOSITORY / "service" / "ports").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef) and "Protocol" in {ast.unparse(base) for base in node.bases}:
                yield node.name, sum(isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef) for f in node.body)


def test_no_port_has_more_than_three_methods() -> None:
    sizes = dict(ports())

    assert sizes
    assert {name: size for name, size in sizes.items() if size > MOST_METHODS} == {}


def test_no_file_has_marks_of_an_unfinished_merge() -> None:
    command = ["git", "grep", "--line-number", "-E", "^(<{7}|>{7}) "]
    found = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)

    assert found.stdout == ""


def test_no_symbolic_link_is_committed() -> None:
    """An environment that is linked into a checkout names a directory that no other machine has."""
    command = ["git", "ls-files", "--stage"]
    listed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout

    assert listed
    assert [line for line in listed.splitlines() if line.startswith("120000 ")] == []
