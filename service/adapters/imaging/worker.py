"""Decode and encode images in a process of its own, one job after another, from stdin to stdout.

A job is a name, its fields as JSON and its bytes; an answer is a word of `Verdict` and bytes. Both are framed by their
lengths: the gateway must not unpickle what a decoder may have taken over. A job that needs more than `MOST_MEMORY_BYTES`
fails, or kills this process, and no other. Ends with its gateway, even a killed one.
"""

import json
import resource
import struct
import sys
from collections.abc import Callable
from enum import IntEnum
from typing import BinaryIO

from service.domain.inputs import MAX_INPUT_PIXELS
from service.parent_death import die_with_parent

MOST_MEMORY_BYTES = 1024**3
"""Of address space; a composite of 40 megapixels needs 0.92 GB."""

JOB_FRAME = struct.Struct(">IQ")
"""Lengths of a job's JSON and of its bytes."""
ANSWER_FRAME = struct.Struct(">BQ")
"""Verdict, and the length of an answer's bytes."""


class Verdict(IntEnum):
    """The end of a job."""

    DONE = 0
    BROKEN = 1
    FAILED = 2


def main() -> None:
    """Answer jobs until stdin ends."""
    die_with_parent()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        # Elsewhere the limit is refused, or has no effect.
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY_BYTES, MOST_MEMORY_BYTES))
    while _answer_one(sys.stdin.buffer, sys.stdout.buffer):
        pass


def _answer_one(jobs: BinaryIO, answers: BinaryIO) -> bool:
    """Answer the next job; returns False if there is none."""
    frame = jobs.read(JOB_FRAME.size)
    if len(frame) < JOB_FRAME.size:
        return False
    head_bytes, data_bytes = JOB_FRAME.unpack(frame)
    head, data = json.loads(jobs.read(head_bytes)), jobs.read(data_bytes)
    verdict, result = _work(head["name"], head["fields"], data)
    answers.write(ANSWER_FRAME.pack(verdict, len(result)))
    answers.write(result)
    answers.flush()
    return True


def _work(name: str, fields: dict[str, object], data: bytes) -> tuple[Verdict, bytes]:
    # Here, so that the gateway can read this module's values without loading Pillow.
    from service.adapters.imaging import pixels  # noqa: PLC0415

    pixels.refuse_bombs(MAX_INPUT_PIXELS)
    work: dict[str, Callable[..., bytes]] = {
        "finish": pixels.finish,
        "turn": pixels.turn,
        "has_transparent_pixel": pixels.has_transparent_pixel,
        "whiten": pixels.whiten,
    }
    try:
        return Verdict.DONE, work[name](data, **fields)
    except pixels.Undecodable:
        return Verdict.BROKEN, b""
    except Exception as error:  # noqa: BLE001 - decoders raise anything, and the gateway is told that it failed
        return Verdict.FAILED, type(error).__name__.encode()


if __name__ == "__main__":
    main()
