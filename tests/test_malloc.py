"""Give memory back: thresholds of the C library, and heaps that are trimmed once a process is idle."""

import asyncio
import re
import subprocess
import sys

import pytest

from service import malloc
from service.wiring.memory import trim_when_idle
from tests.documents import read
from tests.processes import REPOSITORY

_BLOCKS = """
import resource
import psutil
from service import malloc

malloc.give_back_freed()
process = psutil.Process()

def megabytes():
    return process.memory_info().rss / 2**20

before = megabytes()
blocks = [bytearray(2 * 2**20) for _ in range(100)]
kept = blocks[::2]
del blocks
malloc.trim()
print(megabytes() - before)

bytearray(8 * 2**20)
faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(100):
    bytearray(8 * 2**20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc only")
def test_freed_blocks_are_used_again_and_go_back_to_the_system_at_rest() -> None:
    """Half of 200 MB is freed, in pieces; then a block is made a hundred times, of two thousand pages."""
    command = [sys.executable, "-c", _BLOCKS]
    grown_mb, faults = subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=True).stdout.split()

    assert float(grown_mb) < 125
    assert int(faults) < 10_000


def test_the_image_sets_the_same_thresholds() -> None:
    image = read("Dockerfile")

    assert dict(re.findall(r"MALLOC_(\w+?)_?=(\d+)", image)) == {
        "MMAP_THRESHOLD": str(malloc.MAPPED_BYTES),
        "TRIM_THRESHOLD": str(malloc.KEPT_BYTES),
        "ARENA_MAX": str(malloc.ARENAS),
    }


async def test_heaps_are_trimmed_once_after_each_busy_time() -> None:
    looks = [True] * 3 + [False] * 9 + [True] + [False] * 25 + [True] + [False] * 12
    trims: list[int] = []

    with pytest.raises(IndexError):
        await trim_when_idle(lambda: looks.pop(0), trim=lambda: trims.append(len(looks)), look_s=0)

    # Nine quiet looks are too few; the tenth trims, and later ones do not again.
    assert trims == [28, 2]


async def test_a_process_without_a_pause_is_trimmed_once_a_minute() -> None:
    looks = ([True] * 3 + [False]) * 60
    trims: list[int] = []

    with pytest.raises(IndexError):
        await trim_when_idle(lambda: looks.pop(0), trim=lambda: trims.append(len(looks)), look_s=0)

    assert len(trims) == 3


async def test_a_process_that_never_was_busy_gives_back_what_its_start_took() -> None:
    trimmed = asyncio.Event()

    async with asyncio.TaskGroup() as group:
        loop = asyncio.get_running_loop()
        task = group.create_task(
            trim_when_idle(lambda: False, trim=lambda: loop.call_soon_threadsafe(trimmed.set), look_s=0)
        )
        await trimmed.wait()
        task.cancel()
