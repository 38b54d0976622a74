"""LlamaIndex's tool for image generation, which always sends `style` and `quality`."""

import importlib
import os
import platform
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.compatibility.clients.protocol import Observation, Task, save_bytes, save_picture, serve

openai: Any = importlib.import_module("openai")
spec: Any = importlib.import_module("llama_index.tools.openai.image_generation.base")
PACKAGE = "llama-index-tools-openai-image-generation"


def generate(**parameters: Any) -> Callable[[Task], Observation]:
    """Return an operation that has an agent's tool generate with *parameters*."""

    def operate(task: Task) -> Observation:
        os.environ["OPENAI_BASE_URL"] = task.base_url  # noqa: TID251 - the tool takes no URL; its SDK reads it here
        made = spec.OpenAIImageGenerationToolSpec(api_key=task.key, cache_dir=str(task.outputs))
        (tool,) = made.to_tool_list()
        try:
            found = tool(text=task.prompt, **parameters).raw_output
        except openai.APIStatusError as error:
            return {
                "error": {
                    "class": type(error).__name__,
                    "message": str(error),
                    "status": error.status_code,
                }
            }
        if parameters.get("download"):
            (path,) = found
            return {"pictures": [{"came_as": "b64_json", "path": save_bytes(task, Path(path).read_bytes())}]}
        return {"pictures": [save_picture(task, {"url": found})]}

    return operate


if __name__ == "__main__":
    serve(
        {
            "name": f"LlamaIndex (PyPI `{PACKAGE}`)",
            "version": version(PACKAGE),
            "on": f"Python {platform.python_version()}",
        },
        {
            "one": generate(),
            "base64": generate(download=True),
            "unusual": generate(model="dall-e-2", size="512x512"),
            "refused": generate(),
        },
    )
