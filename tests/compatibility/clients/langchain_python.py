"""LangChain's tool for DALL·E, which returns links, one a line."""

import importlib
import platform
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from tests.compatibility.clients.protocol import Observation, Task, save_picture, serve

openai: Any = importlib.import_module("openai")
tools: Any = importlib.import_module("langchain_community.tools.openai_dalle_image_generation")
utilities: Any = importlib.import_module("langchain_community.utilities.dalle_image_generator")


def generate(**parameters: Any) -> Callable[[Task], Observation]:
    """Return an operation that has an agent's tool generate with *parameters*."""

    def operate(task: Task) -> Observation:
        wrapper = utilities.DallEAPIWrapper(
            base_url=task.base_url, api_key=task.key, max_retries=0, **parameters
        )
        try:
            links = tools.OpenAIDALLEImageGenerationTool(api_wrapper=wrapper).invoke(task.prompt)
        except openai.APIStatusError as error:
            return {
                "error": {
                    "class": type(error).__name__,
                    "message": str(error),
                    "status": error.status_code,
                }
            }
        return {"pictures": [save_picture(task, {"url": link}) for link in links.splitlines()]}

    return operate


if __name__ == "__main__":
    serve(
        {
            "name": "LangChain (PyPI `langchain-community`)",
            "version": version("langchain-community"),
            "on": f"Python {platform.python_version()}",
        },
        {
            "one": generate(model="dall-e-3"),
            "three": generate(model="dall-e-3", n=3),
            "unusual": generate(model="dall-e-2", size="512x512", quality="standard"),
            "refused": generate(model="dall-e-3"),
        },
    )
