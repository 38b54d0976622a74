"""Find the values of labels in the source: the texts that a call is given.

Facts carry plain texts, so their values stand where the facts are made. A value may be written in the call itself, be
assigned to a variable of the same function, or be passed on from elsewhere, which a test then names.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.processes import REPOSITORY

PASSED_ON = {
    *("operation", "reason"),
    # Of `StateUnavailable`, whose reasons are looked up where they are made.
    *("error.reason", "name_reason(error)"),
    # A `Resource`.
    "refused.resource",
}
"""Arguments without a text of their own: their values are written elsewhere."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def written(call: str, argument: str | int, *, under: str = "service") -> set[str]:
    """Return the texts that a call is given; *under* is a directory or a module."""
    found: set[str] = set()
    for path in _modules(REPOSITORY / under):
        for value in _values(path, call, argument):
            texts = _texts_in(value)
            assert texts or ast.unparse(value) in PASSED_ON, f"{path}: what can {ast.unparse(value)} be?"
            found |= texts
    return found


def _modules(path: Path) -> list[Path]:
    return sorted(path.rglob("*.py")) if path.is_dir() else [path]


def _values(path: Path, call: str, argument: str | int) -> Iterator[ast.expr]:
    """Yield an argument of each call, or all that is assigned to a variable there."""
    for function in _functions(path):
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == call:
                given = _argument(node, argument)
                if given is None:
                    continue
                yield from _assigned(function, ast.unparse(given)) or [given]


@cache
def _functions(path: Path) -> list[Function]:
    return [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, Function)]


def _argument(call: ast.Call, argument: str | int) -> ast.expr | None:
    """Return the argument, or None for the default."""
    if isinstance(argument, int):
        return call.args[argument]
    return next((keyword.value for keyword in call.keywords if keyword.arg == argument), None)


def _assigned(function: Function, variable: str) -> list[ast.expr]:
    assignments = [node for node in ast.walk(function) if isinstance(node, ast.Assign)]
    return [node.value for node in assignments if ast.unparse(node.targets[0]) == variable]


def _texts_in(value: ast.expr) -> set[str]:
    constants = [node.value for node in ast.walk(value) if isinstance(node, ast.Constant)]
    return {constant for constant in constants if isinstance(constant, str)}
