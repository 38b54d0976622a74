"""A disk that fills up under what a gateway writes: Valkey's log, images, the journal and uploads."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

from tests.chaos.disks import Disk, run_disk
from tests.chaos.expectations import expect_exact_books, expect_no_crash, is_unwell, order_base64
from tests.chaos.finding import Finding
from tests.chaos.forms import edit
from tests.chaos.ground import EDITS, WITH_KEYS, Answer, Ground
from tests.chaos.provider import Provider, new_picture
from tests.chaos.row import Rows
from tests.journals import held_by_another
from tests.processes import Gateway, run_valkey

ROWS = Rows([])
_DISK_MIB = 48


@ROWS.add(
    "full-disk",
    "Valkey's log, store and journal on one disk that fills up; orders go on, room returns, and the ledger is read",
    covers="P3 A7",
)
async def full_disk(ground: Ground, finding: Finding) -> None:
    disk, gateway, provider = await _on_a_disk(ground)
    codes = await order_base64(ground, gateway, 10)
    disk.fill()
    ground.tell("the disk is full")
    for _ in range(3):
        codes += await order_base64(ground, gateway, 10)
        await asyncio.sleep(1.5)
    finding.is_true("readiness tells", is_so=await is_unwell(ground, gateway))
    expect_no_crash(finding, gateway, codes)
    disk.free()
    ground.tell("the disk has room")
    codes = await order_base64(ground, gateway, 5)
    await asyncio.sleep(2)
    codes = await order_base64(ground, gateway, 5)
    finding.equal("with room again", codes, {"200": 5})
    await expect_exact_books(ground, finding, gateway, provider)


@ROWS.add(
    "full-disk-restart",
    "the same disk, SIGKILL while it is full, restart on the full disk, room, and the ledger is read",
    covers="P3",
)
async def full_disk_restart(ground: Ground, finding: Finding) -> None:
    disk, gateway, provider = await _on_a_disk(ground)
    codes = await order_base64(ground, gateway, 10)
    disk.fill()
    codes += await order_base64(ground, gateway, 15)
    gateway.kill()
    expect_no_crash(finding, gateway, codes)
    ground.tell("starting on the full disk")
    async with asyncio.TaskGroup() as group:
        group.create_task(_free_after(disk, 15))
        gateway = await _start_again(ground, finding, provider)
    await ground.until_ready(gateway.url)
    await asyncio.sleep(2)
    await expect_exact_books(ground, finding, gateway, provider)


async def _mount(ground: Ground) -> Disk:
    """Mount a small disk as a gateway's directory, without its log: what it logs while the disk is full is read."""
    disk = await ground.enter(lambda: run_disk(ground.directory / "disk", mib=_DISK_MIB))
    (disk.path / "gateway.log").symlink_to(ground.directory / "gateway.log")
    return disk


async def _free_after(disk: Disk, seconds: float) -> None:
    await asyncio.sleep(seconds)
    disk.free()


async def _start_again(ground: Ground, finding: Finding, provider: Provider) -> Gateway:
    """Start the gateway until it stays, as a supervisor does."""
    for times in range(1, 20):
        try:
            gateway = await ground.gateway(provider, "disk", sweep_s=1)
        except AssertionError:
            await asyncio.sleep(1)
        else:
            finding.note(f"it starts at the {times}. time")
            return gateway
    raise AssertionError("it does not start")


@ROWS.add(
    "full-log",
    "the log alone is on a disk that fills up: orders, a drain and the ledger go on without it",
    covers="P3",
)
async def full_log(ground: Ground, finding: Finding) -> None:
    provider = await ground.provider()
    disk = await ground.enter(lambda: run_disk(ground.directory / "disk", mib=_DISK_MIB))
    home = ground.directory / "gateway"
    home.mkdir()
    (home / "gateway.log").symlink_to(disk.path / "log")
    gateway = await ground.gateway(provider)
    disk.fill()
    ground.tell("the log's disk is full")
    codes = await order_base64(ground, gateway, 15)
    finding.equal("answers", codes, {"200": 15})
    await expect_exact_books(ground, finding, gateway, provider)
    finding.equal("exit code", await asyncio.to_thread(gateway.stop), 0)


