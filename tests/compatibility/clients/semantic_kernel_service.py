"""Semantic Kernel's services for images, by OpenAI's API and by Azure's."""

import asyncio
import importlib
import platform
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from tests.compatibility.clients.protocol import Observation, Task, save_picture, serve

openai: Any = importlib.import_module("openai")
services: Any = importlib.import_module("semantic_kernel.connectors.ai.open_ai")
exceptions: Any = importlib.import_module("semantic_kernel.exceptions")


def open_openai(task: Task, model: str) -> Any:
    client = openai.AsyncOpenAI(base_url=task.base_url, api_key=task.key, max_retries=0)
    return services.OpenAITextToImage(ai_model_id=model, async_client=client)


def open_azure(task: Task, model: str) -> Any:
    # With a client of its own, because it takes no endpoint without TLS.
    client = openai.AsyncAzureOpenAI(
        azure_endpoint=task.root_url, api_key=task.key, api_version="2025-04-01-preview", max_retries=0
    )
    return services.AzureTextToImage(deployment_name=model, async_client=client)


def generate(open_: Callable[[Task, str], Any], model: str, **settings: Any) -> Callable[[Task], Observation]:
    """Return an operation that generates with *settings*."""
    return lambda task: _watch(task, lambda: open_(task, model).generate_images(task.prompt, **settings))


def edit(open_: Callable[[Task, str], Any], model: str) -> Callable[[Task], Observation]:
    """Return an operation that edits a file."""
    return lambda task: _watch(
        task,
        lambda: open_(task, model).edit_image(task.prompt, image_paths=["square.png"], mask_path="mask.png"),
    )


def _watch(task: Task, ask: Callable[[], Any]) -> Observation:
    try:
        found = asyncio.run(ask())
    except exceptions.ServiceResponseException as error:
        cause = error.__cause__
        return {
            "error": {
                "class": type(cause).__name__,
                "message": str(error),
                "status": getattr(cause, "status_code", None),
            }
        }
    entries = [{"url" if text.startswith("http") else "b64_json": text} for text in found]
    return {"pictures": [save_picture(task, entry) for entry in entries]}


if __name__ == "__main__":
    serve(
        {
            "name": "Semantic Kernel",
            "version": version("semantic-kernel"),
            "on": f"Python {platform.python_version()}",
        },
        {
            "one": generate(open_openai, "dall-e-3"),
            "gpt-image": generate(open_openai, "gpt-image-2", n=2, quality="low", moderation="low"),
            "three": generate(open_openai, "dall-e-3", n=3),
            "edit": edit(open_openai, "gpt-image-2"),
            "refused": generate(open_openai, "dall-e-3"),
            "azure generate": generate(open_azure, "dall-e-3"),
            "azure edit": edit(open_azure, "gpt-image-2"),
        },
    )
