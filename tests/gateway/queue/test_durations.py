import math
import random

import pytest

from service.gateway.queue.durations import FEWEST, WINDOW_S, Durations, Kind
from service.gateway.routing.route import Route
from tests.fakes.clock import FakeClock

KIND = Kind("gpt-image-2", "generate", "high", 21, 0)
ROUTE = Route(())
OTHER = Kind("gpt-image-2", "generate", "low", 21, 0)


def test_a_call_must_have_the_time_that_nine_of_ten_needed() -> None:
    durations = Durations(FakeClock())
    for number in range(FEWEST):
        durations.note_answer(KIND, ROUTE, 1.0 + number, is_probe=False)

    assert durations.needed_s(KIND, 99.0) == pytest.approx(18.0 * 1.25)
    assert durations.needed_s(OTHER, 99.0) is None


def test_few_calls_say_nothing() -> None:
    durations = Durations(FakeClock())
    for _ in range(FEWEST - 1):
        durations.note_answer(KIND, ROUTE, 4.0, is_probe=False)

    assert durations.needed_s(KIND, 99.0) is None
    assert durations.mean_s(ROUTE) is None

    durations.note_answer(KIND, ROUTE, 8.2, is_probe=False)
    assert durations.needed_s(KIND, 99.0) == pytest.approx(5.0)
    assert durations.mean_s(ROUTE) == pytest.approx(4.21)


def test_a_call_is_overdue_after_twice_the_time_of_its_kind_however_old_that_is() -> None:
    clock = FakeClock()
    durations = Durations(clock)
    assert durations.patience_s(KIND) == 90.0
    for number in range(2 * FEWEST):
        durations.note_answer(KIND, ROUTE, 1.0 + number, is_probe=False)
    durations.note_answer(OTHER, ROUTE, 1.0, is_probe=False)
    clock.advance(10 * WINDOW_S)
    durations.note_silence(KIND, ROUTE, 300.0, is_probe=False)

    assert durations.patience_s(KIND) == 2 * 38.0
    assert durations.patience_s(OTHER) == 10.0
    assert durations.needed_s(KIND, 300.0) is None


def test_a_call_is_overdue_while_its_key_answers_none() -> None:
    clock = FakeClock()
    durations = Durations(clock)
    durations.note_answer(KIND, ROUTE, 10.0, is_probe=False)
    began_s = clock.monotonic_s()

    def overdue(answered_s: float) -> list[bool]:
        calls = [(KIND, began_s), (KIND, began_s + 5), (OTHER, began_s)]
        return [durations.is_overdue(kind, at_s, answered_s) for kind, at_s in calls]

    clock.advance(10.5)
    assert overdue(began_s) == [False, False, False]
    clock.advance(10.5)
    assert overdue(began_s) == [True, False, False]
    clock.advance(10.5)
    assert overdue(began_s) == [True, True, False]
    assert overdue(clock.monotonic_s() - 15.0) == [False, False, False]
    clock.advance(99.0)
    assert overdue(began_s) == [True, True, True]


def test_old_calls_say_nothing() -> None:
    clock = FakeClock()
    durations = Durations(clock)
    for _ in range(FEWEST):
        durations.note_answer(KIND, ROUTE, 4.0, is_probe=False)
    clock.advance(WINDOW_S / 2)
    durations.note_answer(KIND, ROUTE, 4.0, is_probe=False)
    clock.advance(WINDOW_S / 2 + 1)

    assert durations.needed_s(KIND, 99.0) is None


def test_a_provider_that_slows_down_shows_within_a_few_calls() -> None:
    durations = Durations(FakeClock())
    for _ in range(1000):
        durations.note_answer(KIND, ROUTE, 4.0, is_probe=False)
    for _ in range(11):
        durations.note_silence(KIND, ROUTE, 30.0, is_probe=False)
    assert durations.needed_s(KIND, 30.0) == pytest.approx(5.0)
    for _ in range(15):
        durations.note_silence(KIND, ROUTE, 30.0, is_probe=False)

    assert durations.needed_s(KIND, 30.0) == pytest.approx(37.5)
    assert durations.needed_s(KIND, 99.0) == pytest.approx(37.5)


