"""A provider at OPENAI_BASE_URL alone, as servers are used that want any key."""

from pathlib import Path

import httpx

from tests.processes import run_gateway, run_sandbox


def test_a_server_that_wants_any_key_gets_one(tmp_path: Path) -> None:
    with run_sandbox() as url, run_gateway(tmp_path, openai_base_url=f"{url}/v1") as gateway:
        answer = httpx.post(
            f"{gateway.url}/v1/images/generations",
            json={"model": "dall-e-3", "prompt": "boat"},
            timeout=60,
        )

    assert answer.status_code == 200, answer.text
