"""a: a small new image. b: a large one, stored and delivered."""

from tests.bench.bench import Bench
from tests.bench.results import GATEWAY
from tests.bench.rounds import Lane, measure_cpu, measure_latency
from tests.bench.scenarios.orders import BASE64, LARGE_BYTES, LARGER_BYTES, LINK, SMALL_BYTES, fresh

SMALL, SMALL_LINK = "a small miss, base64", "a small miss, URL"
SMALL_LATE, SMALL_LINK_LATE = f"{SMALL}, provider 50 ms", f"{SMALL_LINK}, provider 50 ms"
AT_100, AT_30 = "a added latency at 100/s, provider 50 ms", "a added latency at 30/s, provider 50 ms"
LARGE, LARGER, LARGE_LINK = "b miss, 1.5 MB, base64", "b miss, 3 MB, base64", "b miss, 1.5 MB, URL"
LATE_MS = 50
_NEAREST = ("pass-through", "floor")
_ALL = (*_NEAREST, "frame", "nginx", "Portkey", "LiteLLM")
_LARGE_MOST, _LARGER_MOST = 120, 60
"""Orders of a lane in a round: each writes its image to the disk."""


def measure_small(bench: Bench) -> None:
    """Measure CPU without and with a late provider, and the latency that is added."""
    for case, delivery, late_ms in (
        (SMALL, BASE64, 0),
        (SMALL_LINK, LINK, 0),
        (SMALL_LATE, BASE64, LATE_MS),
        (SMALL_LINK_LATE, LINK, LATE_MS),
    ):
        if not (bench.form.is_guard and late_ms):
            lanes = _lanes(bench, delivery, SMALL_BYTES, late_ms)
            _measure(case, lanes, bench)
    if bench.form.is_guard:
        return
    at_100 = [bench.direct, bench.gateway, *bench.peers(*_NEAREST, "nginx", "Portkey")]
    # LiteLLM cannot take a hundred a second.
    at_30 = [bench.direct, bench.gateway, *bench.peers("Portkey", "LiteLLM")]
    for case, rate_per_s, chosen in ((AT_100, 100, at_100), (AT_30, 30, at_30)):
        lanes = [Lane(service, fresh(BASE64, SMALL_BYTES, late_ms=LATE_MS)) for service in chosen]
        measure_latency(case, lanes, bench, rate_per_s=rate_per_s)


def measure_large(bench: Bench) -> None:
    """Measure CPU of large images."""
    for case, delivery, size_bytes, most in (
        (LARGE, BASE64, LARGE_BYTES, _LARGE_MOST),
        (LARGER, BASE64, LARGER_BYTES, _LARGER_MOST),
        (LARGE_LINK, LINK, LARGE_BYTES, _LARGE_MOST),
    ):
        if case == LARGE or not bench.form.is_guard:
            lanes = _lanes(bench, delivery, size_bytes)
            _measure(case, lanes, bench, most=most)


def _lanes(bench: Bench, delivery: str, image_bytes: int, late_ms: int = 0) -> list[Lane]:
    """Return the gateway and its peers; those that store nothing answer in base64, whatever is asked for."""
    peers = bench.peers(*(_NEAREST if bench.form.is_guard else _ALL))
    return [
        Lane(service, fresh(delivery, image_bytes, late_ms=late_ms)) for service in (bench.gateway, *peers)
    ]


def _measure(
    case: str,
    lanes: list[Lane],
    bench: Bench,
    *,
    most: int | None = None,
) -> None:
    """Measure, and check that each order left an image of its own in the store.

    Raises:
        AssertionError: it did not, so that the figures are of less work than they claim.
    """
    before = bench.house.count_stored()
    served = measure_cpu(case, lanes, bench, most=most)[GATEWAY]
    stored = bench.house.count_stored() - before
    if stored != served:
        raise AssertionError(f"{case}: {served} orders left {stored} images in the store")
