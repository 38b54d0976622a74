"""Replace both gateways under load, as an upgrade does: no order may fail."""

import itertools
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

from tests.container.proofs import Proofs
from tests.container.stack import GATEWAYS, Stack

_CUSTOMERS = 16
_REGULARS = 4
"""They order the same image again and again: quick answers, of which some fall into any moment of an end."""
_PAUSE_S = 0.02
"""Of a regular, between two orders."""
_LATENCY_S = 1.0
"""Of the provider, so that orders are in flight whenever a gateway ends."""
_PATIENCE_S = 60.0
_BODIES: tuple[dict[str, object], ...] = (
    {"model": "dall-e-3", "response_format": "url"},
    {"model": "dall-e-3", "response_format": "url", "n": 2},
    {"model": "gpt-image-2", "stream": True, "partial_images": 1},
)
_numbers = itertools.count(1)


@dataclass(slots=True)
class Load:
    """Customers that order without a pause, each over connections of its own; counts outcomes."""

    url: str
    outcomes: Counter[str] = field(default_factory=Counter)
    _is_over: threading.Event = field(default_factory=threading.Event)

    def order_until_over(self) -> None:
        """Order another image each time, and count each answer by its status, or by the error."""
        with httpx.Client(base_url=self.url, timeout=_PATIENCE_S, trust_env=False) as client:
            while not self._is_over.is_set():
                number = next(_numbers)
                body = {"prompt": f"a boat, number {number}", **_BODIES[number % len(_BODIES)]}
                self.outcomes[_order(client, body)] += 1

    def repeat_until_over(self) -> None:
        """Order the same image each time."""
        with httpx.Client(base_url=self.url, timeout=_PATIENCE_S, trust_env=False) as client:
            while not self._is_over.wait(_PAUSE_S):
                self.outcomes[_order(client, {"prompt": "the harbour", **_BODIES[1]})] += 1

    def end(self) -> None:
        self._is_over.set()

    @property
    def failed(self) -> Counter[str]:
        return Counter(
            {outcome: count for outcome, count in self.outcomes.items() if not outcome.startswith("200 ")}
        )


def check_roll(stack: Stack, proofs: Proofs) -> None:
    """Replace one gateway after the other under load, and count what orders got."""
    stack.set_latency(_LATENCY_S)
    with _load(stack.url) as load:
        time.sleep(2)
        for gateway in GATEWAYS:
            old, before = stack.identity(gateway), load.outcomes.total()
            began_s = time.monotonic()
            stack.up(gateway, recreate=True)
            lasted_s, during = time.monotonic() - began_s, load.outcomes.total() - before
            proofs.hold(
                stack.identity(gateway) != old and during > 0,
                f"{gateway} replaced under load in {lasted_s:.0f} s: {during} orders meanwhile",
            )
        time.sleep(2)
    seen = ", ".join(f"{count} x {outcome}" for outcome, count in sorted(load.outcomes.items()))
    claim = f"both gateways replaced: {load.outcomes.total()} orders, {load.failed.total()} failed ({seen})"
    proofs.hold(not load.failed, claim)
    stack.set_latency(0)


@contextmanager
def _load(url: str) -> Iterator[Load]:
    load = Load(url)
    customers = [
        *(threading.Thread(target=load.order_until_over) for _ in range(_CUSTOMERS)),
        *(threading.Thread(target=load.repeat_until_over) for _ in range(_REGULARS)),
    ]
    for customer in customers:
        customer.start()
    try:
        yield load
    finally:
        load.end()
        for customer in customers:
            customer.join()


def _order(client: httpx.Client, body: Mapping[str, object]) -> str:
    path = "/v1/images/generations"
    try:
        with client.stream("POST", path, json=body) as answer:
            text = answer.read().decode()
    except httpx.TransportError as error:
        return f"{type(error).__name__}: {error}"
    if answer.status_code != 200:
        return f"{answer.status_code} {_code_in(text)}"
    if "stream" not in body:
        return f"200 {answer.headers['x-cache'].partition(';')[0]}"
    return (
        "200 stream" if "image_generation.completed" in text else f"stream without its end: {_code_in(text)}"
    )


def _code_in(text: str) -> str:
    found = re.search(r'"code": ?"(\w+)"', text)
    return found[1] if found else text[:100]
