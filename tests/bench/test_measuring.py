"""The bench reads processes, draws plots and names stages."""

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.bench.plots import OVERVIEW, draw, write_plots
from tests.bench.results import GATEWAY, Results, Spread
from tests.bench.rounds import CPU
from tests.bench.stage_names import _STAGES, LOOP, name_stage
from tests.bench.stages import write_stages
from tests.bench.trees import read_cpu, read_memory_mb
from tests.processes import REPOSITORY, Valkey

SPENDS = "import time\nwhile time.process_time() < {}: pass\n"

_SVG = "{http://www.w3.org/2000/svg}"


def test_the_cpu_of_a_tree_has_that_of_children_that_run_and_that_ended() -> None:
    child = SPENDS.format(0.3)
    parent = f"""
import subprocess, sys
subprocess.run([sys.executable, '-c', {child!r}])
running = subprocess.Popen([sys.executable, '-c', {child + "print('spent', flush=True); input()"!r}], stdin=subprocess.PIPE)
input()
running.communicate()
"""
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdout.readline()
        spent = read_cpu(process.pid)
        memory_mb = read_memory_mb(process.pid)
        process.communicate(b"\n")

    assert 0.55 < spent.own_s < 2
    assert not spent.has_valkey
    assert memory_mb > 2


def test_valkey_has_its_own_cpu(valkey: Valkey) -> None:
    spent = read_cpu(valkey.process.pid)

    assert spent.has_valkey
    assert spent.own_s == 0
    assert (read_cpu(valkey.process.pid) - spent).valkey_s >= 0
    assert read_memory_mb(valkey.process.pid) == 0


def test_a_plot_has_a_line_of_words_for_each_lane_the_least_first() -> None:
    rows = [
        ("LiteLLM", Spread(16, 14, 20)),
        ("nginx & co", Spread(0.03, 0.02, 0.04)),
        (GATEWAY, Spread(1, 1, 1)),
    ]

    tree = ET.fromstring(draw("a: CPU ms", rows))  # noqa: S314 - written a moment ago

    words = [text.text for text in tree.iter(f"{_SVG}text")]
    circles = [float(circle.attrib["cx"]) for circle in tree.iter(f"{_SVG}circle")]
    assert [word for word in words if word in dict(rows)] == ["nginx & co", GATEWAY, "LiteLLM"]
    assert circles == sorted(circles)
    assert len(circles) == 3


def test_cases_with_several_lanes_are_drawn(tmp_path: Path) -> None:
    results = Results()
    for case, lane, ms in (
        ("a case, 1.5 MB", GATEWAY, 1),
        ("a case, 1.5 MB", "floor", 0.1),
        ("alone", GATEWAY, 1),
    ):
        results.add(case, lane, CPU, ms)

    assert [path.name for path in write_plots(results, tmp_path)] == [OVERVIEW, "a-case-1-5-mb-cpu-ms.svg"]
    tree = ET.parse(tmp_path / OVERVIEW)  # noqa: S314 - written a moment ago
    words = [text.text for text in tree.iter(f"{_SVG}text")]
    assert "a case, 1.5 MB" in words
    assert "alone" not in words
    *_, floor = tree.iter(f"{_SVG}circle")
    left_of_gateway = float(floor.attrib["cx"])
    assert left_of_gateway < max(float(line.attrib["x1"]) for line in tree.iter(f"{_SVG}line"))


@pytest.mark.parametrize(
    ("path", "stage"),
    [
        ("service/http/middleware.py", "middleware"),
        ("service/gateway/order/run.py", "order logic"),
        ("service/adapters/redis/orders.py", "begin, finish: Python side"),
        ("service/adapters/redis/client/script.py", "Redis client"),
        (".venv/lib/python3.11/site-packages/redis/asyncio/client.py", "Redis client"),
        (".venv/lib/python3.11/site-packages/fastapi/routing.py", "FastAPI, Starlette"),
        ("lib/python3.11/asyncio/tasks.py", LOOP),
        ("lib/python3.11/contextlib.py", ""),
    ],
)
def test_a_function_belongs_to_the_stage_of_its_file(path: str, stage: str) -> None:
    assert name_stage(f"/somewhere/{path}") == stage


def test_every_stage_of_the_service_has_files() -> None:
    files = [str(path) for path in (REPOSITORY / "service").rglob("*.py")]
    parts = [part for parts in _STAGES.values() for part in parts if part.startswith("/service/")]

    assert parts
    assert [part for part in parts if not any(part in file for file in files)] == []


def test_shares_of_stages_are_of_all_cpu() -> None:
    lines = write_stages({"hit": {"metrics": 25, "in threads": 75, "of all, collecting garbage": 10}})

    assert "| metrics | 25 (25%) |" in lines
    assert lines[-1] == "| all | 100 |"
