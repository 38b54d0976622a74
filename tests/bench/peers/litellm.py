"""Run LiteLLM's proxy: one worker, a master key, no database, as its documents say for production."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from tests.bench.cores import CoreSet
from tests.bench.peers.environments import ENVIRONMENTS, environment, make_environment
from tests.bench.servers import Running, run_command
from tests.processes import Valkey, free_port

_CACHED_CALLS = ["image_generation", "aimage_generation"]
"""Without them it caches no images (its list of types has none of them)."""


@contextmanager
def run_litellm(
    directory: Path, provider: Running, *, valkey: Valkey | None, cores: CoreSet
) -> Iterator[Running]:
    """Run it; with *valkey* it caches images there.

    Raises:
        OSError: it cannot be installed, or does not start.
    """
    make_environment("litellm")
    file, port = directory / "config.yaml", free_port()
    file.write_text(yaml.safe_dump(_configuration(provider, valkey)), "utf-8")
    program = ENVIRONMENTS / "litellm" / "bin" / "litellm"
    command: list[str | Path] = [
        program,
        "--config",
        file,
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--num_workers",
        "1",
    ]
    variables = environment(
        LITELLM_MODE="PRODUCTION",
        LITELLM_LOG="ERROR",
        LITELLM_LOCAL_MODEL_COST_MAP="True",
        LITELLM_MASTER_KEY="sk-bench",
    )
    log = directory / "litellm.log"
    with run_command(command, port, cores=cores, environment=variables, log=log) as running:
        yield running


def _configuration(provider: Running, valkey: Valkey | None) -> dict[str, object]:
    parameters = {"api_base": f"{provider.url}/v1", "api_key": "bench"}
    settings: dict[str, object] = {"set_verbose": False, "json_logs": True, "num_retries": 0}
    if valkey:
        host, _, port = valkey.url.removeprefix("redis://").partition(":")
        settings |= {
            "cache": True,
            "cache_params": {
                "type": "redis",
                "host": host,
                "port": int(port),
                "supported_call_types": _CACHED_CALLS,
            },
        }
    return {
        "model_list": [
            {"model_name": name, "litellm_params": {"model": f"openai/{name}", **parameters}}
            for name in ("dall-e-3", "gpt-image-2")
        ],
        "litellm_settings": settings,
        "general_settings": {
            "master_key": "sk-bench",
            "disable_spend_logs": True,
            "disable_error_logs": True,
        },
    }
