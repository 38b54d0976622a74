"""Run the suite's own plugin on small suites."""

from pathlib import Path

import pytest

from tests.processes import read_json_lines

pytest_plugins = ["pytester"]

SLOW = """
import pytest

@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 2])
def test_takes_long(size):
    assert size

def test_takes_no_time():
    assert True
"""
OPTIONS = (
    "-p",
    "tests.suite",
    "-p",
    "no:cacheprovider",
    "-m",
    "not slow",
    "-W",
    "ignore",
    "-o",
    "markers=slow",
)


@pytest.mark.parametrize("parallel", [("-n", "2"), pytest.param((), marks=pytest.mark.slow)])
def test_slow_tests_left_out_are_listed_by_name(pytester: pytest.Pytester, parallel: tuple[str, ...]) -> None:
    pytester.makepyfile(test_some=SLOW, test_others=SLOW)

    result = pytester.runpytest_subprocess(*OPTIONS, *parallel)

    result.assert_outcomes(passed=2, deselected=0 if parallel else 4)
    result.stdout.fnmatch_lines(
        [
            "*4 slow tests left out*",
            "test_others.py::test_takes_long (2 cases)",
            "test_some.py::test_takes_long (2 cases)",
        ]
    )


def test_nothing_is_listed_if_all_tests_ran(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_some=SLOW)

    result = pytester.runpytest_subprocess(*OPTIONS, "-m", "slow or not slow")

    result.assert_outcomes(passed=3)
    assert "left out" not in result.stdout.str()


def test_slow_directories_run_first(pytester: pytest.Pytester) -> None:
    for directory in ("domain", "http", "end_to_end"):
        pytester.mkpydir(directory)
        (pytester.path / directory / "test_it.py").write_text("def test_it(): assert True\n", "utf-8")

    result = pytester.runpytest_subprocess(*OPTIONS, "-v")

    lines = [line.partition("/")[0] for line in result.outlines if "::test_it PASSED" in line]
    assert lines == ["end_to_end", "http", "domain"]


def test_files_whose_tests_may_take_long_run_first(pytester: pytest.Pytester) -> None:
    for name, limits_s in {"a": [], "b": [90], "c": [5, 600]}.items():
        marks = "".join(f"@pytest.mark.timeout({s})\ndef test_{s}(): assert True\n" for s in limits_s)
        source = f"import pytest\n{marks}\ndef test_it(): assert True\n"
        (pytester.path / f"test_{name}.py").write_text(source, "utf-8")

    result = pytester.runpytest_subprocess(*OPTIONS, "-v")

    lines = [line.partition("::")[0] for line in result.outlines if "::test_it PASSED" in line]
    assert lines == ["test_c.py", "test_b.py", "test_a.py"]


def test_slow_tests_may_take_longer_than_others(pytester: pytest.Pytester) -> None:
    late = "import time, pytest\n@pytest.mark.slow\ndef test_late(): time.sleep(0.5)\n"
    pytester.makepyfile(late)

    result = pytester.runpytest_subprocess(*OPTIONS, "-m", "slow", "--timeout", "0.2")

    result.assert_outcomes(passed=1)


def test_a_log_line_that_is_still_being_written_is_left_for_later(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b'Ready\n{"event":"request","status":200}\n{"event":"requ')

    assert read_json_lines(log) == [{"event": "request", "status": 200}]
