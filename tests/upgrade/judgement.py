"""Compare what callers were answered with the provider's journal, the ledger and what is left in Redis."""

import asyncio
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tests.chaos.books import read_remains
from tests.chaos.finding import Finding
from tests.chaos.ground import Answer
from tests.processes import Valkey
from tests.sandbox.process import SandboxHandle
from tests.upgrade.orders import LIMITS, Answered, Load

_MOST_LINKS = 60
_SETTLED_S = 75
"""Longer than a lease and the sweep that follows it."""
_LARGEST_ESTIMATE_MICROUSD = 2 * 60_000


async def judge(
    directories: Sequence[Path], valkey: Valkey, sandbox: SandboxHandle, load: Load, finding: Finding
) -> None:
    """Expect that nothing was lost, paid for twice, or counted wrongly."""
    answered, ground = load.answered, load.callers["crowd"]
    for name, codes in answered.codes.items():
        finding.note(f"{name}: {dict(codes.most_common())}")
    finding.equal("answers that are neither images nor limits", answered.unexpected[:5], [])
    finding.equal("answers without Redis", answered.degraded, 0)
    redis, url = await ground.redis(valkey), load.gateways[0].url
    remains: Counter[str] = Counter()
    for _ in range(_SETTLED_S):
        if not +(remains := await read_remains(redis, *directories)):
            break
        await asyncio.sleep(1)
    finding.equal("left in flight", dict(+remains), {})
    journal = await sandbox.journal()
    _judge_images(journal, answered, finding)
    _judge_sharing(answered, finding)
    for name, caller in load.callers.items():
        booked = await caller.booked(url)
        made = sum(_paid(journal, name).values())
        finding.equal(f"{name}: booked of {made} images made", dict(booked), {"made": made})
        microusd = (await caller.booked(url, "microusd"))["made"]
        span = answered.spans[name]
        _judge_limit(name, journal, microusd, max(span) - min(span), finding)
    await _judge_kept(load, sandbox, finding)


def _judge_images(journal: Sequence[dict[str, Any]], answered: Answered, finding: Finding) -> None:
    """Expect that each prompt was paid for as often as its largest order wanted."""
    paid = _paid(journal)
    finding.note(f"{paid.total()} images of {len(paid)} prompts")
    wanted = Counter(answered.wanted)
    finding.equal("paid for twice", dict(list((paid - wanted).items())[:5]), {})
    finding.equal("delivered and not paid for", dict(list((wanted - paid).items())[:5]), {})


def _judge_sharing(answered: Answered, finding: Finding) -> None:
    unlike = [prompt for prompt, answers in answered.equal.items() if len(_union(answers)) > _most(answers)]
    finding.equal(f"of {len(answered.equal)} crowds of equal orders, with unlike images", unlike, [])
    changed = [one for one, other in answered.repeated if _digests(one) != _digests(other)]
    finding.equal(f"of {len(answered.repeated)} repeats by key, with other images", len(changed), 0)


def _judge_limit(
    name: str, journal: Sequence[dict[str, Any]], microusd: int, seconds: float, finding: Finding
) -> None:
    made = sum(_paid(journal, name).values())
    for limit, amount in LIMITS[name].items():
        match limit:
            case "images_per_day":
                finding.equal(f"{name}: made", made, amount)
            case "budget_per_month_microusd":
                finding.at_most(f"{name}: spent", microusd, amount)
                finding.at_least("of them", microusd, amount - _LARGEST_ESTIMATE_MICROUSD)
            case "images_in_flight":
                finding.equal(f"{name}: most at once", _most_at_once(journal, name), amount)
            case _:
                finding.at_most(f"{name}: made in {seconds:.1f} s", made, int(amount + seconds * amount / 60))
                finding.at_least("of them", made, amount)


async def _judge_kept(load: Load, sandbox: SandboxHandle, finding: Finding) -> None:
    """Expect that links open, and that what was ordered before costs nothing now."""
    before, answered = await sandbox.count_painted(), load.answered
    ground, url = load.callers["crowd"], load.gateways[-1].url
    links = answered.links[:: max(1, len(answered.links) // _MOST_LINKS)]
    statuses = Counter(
        [(await ground.ask("GET", url + re.sub(r"^https?://[^/]+", "", link))).status for link in links]
    )
    finding.equal("links", dict(statuses), {200: len(links)})
    for prompt in answered.equal:
        await load.order("crowd", prompt, n=answered.wanted[prompt])
    finding.equal("paid for again", await sandbox.count_painted() - before, 0)


def _paid(journal: Iterable[dict[str, Any]], caller: str = "") -> Counter[str]:
    paid: Counter[str] = Counter()
    for entry in journal:
        if (entry["prompt"] or "").startswith(caller):
            paid[entry["prompt"]] += len(entry["images"])
    return +paid


def _most_at_once(journal: Iterable[dict[str, Any]], caller: str) -> int:
    """Return the largest number of the caller's images that were being made at one moment."""
    changes = []
    for entry in journal:
        if (entry["prompt"] or "").startswith(caller):
            asked = int(entry["parameters"].get("n") or 1)
            changes += [(entry["started_monotonic_s"], asked), (entry["finished_monotonic_s"], -asked)]
    return max(itertools.accumulate(change for _, change in sorted(changes)), default=0)


def _digests(answer: Answer) -> list[str]:
    return re.findall(r"/files/([0-9a-f]{64})\.", answer.content.decode())


def _union(answers: Iterable[Answer]) -> set[str]:
    return set(itertools.chain.from_iterable(_digests(one) for one in answers))


def _most(answers: Iterable[Answer]) -> int:
    return max(one.images for one in answers)
