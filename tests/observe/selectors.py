"""Take expressions of PromQL apart."""

from collections.abc import Iterator
from typing import Any

import promql_parser

_PARTS = ("lhs", "rhs", "expr", "param", "vector_selector", "args")


def selectors_of(expression: str) -> set[str]:
    """Return what an expression selects, without windows and offsets: metrics with their matchers."""
    return {_text(node) for node in _walk(promql_parser.parse(expression))}


def _walk(node: Any) -> Iterator[Any]:
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    for part in _PARTS:
        within = getattr(node, part, None)
        for each in within if isinstance(within, list) else [within]:
            if isinstance(each, promql_parser.Expr):
                yield from _walk(each)


def _text(selector: Any) -> str:
    return f"{selector.name or ''}{selector.matchers}" if selector.matchers.matchers else selector.name
