"""Haystack's component for image generation, in a pipeline."""

import importlib
import platform
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from tests.compatibility.clients.protocol import Observation, Task, save_picture, serve

haystack: Any = importlib.import_module("haystack")
generators: Any = importlib.import_module("haystack.components.generators")
utils: Any = importlib.import_module("haystack.utils")
errors: Any = importlib.import_module("haystack.core.errors")


def generate(**parameters: Any) -> Callable[[Task], Observation]:
    """Return an operation that runs a pipeline of one component."""

    def operate(task: Task) -> Observation:
        component = generators.OpenAIImageGenerator(
            api_base_url=task.base_url,
            api_key=utils.Secret.from_token(task.key),
            max_retries=0,
            **parameters,
        )
        pipeline = haystack.Pipeline()
        pipeline.add_component("images", component)
        try:
            found = pipeline.run({"images": {"prompt": task.prompt}})["images"]
        except errors.PipelineRuntimeError as error:
            cause = error.__cause__
            return {
                "error": {
                    "class": type(cause).__name__,
                    "message": str(error),
                    "status": getattr(cause, "status_code", None),
                }
            }
        return {"pictures": [save_picture(task, {"b64_json": image}) for image in found["images"]]}

    return operate


if __name__ == "__main__":
    serve(
        {
            "name": "Haystack (PyPI `haystack-ai`)",
            "version": version("haystack-ai"),
            "on": f"Python {platform.python_version()}",
        },
        {"gpt-image": generate(), "refused": generate()},
    )
