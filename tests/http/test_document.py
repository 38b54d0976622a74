"""Ask a new process for the OpenAPI document: nothing else waits while it is built."""

import asyncio

from starlette.requests import Request
from starlette.routing import Route

from service.app import create_app
from service.settings.variables import Settings
from service.wiring.process import BackingServices


async def test_the_document_is_built_once_and_beside_the_loop() -> None:
    backing = BackingServices(redis_url="", sandbox_url=None, public_url="", secrets=("",))
    app = create_app(Settings.model_construct(), backing)
    [route] = [each for each in app.routes if isinstance(each, Route) and each.path == "/openapi.json"]
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    request = Request({"type": "http", "method": "GET", "path": "/openapi.json", "headers": []})
    async with asyncio.TaskGroup() as group:
        other = group.create_task(take_turns())
        asked = [group.create_task(route.endpoint(request)) for _ in range(2)]
        one, another = [await each for each in asked]
        other.cancel()

    assert turns > 10
    assert one.body is another.body
