"""Gateways side by side, and orders to one of them."""

import re
from pathlib import Path

import httpx

from tests.processes import Gateway


def replica_settings(redis_url: str, sandbox_url: str, root: Path, **override: object) -> dict[str, object]:
    """Return the settings of two replicas that share Redis, the store in *root*, secrets and provider."""
    return {
        "redis_url": redis_url,
        "replicas": 2,
        "secrets": "a-secret-all-replicas-share",
        "store_url": (root / "files").as_uri(),
        "openai_base_url": f"{sandbox_url}/v1",
        "openai_api_key": "x",
        "default_policy__images_per_min": 0,
        "default_policy__requests_per_min": 0,
        **override,
    }


async def order(client: httpx.AsyncClient, gateway: Gateway, prompt: str, **fields: object) -> httpx.Response:
    body = {"model": "dall-e-3", "prompt": prompt, **fields}
    return await client.post(f"{gateway.url}/v1/images/generations", json=body)


def digests_of(answer: httpx.Response) -> list[str]:
    """Return the digests in the answer's links, in its order."""
    assert answer.status_code == 200, answer.text
    return [re.findall(r"/files/([0-9a-f]{64})\.", one["url"])[0] for one in answer.json()["data"]]
