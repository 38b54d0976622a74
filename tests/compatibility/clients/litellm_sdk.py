"""LiteLLM's SDK, in front of the OpenAI API and of Azure's."""

import importlib
import platform
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.compatibility.clients.protocol import Observation, Task, save_picture, serve, shorten

litellm: Any = importlib.import_module("litellm")
litellm.suppress_debug_info = True

SQUARE, MASK = Path("square.png"), Path("mask.png")
API_VERSION = "2025-04-01-preview"


def generate(model: str, **parameters: Any) -> Callable[[Task], Observation]:
    """Return an operation that generates with *parameters*."""
    return lambda task: _watch(
        task,
        lambda: litellm.image_generation(
            model=model, prompt=task.prompt, **_place(task, model), **parameters
        ),
    )


def edit(model: str) -> Callable[[Task], Observation]:
    """Return an operation that edits."""
    return lambda task: _watch(
        task,
        lambda: litellm.image_edit(
            model=model,
            image=[SQUARE.open("rb")],
            mask=MASK.open("rb"),
            prompt=task.prompt,
            **_place(task, model),
        ),
    )


def vary(task: Task) -> Observation:
    model = "openai/dall-e-2"
    return _watch(
        task,
        lambda: litellm.image_variation(
            # It takes n and size, and sends neither.
            model=model,
            image=SQUARE.open("rb"),
            **_place(task, model),
        ),
    )


def _place(task: Task, model: str) -> dict[str, Any]:
    if model.startswith("azure/"):
        return {"api_base": task.root_url, "api_key": task.key, "api_version": API_VERSION}
    return {"api_base": task.base_url, "api_key": task.key}


def _watch(task: Task, ask: Callable[[], Any]) -> Observation:
    try:
        answer = ask()
    except litellm.exceptions.APIError as error:
        return {"error": {"class": type(error).__name__, "message": str(error), "status": error.status_code}}
    except litellm.exceptions.BadRequestError as error:
        return {"error": {"class": type(error).__name__, "message": str(error), "status": error.status_code}}
    plain = answer.model_dump(exclude_none=True)
    return {"answer": shorten(plain), "pictures": [save_picture(task, entry) for entry in plain["data"]]}


if __name__ == "__main__":
    serve(
        {"name": "LiteLLM", "version": version("litellm"), "on": f"Python {platform.python_version()}"},
        {
            "one": generate("openai/dall-e-3"),
            "gpt-image": generate("openai/gpt-image-2", n=2, quality="low"),
            "three": generate("openai/dall-e-3", n=3),
            "edit": edit("openai/gpt-image-2"),
            "vary": vary,
            "refused": generate("openai/dall-e-3"),
            "azure generate": generate("azure/dall-e-3"),
            "azure edit": edit("azure/gpt-image-2"),
        },
    )
