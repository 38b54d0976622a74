"""Starting, draining, dying: orders survive what they can, and no process is left behind."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Iterable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.end_to_end.replicas import order
from tests.journals import count_unsettled
from tests.processes import REPOSITORY, Gateway, free_port, run_gateway
from tests.sandbox.process import SandboxHandle

GONE_S = 30.0


@pytest.fixture
async def client() -> AsyncGenerator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def standing_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("standing")


@pytest.fixture(scope="module")
def standing(standing_dir: Path) -> Iterator[Gateway]:
    """A gateway with its own sandbox and its own Valkey."""
    with run_gateway(standing_dir) as gateway:
        yield gateway


def provider(sandbox: SandboxHandle) -> dict[str, object]:
    """Return the settings that make *sandbox* the provider; Valkey stays the gateway's own."""
    return {"openai_base_url": f"{sandbox.url}/v1", "openai_api_key": "x"}


def children_of(gateway: Gateway) -> list[psutil.Process]:
    return psutil.Process(gateway.process.pid).children(recursive=True)


def still_running(children: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Return which of *children* outlive their parent by more than a moment."""
    deadline_s = time.monotonic() + GONE_S
    left = list(children)
    while left and time.monotonic() < deadline_s:
        time.sleep(0.02)
        left = [child for child in left if is_alive(child)]
    return left


def is_alive(process: psutil.Process) -> bool:
    """A dead process whose new parent has not noticed yet does not count."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_sigterm_lets_an_order_in_flight_finish_and_takes_no_other(
    sandbox: SandboxHandle, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    await sandbox.behave(paint="flat", latency_s=1)
    with run_gateway(tmp_path, **provider(sandbox)) as gateway:
        children = children_of(gateway)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(order(client, gateway, "the last boat", n=2))
            await sandbox.until_asked(2)
            gateway.process.send_signal(signal.SIGTERM)
            is_closed = await asyncio.to_thread(until_closed, gateway)
            assert not running.done()
        code = await asyncio.to_thread(gateway.process.wait, 10)

    assert running.result().status_code == 200
    assert len(running.result().json()["data"]) == 2
    assert is_closed
    assert code == 0
    assert children
    assert not still_running(children)


async def test_an_unready_gateway_takes_orders_until_a_second_signal_cuts_all_off(
    sandbox: SandboxHandle, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    with run_gateway(tmp_path, lame_duck_s=60, **provider(sandbox)) as gateway:
        gateway.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(GONE_S):
            while (await client.get(f"{gateway.url}/readyz")).status_code == 200:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.02)
        taken = await order(client, gateway, "the last boat but one")
        # It would keep uvicorn waiting for its body.
        _, writer = await asyncio.open_connection("127.0.0.1", int(gateway.url.rpartition(":")[2]))
        writer.write(
            b"POST /v1/images/generations HTTP/1.1\r\nhost: localhost\r\n"
            b"content-type: application/json\r\ncontent-length: 9\r\n\r\n"
        )
        await sandbox.behave(paint="flat", latency_s=40)
        async with asyncio.TaskGroup() as group:
            group.create_task(order_in_vain(client, gateway))
            await sandbox.until_asked(2)
            gateway.process.send_signal(signal.SIGTERM)
            code = await asyncio.to_thread(gateway.process.wait, GONE_S)
        writer.transport.abort()

    assert (taken.status_code, taken.headers["connection"]) == (200, "close")
    assert code == 0
    # All is settled in its own Valkey, which ends after it.
    assert gateway.log_lines("Application shutdown complete.")
    assert count_unsettled(tmp_path) == 0


def until_closed(gateway: Gateway) -> bool:
    """Wait until the gateway accepts no connection, while it is still running."""
    while gateway.process.poll() is None:
        try:
            httpx.get(f"{gateway.url}/livez", trust_env=False)
        except httpx.TransportError:
            return gateway.process.poll() is None
        time.sleep(0.02)
    return False


def test_sigkill_leaves_no_orphan(tmp_path: Path) -> None:
    with run_gateway(tmp_path) as gateway:
        children = children_of(gateway)
        gateway.kill()

        assert len(children) >= 2
        assert not still_running(children)


@pytest.mark.slow
def test_a_second_gateway_on_the_same_directory_says_so_and_goes(
    standing: Gateway, standing_dir: Path
) -> None:
    environment = {
        "PATH": os.defpath,
        "GATEWAY_DATA_DIR": str(standing_dir),
        "GATEWAY_PORT": str(free_port()),
    }
    second = subprocess.run(
        [sys.executable, "-m", "service", "serve"],
        env=environment,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )

    assert second.returncode == 1
    assert re.search(r"^error: .*GATEWAY_DATA_DIR", second.stderr, re.MULTILINE)
    assert "Traceback" not in second.stderr
    assert httpx.get(f"{standing.url}/livez", trust_env=False).status_code == 200


@pytest.mark.slow
def test_children_that_die_are_started_again(standing: Gateway) -> None:
    for child in children_of(standing):
        child.kill()

    answers: list[httpx.Response] = []
    deadline_s = time.monotonic() + 10
    while not (answers and is_whole(answers[-1])) and time.monotonic() < deadline_s:
        order = {"model": "dall-e-3", "prompt": f"boat {len(answers)}"}
        url = f"{standing.url}/v1/images/generations"
        answers.append(httpx.post(url, json=order, trust_env=False, timeout=5))
        time.sleep(0.05)

    assert is_whole(answers[-1])
    assert not is_whole(answers[0])
    assert 500 not in {answer.status_code for answer in answers}


def is_whole(answer: httpx.Response) -> bool:
    return answer.status_code == 200 and "x-ratelimit-degraded" not in answer.headers


@pytest.mark.slow
async def test_a_caller_that_leaves_mid_order_finds_its_images_later(
    sandbox: SandboxHandle, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    await sandbox.behave(paint="flat", latency_s=0.5)
    body = b'{"model": "dall-e-3", "prompt": "an abandoned boat", "n": 2}'
    with run_gateway(tmp_path, **provider(sandbox)) as gateway:
        _, writer = await asyncio.open_connection("127.0.0.1", int(gateway.url.rpartition(":")[2]))
        writer.write(
            b"POST /v1/images/generations HTTP/1.1\r\nhost: localhost\r\n"
            b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
        )
        try:
            await sandbox.until_asked(2)
        finally:
            writer.transport.abort()
        assert await sandbox.count_painted() == 2

        answer = await order(client, gateway, "an abandoned boat", n=2)

    assert answer.status_code == 200
    # The abandoned order may still be storing its images: then it shares them.
    assert answer.headers["x-cache"] in {"hit", "coalesced"} or "misses=0" in answer.headers["x-cache"]
    assert answer.headers["x-cost-microusd"] == "0"
    assert await sandbox.count_painted() == 2


@pytest.mark.slow
async def test_a_restart_keeps_limits_cache_and_links(
    sandbox: SandboxHandle, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    settings = {**provider(sandbox), "default_policy__images_per_min": 4}
    with run_gateway(tmp_path, **settings) as gateway:
        made = await order(client, gateway, "a lasting boat", n=4)
        refused_before = await order(client, gateway, "another boat", n=4)
        assert gateway.stop() == 0
    with run_gateway(tmp_path, **settings) as gateway:
        found = await order(client, gateway, "a lasting boat", n=4)
        refused_after = await order(client, gateway, "another boat", n=4)
        old_link = made.json()["data"][0]["url"]
        path = "/" + old_link.split("/", 3)[3]
        file = await client.get(f"{gateway.url}{path}")

    assert (made.status_code, refused_before.status_code) == (200, 429)
    assert found.headers["x-cache"] == "hit"
    assert refused_after.status_code == 429
    assert file.status_code == 200
    assert await sandbox.count_painted() == 4


@pytest.mark.slow
async def test_an_order_beyond_the_drain_is_cut_off_and_booked(
    sandbox: SandboxHandle, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    await sandbox.behave(paint="flat", latency_s=40)
    with run_gateway(tmp_path, drain_s=0.5, **provider(sandbox)) as gateway:
        async with asyncio.TaskGroup() as group:
            group.create_task(order_in_vain(client, gateway))
            await sandbox.until_asked(1)
            gateway.process.send_signal(signal.SIGTERM)
            code = await asyncio.to_thread(gateway.process.wait, 25)

    assert code == 0
    assert count_unsettled(tmp_path) == 0
    with run_gateway(tmp_path, **provider(sandbox)) as gateway:
        async with asyncio.timeout(GONE_S):
            while not (booked := await unknown_images(client, gateway)):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.1)
    assert booked == 1


async def unknown_images(client: httpx.AsyncClient, gateway: Gateway) -> int:
    usage = (await client.get(f"{gateway.url}/v1/usage")).json()
    return sum(total["images"] for total in usage["totals"] if total["outcome"] == "unknown")


async def order_in_vain(client: httpx.AsyncClient, gateway: Gateway) -> None:
    """Who is cut off is told so, in the envelope."""
    answer = await order(client, gateway, "a boat too late")
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "cut_off")
