"""The official Python SDK, 1.x and newer, as applications use it."""

import asyncio
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai

from tests.compatibility.clients.protocol import Observation, Task, save_picture, serve, shorten

SQUARE, MASK, WIDE, PHOTO, BROKEN = map(
    Path, ("square.png", "mask.png", "wide.png", "photo.jpg", "broken.png")
)


def open_client(task: Task, max_retries: int = 0) -> Any:
    """Return a client; Any, because each generation of the SDK has other types."""
    return openai.OpenAI(base_url=task.base_url, api_key=task.key, max_retries=max_retries)


def open_azure(task: Task, **options: Any) -> Any:
    """Return a client of Azure's API."""
    return openai.AzureOpenAI(
        azure_endpoint=task.root_url, api_version="2025-04-01-preview", max_retries=0, **options
    )


def open_azure_v1(task: Task) -> Any:
    """Return a client of Azure's current API, which needs none of its own."""
    return openai.OpenAI(
        base_url=f"{task.root_url}/openai/v1/",
        api_key=task.key,
        default_query={"api-version": "preview"},
        max_retries=0,
    )


def generate(**parameters: Any) -> Callable[[Task], Observation]:
    """Return an operation that generates with *parameters*."""

    def operate(task: Task) -> Observation:
        return _watch(task, lambda client: client.images.generate(**{"prompt": task.prompt} | parameters))

    return operate


def edit(choose: Callable[[], dict[str, Any]]) -> Callable[[Task], Observation]:
    """Return an operation that edits; *choose* opens the files anew each time."""

    def operate(task: Task) -> Observation:
        return _watch(task, lambda client: client.images.edit(prompt=task.prompt, **choose()))

    return operate


def stream(**parameters: Any) -> Callable[[Task], Observation]:
    """Return an operation that generates and reads events."""

    def operate(task: Task) -> Observation:
        def read(client: Any) -> Observation:
            events = client.images.generate(prompt=task.prompt, stream=True, **parameters)
            return _observe_events(task, events)

        return _watch(task, read)

    return operate


def stream_edit(task: Task) -> Observation:
    def read(client: Any) -> Observation:
        events = client.images.edit(
            prompt=task.prompt,
            model="gpt-image-2.6-flare",
            image=SQUARE.open("rb"),
            stream=True,
            partial_images=1,
        )
        return _observe_events(task, events)

    return _watch(task, read)


def generate_async(task: Task) -> Observation:
    async def ask() -> Any:
        async with openai.AsyncOpenAI(base_url=task.base_url, api_key=task.key, max_retries=0) as client:
            return await client.images.generate(model="dall-e-3", prompt=task.prompt)

    return _watch(task, lambda _: asyncio.run(ask()))


def vary(task: Task) -> Observation:
    def ask(client: Any) -> Any:
        with SQUARE.open("rb") as image:
            return client.images.create_variation(image=image, n=2, size="256x256")

    return _watch(task, ask)


def list_models(task: Task) -> Observation:
    return _watch(task, lambda client: {"models": [model.to_dict() for model in client.models.list()]})


def retrieve(name: str) -> Callable[[Task], Observation]:
    """Return an operation that asks for one model."""
    return lambda task: _watch(task, lambda client: {"model": client.models.retrieve(name).to_dict()})


def ask_wrong_endpoint(task: Task) -> Observation:
    messages = [{"role": "user", "content": task.prompt}]
    return _watch(task, lambda client: client.chat.completions.create(model="gpt-4o", messages=messages))


def exceed_limit(task: Task) -> Observation:
    """Order until refused; the gateway asked allows one image a minute."""

    def ask(client: Any) -> Any:
        for number in range(3):
            client.images.generate(model="dall-e-2", prompt=f"{task.prompt} {number}", size="256x256")

    return _watch(task, ask)


def outlast_limit(task: Task) -> Observation:
    """Repeat one order until the SDK had to wait; the gateway asked allows one request in two seconds."""

    def ask(client: Any) -> Observation:
        longest_s = 0.0
        for number in range(40):
            started_s = time.monotonic()
            client.images.generate(model="dall-e-2", prompt=task.prompt, size="256x256")
            if number:
                longest_s = max(longest_s, time.monotonic() - started_s)
            if longest_s > 0.4:
                break
        return {"longest_s": longest_s}

    return _watch(task, ask, max_retries=2)


def retry_by_default(task: Task) -> Observation:
    """Order as an application does that has never heard of `max_retries`."""
    return _watch(task, lambda client: client.images.generate(prompt=task.prompt), max_retries=2)


def at_azure(
    ask: Callable[[Any, Task], Any],
    choose: Callable[[Task], dict[str, Any]] = lambda task: {"api_key": task.key},
) -> Callable[[Task], Observation]:
    """Return an operation that asks a client of Azure's API; *choose* returns its credentials and more."""
    return lambda task: _watch(
        task, lambda client: ask(client, task), open_=lambda: open_azure(task, **choose(task))
    )


def generate_at_azure(client: Any, task: Task, model: str = "dall-e-3", **parameters: Any) -> Any:
    return client.images.generate(model=model, prompt=task.prompt, **parameters)


def stream_at_azure(client: Any, task: Task) -> Observation:
    events = generate_at_azure(client, task, model="gpt-image-2.6-flare", stream=True, partial_images=1)
    return _observe_events(task, events)


def edit_at_azure(client: Any, task: Task) -> Any:
    return client.images.edit(model="gpt-image-2.6-flare", image=SQUARE.open("rb"), prompt=task.prompt)