def test_the_latest_hundred_of_five_minutes_count() -> None:
    clock, taken = FakeClock(), random.Random(5)
    durations = Durations(clock)
    samples: list[tuple[float, float]] = []
    for _ in range(1000):
        clock.advance(taken.choice([0.0, 1.0, 9.0]))
        duration_s = float(taken.randrange(1, 40))
        durations.note_answer(KIND, ROUTE, duration_s, is_probe=False)
        samples.append((clock.monotonic_s(), duration_s))
        young_s = [each for at_s, each in samples[-100:] if at_s >= clock.monotonic_s() - WINDOW_S]
        most_s = sorted(young_s)[math.ceil(len(young_s) * 0.9) - 1]
        needed_s = durations.needed_s(KIND, 999.0)
        assert needed_s == (pytest.approx(most_s * 1.25) if len(young_s) >= FEWEST else None)


def test_a_call_that_was_given_up_early_says_nothing() -> None:
    durations = Durations(FakeClock())
    for _ in range(FEWEST):
        durations.note_answer(KIND, ROUTE, 4.0, is_probe=False)
    for _ in range(100):
        durations.note_silence(KIND, ROUTE, 1.0, is_probe=False)

    assert durations.needed_s(KIND, 99.0) == pytest.approx(5.0)


def test_a_probe_without_an_answer_counts_however_early() -> None:
    durations = Durations(FakeClock())
    for _ in range(FEWEST):
        durations.note_answer(KIND, ROUTE, 4.0, is_probe=False)

    for _ in range(100):
        durations.note_silence(KIND, ROUTE, 3.9, is_probe=True)

    assert durations.needed_s(KIND, 99.0) == pytest.approx(3.9 * 1.25)


def test_an_answer_is_due_when_most_have_come_and_silences_do_not_change_that() -> None:
    clock = FakeClock()
    durations = Durations(clock)
    assert durations.due_s(KIND) == math.inf
    for number in range(FEWEST):
        assert durations.due_s(KIND) == math.inf
        durations.note_answer(KIND, ROUTE, 1.0 + number, is_probe=False)
        durations.note_silence(KIND, ROUTE, 1.0, is_probe=True)

    assert durations.due_s(KIND) == pytest.approx(18.0)

    clock.advance(WINDOW_S + 1)
    assert durations.due_s(KIND) == math.inf


def test_probes_that_come_back_are_the_rule_again() -> None:
    durations = Durations(FakeClock())
    for _ in range(FEWEST):
        durations.note_silence(KIND, ROUTE, 30.0, is_probe=False)
    for is_answered in (True, True, False, True, True):
        if is_answered:
            durations.note_answer(KIND, ROUTE, 4.0, is_probe=True)
        else:
            durations.note_silence(KIND, ROUTE, 30.0, is_probe=True)
    assert durations.needed_s(KIND, 99.0) == pytest.approx(37.5)

    durations.note_answer(KIND, ROUTE, 4.0, is_probe=True)

    assert durations.needed_s(KIND, 99.0) is None


def test_less_time_than_any_call_needed_is_hopeless() -> None:
    durations = Durations(FakeClock())
    assert not durations.is_hopeless(KIND, 1.0)
    durations.note_silence(KIND, ROUTE, 2.0, is_probe=False)
    assert not durations.is_hopeless(KIND, 1.0)
    durations.note_answer(KIND, ROUTE, 4.0, is_probe=False)

    assert durations.is_hopeless(KIND, 3.9)
    assert not durations.is_hopeless(KIND, 4.1)


def test_a_few_calls_that_hang_are_no_reason_to_refuse_all() -> None:
    durations = Durations(FakeClock())
    for number in range(100):
        if number % 5:
            durations.note_answer(KIND, ROUTE, 4.0, is_probe=False)
        else:
            durations.note_silence(KIND, ROUTE, 10.0, is_probe=False)

    assert durations.needed_s(KIND, 10.0) == pytest.approx(5.0)
    assert durations.needed_s(KIND, 30.0) == pytest.approx(12.5)
