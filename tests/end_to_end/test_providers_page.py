"""The example of docs/providers.md, before the three sandboxes that docs/sandbox.md starts for it."""

import contextlib
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from tests.contract.conformance import HELD
from tests.documents import code_blocks, read, rows_behind
from tests.http.house import GENERATIONS, check_error, pictures_of
from tests.processes import run_gateway, run_sandbox
from tests.shell import Shell, rows

BACKENDS = ("openai", "azure", "own")


@dataclass(frozen=True, slots=True)
class Example:
    """The gateway of the example, its sandboxes by the backends' names, and its configuration file."""

    client: httpx.Client
    sandboxes: dict[str, str]
    config: Path

    def behave(self, backend: str, **fields: object) -> None:
        url = f"{self.sandboxes[backend]}/sandbox/behaviour"
        httpx.put(url, json={"paint": "flat", **fields}, trust_env=False).raise_for_status()

    def order(self, **fields: object) -> httpx.Response:
        body = {"model": "gpt-image-2", "prompt": f"a boat {uuid4()}", "quality": "low", **fields}
        return self.client.post(GENERATIONS, json=body)


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Example]:
    directory = tmp_path_factory.mktemp("example")
    start, write_keys = [code for _, code in code_blocks(read("docs/sandbox.md"), "sh")][:2]
    subprocess.run(["sh", "-e"], input=write_keys.splitlines()[0], cwd=directory, text=True, check=True)
    addresses = dict(rows_behind("## Try several backends", read("docs/sandbox.md")))
    config = directory / "gateway.toml"
    with contextlib.ExitStack() as stack:
        sandboxes: dict[str, str] = {}
        # The end of a model must not come before that of this test.
        text = code_blocks(read("docs/providers.md"), "toml")[0][1].replace("2027-10-21", day_in(10))
        for backend in BACKENDS:
            port, path = re.findall(r"http://127.0.0.1:(\d+)(\S*)`", addresses[f"`{backend}`"])[0]
            (options,) = re.findall(rf"image-gateway sandbox --port {port}(.*) &\n", start)
            sandboxes[backend] = stack.enter_context(run_sandbox(*options.split()))
            text = with_url(text, backend, f"{sandboxes[backend]}{path}")
        config.write_text(text, "utf-8")
        gateway = stack.enter_context(run_gateway(directory / "data", config=config))
        client = httpx.Client(base_url=gateway.url, trust_env=False, timeout=60, event_hooks=HELD)
        yield Example(stack.enter_context(client), sandboxes, config)


def day_in(days: int) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).date().isoformat()


def with_url(text: str, backend: str, url: str) -> str:
    """Return the configuration *text* with the address of *backend*."""
    before, head, after = text.partition(f'name = "{backend}"')
    table, bracket, rest = after.partition("\n[")
    table = re.sub(r"\nurl = .*", "", table) + f'\nurl = "{url}"'
    return before + head + table + bracket + rest


def test_all_keys_of_the_example_are_accepted(example: Example, tmp_path: Path) -> None:
    shell = Shell(tmp_path, (("GATEWAY_CONFIG", str(example.config)), ("NO_PROXY", "*")))

    done = shell.run("config", "check")

    assert done.returncode == 0, done.stderr
    keys = rows(done.stdout.split("\n\n")[2].partition("\n")[2])
    assert {row["key"]: row["answer"] for row in keys} == {
        "openai/main": "accepted",
        "openai/second": "accepted",
        "azure/key-1": "accepted",
        "own/none": "answers",
    }


def test_each_backend_of_the_example_makes_images_and_failures_of_each_are_known(example: Example) -> None:
    long_pause = {"throttle": {"for_s": 600, "retry_after_s": 300}}
    for backend in BACKENDS:
        example.behave(backend)

    by_openai, by_azure = example.order(), example.order(model="gpt-image-1")
    example.behave("openai", **long_pause)
    example.behave("azure", **long_pause)
    by_own = example.order(n=2, output_format="webp")
    example.behave("own", **long_pause)
    by_none = example.order()

    makers = [answer.headers["x-backend"] for answer in (by_openai, by_azure, by_own)]
    assert makers == ["openai", "azure", "own"]
    assert [picture.format for picture in pictures_of(by_own)] == ["WEBP"] * 2
    check_error(by_none, 429, code="upstream_rate_limited", param=None)


def test_images_of_a_model_with_a_price_of_its_own_are_booked_at_it(tmp_path: Path) -> None:
    """The server counts no tokens, so they are booked as estimated."""
    config = tmp_path / "gateway.toml"
    declared = 'makes_several = false\nmakes = "jpeg"\nomit = ["quality", "user"]\n'
    free = code_blocks(read("docs/providers.md"), "toml")[1][1].replace("\n\n", f"\n{declared}\n", 1)
    order = {"model": "our-images", "prompt": "a boat", "quality": "high", "n": 2}
    costs = []
    with run_sandbox("--kind", "compatible", "--deployment", "gpt-image-2=gpt-image-2") as own:
        for name, text in {"free": free, "dear": re.sub("price = .*", "", free)}.items():
            config.write_text(with_url(text, "own", f"{own}/v1"), "utf-8")
            with run_gateway(tmp_path / name, config=config) as gateway:
                answer = httpx.post(f"{gateway.url}{GENERATIONS}", json=order, trust_env=False, timeout=60)
            costs.append(int(answer.raise_for_status().headers["x-cost-microusd"]))

    assert costs[0] == 0
    assert costs[1] > 100_000
