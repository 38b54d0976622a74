"""The Python SDK of 2023 (0.28), and the calls of the developer guide that was written for it.

The guide's calls stand here as it prints them; only the base URL and the key are others.
"""

import asyncio
import contextlib
import importlib
import io
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.compatibility.clients.protocol import Observation, Task, save_picture, serve, shorten

# By name, because type checkers see the SDK of today, which has none of this.
openai: Any = importlib.import_module("openai")
version: str = importlib.import_module("openai.version").VERSION

SQUARE, MASK, BROKEN = Path("square.png"), Path("mask.png"), Path("broken.png")


def create(**parameters: Any) -> Callable[[Task], Observation]:
    """Return an operation that generates with *parameters*."""
    return lambda task: _watch(task, lambda: openai.Image.create(**{"prompt": task.prompt} | parameters))


def create_later(task: Task) -> Observation:
    async def ask() -> Any:
        # Without a session of its own the SDK leaves one open.
        aiohttp = importlib.import_module("aiohttp")
        async with aiohttp.ClientSession() as session:
            openai.aiosession.set(session)
            return await openai.Image.acreate(prompt=task.prompt, size="256x256")

    return _watch(task, lambda: asyncio.run(ask()))


def create_edit(task: Task) -> Observation:
    with SQUARE.open("rb") as image, MASK.open("rb") as mask:
        return _watch(
            task,
            lambda: openai.Image.create_edit(
                image=image, mask=mask, prompt=task.prompt, size="256x256", response_format="b64_json"
            ),
        )


def create_edit_of_whole(task: Task) -> Observation:
    with SQUARE.open("rb") as image:
        return _watch(
            task,
            lambda: openai.Image.create_edit(
                image=image, prompt=task.prompt, size="256x256", response_format="b64_json"
            ),
        )


def create_variation(task: Task) -> Observation:
    with SQUARE.open("rb") as image:
        return _watch(task, lambda: openai.Image.create_variation(image=image, n=2, size="256x256"))


def edit_broken_file(task: Task) -> Observation:
    with BROKEN.open("rb") as image:
        return _watch(task, lambda: openai.Image.create_edit(image=image, prompt=task.prompt))


def list_models(task: Task) -> Observation:
    return _watch(task, lambda: {"models": openai.Model.list()["data"]})


def retrieve(name: str) -> Callable[[Task], Observation]:
    """Return an operation that asks for one model."""
    return lambda task: _watch(task, lambda: {"model": openai.Model.retrieve(name)})


def ask_wrong_endpoint(task: Task) -> Observation:
    messages = [{"role": "user", "content": task.prompt}]
    return _watch(task, lambda: openai.ChatCompletion.create(model="gpt-4o", messages=messages))


def exceed_limit(task: Task) -> Observation:
    """Order until refused; the gateway asked allows one image a minute."""

    def ask() -> Any:
        for number in range(3):
            openai.Image.create(prompt=f"{task.prompt} {number}", size="256x256")

    return _watch(task, ask)


def follow_guide_generating(task: Task) -> Observation:
    response = openai.Image.create(
        prompt="a white siamese cat",
        model="dall-e-3",
        n=1,
        size="1024x1024",
    )
    image_url = response["data"][0]["url"]
    return {"answer": shorten(response), "pictures": [save_picture(task, {"url": image_url})]}


def follow_guide_editing(task: Task) -> Observation:
    with Path("sunlit_lounge.png").open("rb") as image, Path("mask.png").open("rb") as mask:
        response = openai.Image.create_edit(
            image=image,
            mask=mask,
            prompt="A sunlit indoor lounge area with a pool containing a flamingo",
            model="dall-e-2",
            n=1,
            size="1024x1024",
        )
    edited_url = response["data"][0]["url"]
    return {"answer": shorten(response), "pictures": [save_picture(task, {"url": edited_url})]}


def follow_guide_varying(task: Task) -> Observation:
    with Path("corgi_and_cat_paw.png").open("rb") as image:
        response = openai.Image.create_variation(image=image, model="dall-e-2", n=1, size="1024x1024")
    variant_url = response["data"][0]["url"]
    return {"answer": shorten(response), "pictures": [save_picture(task, {"url": variant_url})]}


def follow_guide_failing(_: Task) -> Observation:
    printed = io.StringIO()
    # The file is no picture.
    with contextlib.redirect_stdout(printed), Path("image_edit_mask.png").open("rb") as image:
        try:
            response = openai.Image.create_variation(image=image, model="dall-e-2", n=1, size="1024x1024")
            print(response["data"][0]["url"])  # noqa: T201 - as the guide has it
        except openai.OpenAIError as e:
            print("Error status:", e.http_status)  # noqa: T201
            print("Error details:", e.error)  # noqa: T201
    return {"printed": printed.getvalue()}


