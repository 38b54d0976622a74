"""The arithmetic of the bench: medians, ratios, targets, and the guard."""

from pathlib import Path

import pytest

from tests.bench.guard import best_of, compare, ratios_of, read_recorded, write_recorded
from tests.bench.results import GATEWAY, Results, Spread, write_number
from tests.bench.rounds import CPU
from tests.bench.scenarios.table import SCENARIOS
from tests.bench.targets import TARGETS, Target, write_targets

CASE = "a case"
RATIO = f"{CASE}: gateway / floor"


def results_of(**lanes: list[float]) -> Results:
    results = Results()
    for lane, values in lanes.items():
        for value in values:
            results.add(CASE, lane, CPU, value)
    return results


def test_a_spread_has_the_median_and_both_ends() -> None:
    assert Spread.of([3, 1, 9]) == Spread(3, 1, 9)
    assert str(Spread.of([0.5, 1.25, 2000])) == "1.25 (0.5-2,000)"
    assert str(Spread.of([2])) == "2"
    assert [write_number(value) for value in (0.01234, 12.345, 123.4)] == ["0.0123", "12.3", "123"]


def test_ratios_are_of_the_same_round() -> None:
    """A round that a busy machine made twice as long has the same ratio."""
    results = results_of(gateway=[1, 2, 4], floor=[0.5, 1, 2])

    assert results.ratios(CASE, CPU, GATEWAY, "floor") == [2, 2, 2]
    assert results.ratios(CASE, CPU, GATEWAY, "nginx") == []
    assert results_of(gateway=[1], floor=[0]).ratios(CASE, CPU, GATEWAY, "floor") == []


def test_lanes_and_figures_keep_their_order() -> None:
    results = results_of(gateway=[1], zebra=[1], ant=[1])

    assert results.cases() == [CASE]
    assert results.lanes(CASE) == [GATEWAY, "zebra", "ant"]
    assert [row["rounds"] for row in results.rows()] == [[1], [1], [1]]


@pytest.mark.parametrize(
    ("is_least", "median", "verdict"),
    [(False, 2.0, "met"), (False, 2.1, "**missed**"), (True, 2.0, "met"), (True, 1.9, "**missed**")],
)
def test_a_target_is_met_by_the_median(*, is_least: bool, median: float, verdict: str) -> None:
    target = Target(what="it", case=CASE, under="floor", bound=2, is_least=is_least)
    results = results_of(gateway=[9, median, 0.1], floor=[1, 1, 1])

    assert write_targets(results, [target])[-1].endswith(f"| {verdict} |")


def test_a_target_without_its_peer_is_not_measured_and_one_of_another_case_is_left_out() -> None:
    here, there = (Target(what=case, case=case, under="floor", bound=2) for case in (CASE, "another"))

    lines = write_targets(results_of(gateway=[1]), [here, there])

    assert lines[2:] == [f"| {CASE} | ≤ 2 | - | - | not measured |"]


def test_every_scenario_with_a_bound_is_in_the_table() -> None:
    assert {target.case.partition(" ")[0].rstrip(",") for target in TARGETS} <= set(SCENARIOS)
    assert len({target.what for target in TARGETS}) == len(TARGETS)


def test_the_guard_takes_the_median_of_ratios_to_pass_through_and_floor() -> None:
    results = results_of(gateway=[2, 4, 3], floor=[1, 1, 1], nginx=[1, 1, 1])

    assert ratios_of(results) == {RATIO: 3}


@pytest.mark.parametrize(("now", "verdict"), [(2.5, "holds"), (2.51, "**worse**"), (1, "holds")])
def test_the_guard_fails_when_a_ratio_is_more_than_a_quarter_worse(now: float, verdict: str) -> None:
    lines, is_good = compare({RATIO: now}, {RATIO: 2.0})

    assert lines[-1].endswith(f"| {verdict} |")
    assert is_good is (verdict == "holds")


@pytest.mark.parametrize(
    ("passed", "floor", "is_good"), [(1.4, 0.8, True), (1.3, 1.3, False), (1.0, 1.6, False), (1.1, 1.1, True)]
)
def test_a_case_is_judged_by_the_mean_of_its_ratios(passed: float, floor: float, is_good: bool) -> None:
    """A machine on which files cost more raises one and lowers the other; a dearer gateway raises both."""
    recorded = {f"{CASE}: gateway / pass-through": 0.5, RATIO: 2.0}

    ratios = {f"{CASE}: gateway / pass-through": 0.5 * passed, RATIO: 2.0 * floor}

    assert compare(ratios, recorded)[1] is is_good


def test_the_guard_fails_when_a_recorded_ratio_is_not_measured_but_not_for_a_new_one() -> None:
    assert compare({}, {RATIO: 2.0})[1] is False
    assert compare({RATIO: 2.0}, {})[1] is True


def test_the_better_of_two_runs_counts() -> None:
    assert best_of({RATIO: 2.6, "other": 1.0}, {RATIO: 2.4, "new": 3.0}) == {
        RATIO: 2.4,
        "other": 1.0,
        "new": 3.0,
    }


def test_recorded_ratios_are_read_again(tmp_path: Path) -> None:
    file = tmp_path / "recorded.json"

    assert read_recorded(file) == {}
    write_recorded({RATIO: 2.125}, file)
    assert read_recorded(file) == {RATIO: 2.125}
