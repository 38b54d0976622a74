"""start: from the command to the first answer, memory without orders, and `--help`."""

import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.bench import Bench
from tests.bench.cores import on_cores
from tests.bench.results import GATEWAY
from tests.bench.trees import read_memory_mb
from tests.processes import run_gateway

CASE = "start, idle, --help"
READY, IDLE, HELP = "ready after s", "idle MB", "--help s"
_IDLE_S = 5.0


def measure(bench: Bench) -> None:
    """Start gateways with a Valkey of their own, and ask for help, on the measured core."""
    program = Path(sys.executable).with_name("image-gateway")
    # The first run of each writes and reads what later ones find in memory.
    for number in range(bench.form.rounds + 1):
        bench.tell(f"{CASE}: round {number} of {bench.form.rounds}")
        with TemporaryDirectory() as directory, on_cores(bench.cores.measured):
            began_s = time.monotonic()
            with run_gateway(
                Path(directory),
                program="service",
                auth="keys",
                openai_base_url=f"{bench.provider.url}/v1",
                openai_api_key="bench",
            ) as gateway:
                ready_s = time.monotonic() - began_s
                time.sleep(min(_IDLE_S, bench.form.open_seconds))
                idle_mb = read_memory_mb(gateway.process.pid)
            began_s = time.monotonic()
            subprocess.run([program, "--help"], check=True, capture_output=True)
            help_s = time.monotonic() - began_s
        if number:
            bench.results.add(CASE, GATEWAY, READY, ready_s)
            bench.results.add(CASE, GATEWAY, IDLE, idle_mb)
            bench.results.add(CASE, GATEWAY, HELP, help_s)
