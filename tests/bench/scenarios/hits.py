"""c: an image that is known, by link. d: a large one, by base64."""

from tests.bench.bench import Bench
from tests.bench.rounds import Lane, measure_cpu, measure_latency
from tests.bench.scenarios.orders import BASE64, LARGE_BYTES, LINK, SMALL_BYTES, same

HIT_LINK, HIT_BASE64 = "c hit, URL", "d hit, 1.5 MB, base64"
AT_300 = "c latency of a hit at 300/s, URL"


def measure_link(bench: Bench) -> None:
    """Measure CPU, and latency at a set rate; LiteLLM has no links, so its answer is the small image."""
    _measure(HIT_LINK, LINK, SMALL_BYTES, bench)
    if not bench.form.is_guard:
        chosen = [bench.gateway, *bench.peers("floor")]
        lanes = [Lane(service, same(LINK, SMALL_BYTES)) for service in chosen]
        measure_latency(AT_300, lanes, bench, rate_per_s=300)


def measure_base64(bench: Bench) -> None:
    """Measure CPU."""
    _measure(HIT_BASE64, BASE64, LARGE_BYTES, bench)


def _measure(
    case: str,
    delivery: str,
    image_bytes: int,
    bench: Bench,
) -> None:
    """Measure, and check that the gateway asked for one image only.

    Raises:
        AssertionError: orders were no hits.
    """
    peers = bench.peers(*(("floor",) if bench.form.is_guard else ("floor", "frame", "LiteLLM, caching")))
    lanes = [Lane(service, same(delivery, image_bytes)) for service in (bench.gateway, *peers)]
    before, made = bench.house.count_stored(), bench.house.count_calls()["made"]
    measure_cpu(case, lanes, bench)
    if (stored := bench.house.count_stored() - before) != 1:
        raise AssertionError(f"{case}: equal orders left {stored} images in the store")
    made = bench.house.count_calls()["made"] - made
    if made > len(lanes):
        bench.results.note(f"{case}: {made - len(lanes):.0f} orders of peers were no hits")
