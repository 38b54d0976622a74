"""Read query parameters, and describe them in the OpenAPI document.

Failure behaviour: closed. An unknown, repeated, empty or malformed parameter is refused: a mistake
must not widen the request.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any

from fastapi import Request

from service.domain.errors import InvalidOrder
from service.domain.unknown import unknown_parameter


def parameter(name: str, description: str, **schema: object) -> dict[str, Any]:
    """Describe an optional query parameter, a text unless *schema* says otherwise, for the OpenAPI document."""
    return {
        "name": name,
        "in": "query",
        "required": False,
        "description": description,
        "schema": {"type": "string", **(schema or {"minLength": 1})},
    }


FROM_AND_TO = (
    parameter("from", "First day (UTC); by default the first of this month.", format="date"),
    parameter("to", "Last day (UTC); by default today.", format="date"),
)


def read_query(request: Request, known: set[str]) -> dict[str, str]:
    """Return the query parameters; unknown, repeated and empty ones are refused."""
    query: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in known:
            raise unknown_parameter(name, known)
        if name in query:
            raise InvalidOrder(f"The parameter '{name}' is given twice.", param=name)
        if not value:
            raise InvalidOrder(f"The parameter '{name}' is empty: give it a value, or omit it.", param=name)
        query[name] = value
    return query


def read_day(query: dict[str, str], name: str) -> date | None:
    text = query.get(name)
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise InvalidOrder(f"Invalid '{name}': write a date such as 2026-11-30.", param=name) from error


def read_choice(query: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str | None:
    value = query.get(name)
    if value is not None and value not in choices:
        raise InvalidOrder(f"Invalid '{name}': supported values are {', '.join(choices)}.", param=name)
    return value
