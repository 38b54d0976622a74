"""Answers to admins: one thing, a list of things, or word that something is gone."""

from typing import Any, Literal

import orjson
from pydantic import BaseModel
from starlette.responses import Response


class Removed(BaseModel):
    """What is gone."""

    object: str
    id: str
    deleted: Literal[True] = True


def answer(content: dict[str, Any], *, status: int = 200) -> Response:
    """Return *content* as JSON."""
    return Response(orjson.dumps(content), status, media_type="application/json")


def answer_list(data: list[dict[str, Any]]) -> Response:
    """Return *data* as a list object."""
    return answer({"object": "list", "data": data})
