"""One key that works is enough for a provider; its advice names those that do not."""

import pytest

from service.domain.conditions import RESTING, Condition, join_keys

OK = Condition(word="ok", since_s=1.0)
REFUSED = Condition(word="refused", since_s=2.0, advice="Mend it.")
SILENT = Condition(word="silent", advice="Look there.")


def test_the_condition_of_a_single_key_is_that_of_the_provider() -> None:
    assert join_keys({"openai/main": REFUSED}) == REFUSED


def test_a_single_key_that_rests_for_a_model_works() -> None:
    rests = Condition(word=RESTING, since_s=2.0, advice="It gets no calls of m.")

    assert join_keys({"openai/main": rests}) == Condition(word="ok", since_s=2.0, advice=rests.advice)


@pytest.mark.parametrize(
    ("keys", "word", "advice"),
    [
        ([OK, OK], "ok", ""),
        ([REFUSED, OK], "ok", "a/0: Mend it."),
        ([REFUSED, Condition(word=RESTING, advice="No m.")], "ok", "a/0: Mend it. a/1: No m."),
        ([REFUSED, Condition(word="unknown")], "unknown", "a/0: Mend it."),
        ([Condition(word="ok", advice="Not sure."), SILENT], "ok", "a/1: Look there."),
        ([SILENT, REFUSED], "silent", "a/0: Look there. a/1: Mend it."),
        ([Condition(word="failing"), REFUSED], "failing", "a/0: failing a/1: Mend it."),
    ],
    ids=["all", "one", "rests", "unknown", "unsure", "none", "no_advice"],
)
def test_one_key_that_works_is_enough(keys: list[Condition], word: str, advice: str) -> None:
    named = {f"a/{number}": key for number, key in enumerate(keys)}

    assert join_keys(named) == Condition(word=word, advice=advice, keys=named)
