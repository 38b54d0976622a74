"""h: an edit of a file of 4 MB, by a bench.form."""

from tests.bench.bench import Bench
from tests.bench.rounds import Lane, measure_cpu
from tests.bench.scenarios.orders import LARGEST_BYTES, SMALL_BYTES, fresh_edit

CASE = "h edit of 4 MB, small image, base64"
_MOST = 60


def measure(bench: Bench) -> None:
    """Measure CPU of reading, checking and sending the file; the answer is small."""
    peers = bench.peers("floor", "pass-through", "nginx", "Portkey", "LiteLLM")
    lanes = [Lane(service, fresh_edit(LARGEST_BYTES, SMALL_BYTES)) for service in (bench.gateway, *peers)]
    measure_cpu(CASE, lanes, bench, most=_MOST)