def _watch(
    task: Task,
    ask: Callable[[Any], Any],
    max_retries: int = 0,
    open_: Callable[[], Any] | None = None,
) -> Observation:
    try:
        with open_() if open_ is not None else open_client(task, max_retries) as client:
            answer = ask(client)
            return answer if isinstance(answer, dict) else _observe_images(task, answer)
    except openai.APIError as error:
        return {"error": _observe_error(error)}


def _observe_images(task: Task, answer: Any) -> Observation:
    plain = answer.to_dict()
    # The SDK does not check what it is sent: whether its own types accept the answer has to be asked.
    type(answer).model_validate(plain, strict=True)
    return {
        "answer": shorten(plain),
        "pictures": [save_picture(task, entry) for entry in plain["data"]],
        "request_id": answer._request_id,
    }


def _observe_events(task: Task, events: Any) -> Observation:
    seen, pictures = [], []
    for event in events:
        plain = event.to_dict()
        type(event).model_validate(plain, strict=True)
        seen.append(shorten(plain) | {"class": type(event).__name__})
        pictures.append(save_picture(task, plain))
    return {"events": seen, "pictures": pictures}


def _observe_error(error: openai.APIError) -> Observation:
    return {
        "class": type(error).__name__,
        "message": error.message,
        "code": error.code,
        "param": error.param,
        "type": error.type,
        "status": getattr(error, "status_code", None),
        "request_id": getattr(error, "request_id", None),
        "headers": dict(error.response.headers) if isinstance(error, openai.APIStatusError) else {},
    }


OPERATIONS: dict[str, Callable[[Task], Observation]] = {
    "generate dall-e-3": generate(model="dall-e-3", n=1),
    "generate dall-e-3 n=4": generate(model="dall-e-3", n=4),
    "generate dall-e-3 b64_json": generate(model="dall-e-3", response_format="b64_json"),
    "generate dall-e-3 hd natural": generate(
        model="dall-e-3", quality="hd", style="natural", size="1792x1024"
    ),
    "generate dall-e-2": generate(model="dall-e-2", size="256x256", n=2),
    "generate gpt-image": generate(
        model="gpt-image-1.5", background="transparent", output_format="webp", output_compression=80
    ),
    "generate default": generate(),
    "generate nulls": generate(model="dall-e-3", n=None, quality=None, size=None, style=None),
    "generate async": generate_async,
    "stream gpt-image": stream(model="gpt-image-2.6-flare", partial_images=2),
    "stream dall-e-3": stream(model="dall-e-3", n=2),
    "stream refused": stream(model="gpt-image-2.6-flare", partial_images=2),
    "stream broken": stream(model="gpt-image-2.6-flare", partial_images=2),
    "stream edit": stream_edit,
    "edit one file": edit(lambda: {"model": "gpt-image-2.6-flare", "image": SQUARE.open("rb")}),
    "edit list of one": edit(lambda: {"model": "gpt-image-2.6-flare", "image": [SQUARE.open("rb")]}),
    "edit three files": edit(
        lambda: {
            "model": "gpt-image-2.6-flare",
            "image": [SQUARE.open("rb"), PHOTO, ("wide.png", WIDE.read_bytes(), "image/png")],
        }
    ),
    "edit mask": edit(
        lambda: {"model": "gpt-image-2.6-flare", "image": SQUARE.open("rb"), "mask": MASK.open("rb")}
    ),
    "edit bytes": edit(lambda: {"model": "gpt-image-2.6-flare", "image": SQUARE.read_bytes()}),
    "edit dall-e-2": edit(
        lambda: {
            "model": "dall-e-2",
            "image": SQUARE.open("rb"),
            "mask": MASK.open("rb"),
            "size": "256x256",
            "response_format": "b64_json",
        }
    ),
    "edit whole": edit(
        lambda: {
            "model": "dall-e-2",
            "image": SQUARE.open("rb"),
            "size": "256x256",
            "response_format": "b64_json",
        }
    ),
    "edit broken file": edit(lambda: {"model": "dall-e-2", "image": BROKEN.open("rb")}),
    "vary": vary,
    "list models": list_models,
    "retrieve model": retrieve("dall-e-3"),
    "retrieve unknown model": retrieve("no-such-model"),
    "retrieve model with slash": retrieve("acme/no such model"),
    "bad size": generate(model="dall-e-3", size="123x456"),
    "unknown parameter": generate(model="dall-e-3", extra_body={"colour": "red"}),
    "long prompt": generate(model="dall-e-3", prompt="a" * 32_001),
    "refused": generate(model="dall-e-3"),
    "refused by gpt-image": generate(model="gpt-image-2.6-flare"),
    "limit": exceed_limit,
    "outlast limit": outlast_limit,
    "wrong endpoint": ask_wrong_endpoint,
    "retries": retry_by_default,
    "azure generate": at_azure(generate_at_azure),
    "azure stream": at_azure(stream_at_azure),
    "azure edit": at_azure(edit_at_azure),
    "azure deployment": at_azure(
        lambda client, task: generate_at_azure(client, task, model="gpt-image-2"),
        lambda task: {"api_key": task.key, "azure_deployment": "dall-e-3"},
    ),
    "azure token": at_azure(generate_at_azure, lambda task: {"azure_ad_token": task.key}),
    "azure models": at_azure(
        lambda client, _: {"models": [model.to_dict() for model in client.models.list()]}
    ),
    "azure unknown deployment": at_azure(
        lambda client, task: generate_at_azure(client, task, model="no-such-deployment")
    ),
    "azure v1": lambda task: _watch(
        task, lambda client: generate_at_azure(client, task), open_=lambda: open_azure_v1(task)
    ),
}

if __name__ == "__main__":
    serve(
        {"name": "PyPI `openai`", "version": openai.__version__, "on": f"Python {platform.python_version()}"},
        OPERATIONS,
    )
