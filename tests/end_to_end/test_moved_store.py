"""Copy the images of a directory to a bucket between two lives of a gateway: links open, and nothing is paid for again."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import obstore
import pytest

from tests.end_to_end.replicas import digests_of
from tests.processes import Gateway, run_gateway, run_sandbox, run_valkey
from tests.s3_server import S3Server

pytestmark = pytest.mark.slow


def order(gateway: Gateway) -> httpx.Response:
    body = {"model": "dall-e-3", "prompt": "a boat that moves", "n": 2}
    return httpx.post(f"{gateway.url}/v1/images/generations", json=body, trust_env=False, timeout=60)


def test_a_store_moves_from_a_directory_to_a_bucket(tmp_path: Path, s3: S3Server) -> None:
    prefix, directory = uuid4().hex, tmp_path / "store"
    with run_valkey() as valkey, run_sandbox() as provider:
        given: dict[str, Any] = {
            "redis_url": valkey.url,
            "secrets": "a-secret-that-stays",
            "openai_base_url": f"{provider}/v1",
            "openai_api_key": "sk-moved",
        }
        with run_gateway(tmp_path / "data", store_url=directory.as_uri(), **given) as before:
            first = order(before)
        bucket = s3.open_bucket(prefix)
        for file in directory.rglob("*.png"):
            obstore.put(bucket, str(file.relative_to(directory)), file.read_bytes())
        directory.rename(tmp_path / "gone")
        with run_gateway(tmp_path / "data", **given, **s3.settings(prefix)) as after:
            links = [one["url"].replace(before.url, after.url) for one in first.json()["data"]]
            opened = [httpx.get(link, trust_env=False).status_code for link in links]
            again = order(after)

    assert (opened, again.headers["x-cache"]) == ([200, 200], "hit")
    assert digests_of(again) == digests_of(first)
