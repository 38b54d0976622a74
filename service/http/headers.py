"""Write the response headers of answers and errors; `middleware.py` adds those that every response has.

How to add one to answers: in `order_headers`, with what it needs from `answers.py`, in the table of `docs/http.md`, and in
`_LATE_HEADERS` of `streaming.py` if it is known only at an order's end.
"""

import math
from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime, time
from email.utils import format_datetime
from functools import cache

from service.domain.errors import LimitState
from service.domain.images import Source
from service.domain.limits import RATES, Unit, kind_of
from service.domain.progress import OUTCOMES, Admitted, ImageReady

NO_RETRY = {"x-should-retry": "false"}


def retry_headers(seconds: float) -> dict[str, str]:
    """Return both retry headers: 1 to 60 whole seconds, and milliseconds.

    SDKs ignore delays above 60 s.
    """
    seconds = min(max(seconds, 0.001), 60.0)
    return {
        "retry-after": str(max(1, math.ceil(seconds))),
        "retry-after-ms": str(math.ceil(seconds * 1000)),
    }


def _duration_text(seconds: float) -> str:
    """Return *seconds* as OpenAI writes durations: `120ms`, `1.2s`."""
    milliseconds = math.ceil(seconds * 1000)
    return f"{milliseconds}ms" if milliseconds < 1000 else f"{milliseconds / 1000:g}s"


def limit_headers(
    limits: tuple[LimitState, ...], *, degraded: bool, refused: LimitState | None = None
) -> dict[str, str]:
    """Return `x-ratelimit-*` as OpenAI names them; resets are durations like `1.2s`.

    The tightest of several scopes counts: the one with the least remaining, then the smaller limit. *refused* is the
    limit that refused the order, which takes precedence.
    """
    headers: dict[str, str] = {}
    rates = [limit for limit in limits if limit.resource in RATES]
    rates.sort(key=lambda state: (state.remaining, state.limit), reverse=True)
    for resource, tightest in {limit.resource: limit for limit in rates}.items():
        headers |= _headers_of(tightest, resource)
    if refused is not None and (unit := kind_of(refused.resource).unit) is not Unit.MICROUSD:
        headers |= _headers_of(refused, unit)
    if degraded:
        headers["x-ratelimit-degraded"] = "true"
    return headers


def _headers_of(limit: LimitState, unit: str) -> dict[str, str]:
    return {
        f"x-ratelimit-limit-{unit}": str(limit.limit),
        f"x-ratelimit-remaining-{unit}": str(limit.remaining),
        f"x-ratelimit-reset-{unit}": _duration_text(limit.reset_s),
    }


def order_headers(
    *,
    sent_model: str,
    shutdown: date | None,
    admitted: Admitted | None,
    images: Collection[ImageReady],
    is_cached: bool,
    timings_s: Mapping[str, float],
) -> dict[str, str]:
    """Return the headers of an order's answer, as far as they are known.

    *sent_model* is the one expected to make the images, *shutdown* is that of the asked model; *is_cached*: the order may use the cache. *timings_s* has the duration of the
    `order`, and of its parts by name.
    """
    made = [ready.image for ready in images if ready.source is Source.MADE]
    headers = {
        "x-model-sent": made[0].sent_model if made else sent_model,
        "server-timing": ", ".join([f"{name};dur={each * 1000:.1f}" for name, each in timings_s.items()]),
        "openai-processing-ms": str(int(timings_s["order"] * 1000)),
        "openai-version": "2020-10-01",
    }
    if backends := dict.fromkeys([image.backend for image in made if image.backend]):
        headers["x-backend"] = ", ".join(backends)
    if admitted is not None:
        headers |= limit_headers(admitted.limits, degraded=admitted.degraded)
        if admitted.is_replayed:
            headers["idempotent-replayed"] = "true"
    if images:
        equal = admitted.equal if admitted is not None else 0
        headers["x-cache"] = cache_state(images, is_cached=is_cached, equal=equal)
        headers["x-cost-microusd"] = cost_to_team(images)
    if any(ready.source is Source.HIT for ready in images):
        headers["age"] = str(int(max(ready.age_s for ready in images)))
    if shutdown is not None:
        headers |= _end_headers(shutdown)
    return headers


@cache
def _end_headers(shutdown: date) -> Mapping[str, str]:
    """Return the headers of a model that ends; there are a few such days."""
    ends = datetime.combine(shutdown, time(), UTC)
    return {"sunset": format_datetime(ends, usegmt=True), "deprecation": f"@{int(ends.timestamp())}"}


def cache_state(images: Collection[ImageReady], *, is_cached: bool, equal: int = 0) -> str:
    """Return the value of `x-cache`: `hit`, `coalesced`, `miss`, `bypass`, or `partial` with the number from each source.

    *equal* numbers the order among equal ones at once; from the second on, the value has it.
    """
    if not is_cached:
        return "bypass"
    sources = [ready.source for ready in images]
    if len(set(sources)) == 1:
        state: str = OUTCOMES[sources[0]]
    else:
        hits, coalesced, made = (sources.count(each) for each in OUTCOMES)
        state = f"partial; hits={hits}; coalesced={coalesced}; misses={made}"
    return f"{state}; equal={equal}" if equal > 1 else state


def cost_of(ready: ImageReady) -> int | None:
    """Return the cost of an image to its order: 0 if another order paid for it, None if unknown."""
    return ready.image.cost_microusd if ready.source is Source.MADE else 0


def cost_to_team(images: Collection[ImageReady]) -> str:
    """Return the value of `x-cost-microusd`: the cost of the images made for this order."""
    costs = [cost_of(ready) for ready in images]
    return "unknown" if None in costs else str(sum(cost for cost in costs if cost is not None))
