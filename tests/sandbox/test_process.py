"""The process: one line, an end that waits for nobody, no orphan."""

import asyncio
import signal
import socket
import sys
from pathlib import Path

import httpx
import orjson
import pytest

from tests.sandbox.process import (
    REPOSITORY,
    START_S,
    SandboxHandle,
    open_process,
    read_line,
    run_sandbox,
    stop_process,
)

LATENCY_S = "300"
"""Longer than anybody here waits: what has ended did not end by itself."""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_ends_although_requests_sleep(number: signal.Signals) -> None:
    async with (
        open_process("--latency-s", LATENCY_S, "--fault-proxy") as process,
        asyncio.TaskGroup() as group,
    ):
        line = await read_line(process)
        for url in (line["url"], line["fault_url"]):
            group.create_task(expect_no_images(url))
        await wait_for_requests(line["url"], 2)

        process.send_signal(number)
        rest = await wait_for_end(process)

    assert (process.returncode, rest) == (0, b"")


async def test_ends_although_a_stream_is_open(tmp_path: Path) -> None:
    file = tmp_path / "journal.jsonl"
    body = {"model": "gpt-image-2", "prompt": "a cat", "stream": True, "partial_images": 1}
    async with (
        open_process("--latency-s", LATENCY_S, "--journal-file", str(file)) as process,
        httpx.AsyncClient(trust_env=False, headers={"authorization": "Bearer k"}) as client,
    ):
        line = await read_line(process)
        async with client.stream("POST", f"{line['url']}/v1/images/generations", json=body) as answer:
            process.send_signal(signal.SIGTERM)
            with pytest.raises(httpx.RemoteProtocolError):
                await answer.aread()
            await wait_for_end(process)

    (entry,) = [orjson.loads(one) for one in file.read_bytes().splitlines()]
    assert (entry["status"], entry["billed"]) == (200, False)


async def test_ends_when_its_parent_closes_stdin() -> None:
    async with open_process("--exit-with-parent") as process:
        await read_line(process)

        assert process.stdin is not None
        process.stdin.close()
        await wait_for_end(process)

    assert process.returncode == 0


async def test_does_not_outlive_a_parent_that_is_killed() -> None:
    """The parent holds the pipe and dies without a word; the sandbox must go with it."""
    script = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-m', 'service.sandbox', '--exit-with-parent'],"
        " stdin=subprocess.PIPE)\n"
        "time.sleep(60)\n"
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, cwd=REPOSITORY, stdout=asyncio.subprocess.PIPE
    )
    line = await read_line(parent)
    async with httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(f"{line['url']}/sandbox/journal")).status_code == 200

    parent.kill()

    # Its stdout is ours: it ends once both have gone.
    async with asyncio.timeout(START_S):
        await parent.communicate()
    with pytest.raises(httpx.ConnectError):
        async with httpx.AsyncClient(trust_env=False) as client:
            await client.get(f"{line['url']}/sandbox/journal")


async def test_lives_without_stdin_unless_told() -> None:
    async with open_process() as process, httpx.AsyncClient(trust_env=False) as client:
        line = await read_line(process)
        assert process.stdin is not None
        process.stdin.close()
        await process.stdin.wait_closed()

        answer = await client.get(f"{line['url']}/sandbox/behaviour")

    assert answer.status_code == 200


async def test_without_controls_no_process_reads_the_prompts() -> None:
    async with open_process("--without-controls") as process:
        line = await read_line(process)
        async with SandboxHandle(line["url"], None) as handle:
            assert (await handle.generate(prompt="a prompt of one caller")).status_code == 200
            for path in ("/sandbox/journal", "/sandbox/behaviour", "/sandbox/faults", "/sandbox"):
                answer = await handle.client.get(path)
                assert (answer.status_code, b"one caller" in answer.content) == (404, False)


async def test_prints_one_line_and_keeps_silent() -> None:
    async with open_process() as process:
        line = await read_line(process)
        async with httpx.AsyncClient(trust_env=False) as client:
            await client.get(f"{line['url']}/v1/models")
            await client.get(f"{line['url']}/nothing")

        rest = await stop_process(process)

    assert line == {"event": "listening", "url": line["url"], "fault_url": None}
    assert rest == b""


async def test_listens_where_it_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    async with run_sandbox(host="127.0.0.1", port=port) as own:
        assert own.url == f"http://127.0.0.1:{port}"


async def test_says_so_when_the_port_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = str(held.getsockname()[1])
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "service.sandbox",
            "--port",
            port,
            cwd=REPOSITORY,
            stderr=asyncio.subprocess.PIPE,
        )
        _, complaint = await process.communicate()

    assert process.returncode == 1
    assert complaint.decode() == f"cannot listen on 127.0.0.1 port {port}: Address already in use\n"


async def test_help_teaches() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "service.sandbox", "--help", cwd=REPOSITORY, stdout=asyncio.subprocess.PIPE
    )
    page, _ = await process.communicate()

    for word in (
        b"/sandbox/journal",
        b"/sandbox/behaviour",
        b"/sandbox/faults",
        b"--today",
        b"--kind",
        b"--deployment",
    ):
        assert word in page


async def test_knows_nothing_of_the_gateway() -> None:
    script = "import sys, service.sandbox.__main__, orjson; print(orjson.dumps(sorted(sys.modules)).decode())"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, cwd=REPOSITORY, stdout=asyncio.subprocess.PIPE
    )
    page, _ = await process.communicate()

    modules = [name for name in orjson.loads(page) if name.startswith("service.")]
    assert [name for name in modules if not name.startswith("service.sandbox")] == []


async def wait_for_end(process: asyncio.subprocess.Process) -> bytes:
    async with asyncio.timeout(START_S):
        rest, _ = await process.communicate()
    return rest


async def expect_no_images(url: str) -> None:
    body = {"model": "gpt-image-2", "prompt": "a cat"}
    async with httpx.AsyncClient(trust_env=False, headers={"authorization": "Bearer k"}) as client:
        try:
            answer = await client.post(f"{url}/v1/images/generations", json=body, timeout=20)
        except httpx.TransportError:
            return
    assert answer.status_code == 500


async def wait_for_requests(url: str, count: int) -> None:
    async with httpx.AsyncClient(trust_env=False) as client, asyncio.timeout(START_S):
        while len((await client.get(f"{url}/sandbox/journal")).json()["entries"]) < count:
            pass


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (["images"], "takes NAME=MODEL, such as images=gpt-image-2"),
        (["images=gpt-9"], "gpt-9 is no model; these are: gpt-image-2,"),
        (["a=gpt-image-2", "a=gpt-image-1"], "takes each NAME once"),
    ],
)
async def test_says_which_deployments_it_takes(given: list[str], complaint: str) -> None:
    options = [word for pair in given for word in ("--deployment", pair)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "service.sandbox", *options, cwd=REPOSITORY, stderr=asyncio.subprocess.PIPE
    )
    _, page = await process.communicate()

    assert process.returncode in {1, 2}
    assert complaint in " ".join(page.decode().replace("│", " ").split())