async def _on_a_disk(ground: Ground, **settings: Any) -> tuple[Disk, Gateway, Provider]:
    """Start a gateway whose directory, with all it keeps, is a small file system."""
    provider = await ground.provider()
    disk = await _mount(ground)
    return disk, await ground.gateway(provider, "disk", sweep_s=1, **settings), provider


@ROWS.add(
    "redis-away-disk-full",
    "Redis is killed and the journal's disk is full, then it takes nothing; all return, and the ledger is read",
    covers="P3",
)
async def redis_away_disk_full(ground: Ground, finding: Finding) -> None:
    provider = await ground.provider()
    disk = await _mount(ground)
    home = ground.directory / "valkey"
    home.mkdir()
    opening = partial(run_valkey, directory=home, config={"appendonly": "yes", "appendfsync": "always"})
    valkey = await ground.enter(lambda: opening(port=0))
    gateway = await ground.gateway(provider, "disk", redis_url=valkey.url, redis_timeout_s=1)
    codes = await order_base64(ground, gateway, 5)
    disk.fill()
    valkey.process.kill()
    ground.tell("Redis is away and the disk is full")
    away = Counter[str]()
    for _ in range(4):
        away += await order_base64(ground, gateway, 5)
        await asyncio.sleep(0.5)
    finding.equal("on the reserve of the journal", away, {"200": 20})
    before = len(provider.calls)
    with held_by_another(ground.directory / "disk"):
        ground.tell("the journal takes nothing")
        away = await order_base64(ground, gateway, 10)
    finding.equal("calls while neither takes a settlement", len(provider.calls) - before, 0)
    finding.equal("then", away, {"state_unavailable": 10})
    expect_no_crash(finding, gateway, away)
    disk.free()
    await ground.enter(lambda: opening(port=int(valkey.url.rpartition(":")[2])))
    ground.tell("both are back")
    await asyncio.sleep(3)
    codes = await order_base64(ground, gateway, 5)
    finding.equal("afterwards", codes, {"200": 5})
    await expect_exact_books(ground, finding, gateway, provider)


@ROWS.add(
    "uploads-on-a-full-disk",
    "an edit's form on a full disk; then unfinished forms of one caller while another edits",
    covers="P13 A7",
)
async def uploads_on_a_full_disk(ground: Ground, finding: Finding) -> None:
    disk, gateway, provider = await _on_a_disk(ground, **WITH_KEYS)
    attacker, other = await ground.caller(gateway, "attacker"), await ground.caller(gateway, "other")
    finding.equal("an edit before", (await edit(other, gateway.url)).code, "200")
    disk.fill()
    answers = [await edit(other, gateway.url) for _ in range(3)]
    expect_no_crash(finding, gateway, Counter(answer.code for answer in answers))
    finding.is_true("retryable", is_so=all(answer.status == 503 for answer in answers))
    disk.free()
    await asyncio.sleep(2)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_send_half(attacker, gateway, mib=45)) for _ in range(3)]
        await asyncio.sleep(4)
        others = [await edit(other, gateway.url) for _ in range(3)]
        for task in tasks:
            task.cancel()
    codes = Counter(answer.code for answer in others)
    expect_no_crash(finding, gateway, codes)
    finding.equal("edits beside unfinished forms", codes, {"200": 3})
    uploads = Path(ground.directory / "disk" / "uploads")

    finding.is_true(
        "uploads are removed", is_so=await ground.until(lambda: not any(uploads.rglob("*.*")), 20)
    )
    await expect_exact_books(other, finding, gateway, provider)


async def _send_half(ground: Ground, gateway: Gateway, *, mib: int) -> Answer:
    """Send most of a form and never its end."""

    async def body() -> AsyncIterator[bytes]:
        yield b'--b\r\ncontent-disposition: form-data; name="image"; filename="a.png"\r\n\r\n' + new_picture()
        for _ in range(mib - 1):
            yield bytes(2**20)
        await asyncio.sleep(60)

    headers = {"content-type": "multipart/form-data; boundary=b"}
    return await ground.post(f"{gateway.url}{EDITS}", data=body(), headers=headers)
