"""Name the stages of an order by the files whose functions are on its way."""

from functools import cache

LOOP = "loop, tasks, timers"
_STAGES: dict[str, tuple[str, ...]] = {
    "server: parse, send": ("/uvicorn/", "/httptools/", "/service/http/protocol", "/service/serve/"),
    "log line": ("/structlog/", "/logging/", "/service/adapters/telemetry/logs"),
    "metrics": ("/prometheus_client/", "/service/adapters/telemetry/"),
    "caller": (
        "/service/http/access",
        "/service/gateway/accounts/",
        "/service/adapters/identity/",
        "/service/domain/callers",
    ),
    "middleware": (
        "/service/http/middleware",
        "/service/http/connections",
        "/service/http/content_encoding",
        "/service/http/cross_origin",
        "/service/http/request_line",
        "/service/http/methods",
        "/service/http/sites",
        "/service/http/trace_context",
        "/service/http/unread",
    ),
    "FastAPI, Starlette": ("/fastapi/", "/starlette/", "/service/http/direct"),
    "answer": (
        "/service/http/answers",
        "/service/http/headers",
        "/service/http/files",
        "/service/adapters/storage/links",
    ),
    "body, pydantic, order": ("/pydantic", "/python_multipart/", "/service/http/"),
    "Redis client": ("/service/adapters/redis/client/", "/site-packages/redis/", "/hiredis/"),
    "begin, finish: Python side": ("/service/adapters/redis/", "/service/gateway/admission/"),
    "call of the provider": (
        "/aiohttp/",
        "/httpx",
        "/yarl/",
        "/multidict/",
        "/service/adapters/transport",
        "/service/adapters/openai/",
    ),
    "image checks": ("/service/adapters/imaging/", "/PIL/"),
    "journal": ("/service/adapters/journal/",),
    "store": ("/service/adapters/storage/", "/obstore/"),
    "order logic": ("/service/gateway/",),
    "checks, bridge, price, fingerprint": ("/service/domain/",),
    LOOP: ("/asyncio/", "/uvloop/", "/async_timeout/"),
}
"""The first stage with a part of the path has it; other files belong to the stage that calls them."""


@cache
def name_stage(path: str) -> str:
    """Return the stage of the functions in a file; empty if they belong to their callers."""
    # Files of other packages lie below the checkout too, so that the order of the stages decides.
    return next((name for name, parts in _STAGES.items() if any(part in path for part in parts)), "")


def stages() -> list[str]:
    """Return the names of all stages."""
    return list(_STAGES)