def follow_guide_serving(task: Task) -> Observation:
    """Do what the guide's Flask handler does between its request and its answer."""
    answers = []
    for prompt_text in (task.prompt, f"{task.prompt} forbidden-word"):
        try:
            response = openai.Image.create(
                prompt=prompt_text,
                model="dall-e-2",
                n=1,
                size="512x512",
                response_format="b64_json",
            )
        except openai.OpenAIError as e:
            answers.append({"error": str(e), "details": e.error})
            continue
        image_b64 = response["data"][0]["b64_json"]
        answers.append({"picture": save_picture(task, {"b64_json": image_b64})})
    return {"answers": answers}


def follow_guide_text(task: Task) -> Observation:
    """Order what the guide says that `dall-e-3` takes, although the model never did."""
    observed = {}
    for name, parameters in {
        "tall": {"model": "dall-e-3", "size": "1024x1536"},
        "wide": {"model": "dall-e-3", "size": "1536x1024"},
        "quality": {"model": "dall-e-3", "quality": "high"},
        "other name": {"model": "gpt-image-1", "quality": "low"},
        "long prompt": {"model": "dall-e-3", "prompt": f"{task.prompt} {'a' * 31_000}"},
    }.items():
        observed[name] = create(**parameters)(task)
    return observed


def _watch(task: Task, ask: Callable[[], Any]) -> Observation:
    openai.api_base, openai.api_key = task.base_url, task.key
    try:
        answer = ask()
    except openai.OpenAIError as error:
        return {"error": _observe_error(error)}
    if "data" not in answer:
        return dict(answer)
    return {
        "answer": shorten(answer),
        "pictures": [save_picture(task, entry) for entry in answer["data"]],
        "response_ms": answer.response_ms,
    }


def _observe_error(error: Any) -> Observation:
    return {
        "class": type(error).__name__,
        "message": str(error),
        "code": error.code,
        "param": getattr(error, "param", None),
        "type": error.error and error.error.get("type"),
        "status": error.http_status,
        "error": error.error,
        "json_body": error.json_body,
        "request_id": error.request_id,
        "headers": dict(error.headers or {}),
    }


def _after_set_up(operate: Callable[[Task], Observation]) -> Callable[[Task], Observation]:
    def operate_there(task: Task) -> Observation:
        openai.api_base, openai.api_key = task.base_url, task.key
        return operate(task)

    return operate_there


OPERATIONS: dict[str, Callable[[Task], Observation]] = {
    "generate dall-e-3": create(model="dall-e-3", n=1),
    "generate dall-e-3 n=4": create(model="dall-e-3", n=4),
    "generate dall-e-3 b64_json": create(model="dall-e-3", response_format="b64_json"),
    "generate dall-e-3 hd natural": create(model="dall-e-3", quality="hd", style="natural", size="1792x1024"),
    "generate dall-e-2": create(model="dall-e-2", size="256x256", n=2),
    "generate gpt-image": create(
        model="gpt-image-1.5", background="transparent", output_format="webp", output_compression=80
    ),
    "generate default": create(),
    "generate nulls": create(model="dall-e-3", n=None, quality=None, size=None, style=None),
    "generate async": create_later,
    "edit dall-e-2": create_edit,
    "edit whole": create_edit_of_whole,
    "edit broken file": edit_broken_file,
    "vary": create_variation,
    "list models": list_models,
    "retrieve model": retrieve("dall-e-3"),
    "retrieve unknown model": retrieve("no-such-model"),
    "retrieve model with slash": retrieve("acme/no such model"),
    "bad size": create(model="dall-e-3", size="123x456"),
    "unknown parameter": create(model="dall-e-3", colour="red"),
    "long prompt": create(model="dall-e-3", prompt="a" * 32_001),
    "refused": create(model="dall-e-3"),
    "refused by gpt-image": create(model="gpt-image-2.6-flare"),
    "limit": exceed_limit,
    "wrong endpoint": ask_wrong_endpoint,
    "guide generating": follow_guide_generating,
    "guide editing": follow_guide_editing,
    "guide varying": follow_guide_varying,
    "guide failing": follow_guide_failing,
    "guide serving": follow_guide_serving,
    "guide text": follow_guide_text,
    "guide user": create(model="dall-e-2", size="256x256", user="user-1234"),
}

if __name__ == "__main__":
    about = {"name": "PyPI `openai`", "version": version, "on": f"Python {platform.python_version()}"}
    serve(about, {name: _after_set_up(operate) for name, operate in OPERATIONS.items()})
