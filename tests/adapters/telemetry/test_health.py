"""The condition of each key follows the outcomes of calls and checks."""

from dataclasses import replace

import pytest

from service.adapters.telemetry.health import ProviderHealth
from service.adapters.telemetry.recorder import FactRecorder
from service.domain.backends import KeyName
from service.domain.conditions import Condition
from service.domain.failures import Billing, CallFailure, FailureKind
from service.ports.telemetry import AttemptMade, ProviderChecked, TelemetryFact
from tests.fakes.clock import FakeClock

KEY = KeyName("openai", "main")


def failure(kind: FailureKind, advice: str = "do this") -> CallFailure:
    return CallFailure(kind=kind, billing=Billing.NOT_BILLED, message="m", advice=advice)


def attempt(failed: CallFailure | None = None) -> AttemptMade:
    return AttemptMade(
        backend="openai",
        key="main",
        model="gpt-image-2",
        outcome=failed.kind.value if failed else "made",
        billing="not_billed",
        duration_s=1.0,
        images=0 if failed else 1,
        is_retry=False,
        failure=failed,
    )


def checked(failed: CallFailure | None = None, *, is_sure: bool = True) -> ProviderChecked:
    return ProviderChecked(backend="openai", key="main", failure=failed, is_sure=is_sure)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def health(clock: FakeClock) -> ProviderHealth:
    return ProviderHealth(clock)


def of(health: ProviderHealth, key: KeyName = KEY) -> Condition:
    return health.condition_of(key)


def told(health: ProviderHealth, fact: TelemetryFact) -> None:
    FactRecorder(health.handlers).record(fact)


def test_before_any_call_the_condition_is_unknown(health: ProviderHealth) -> None:
    assert (of(health).word, of(health).advice) == ("unknown", "")
    assert health.needs_check(KEY)


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        (FailureKind.MISCONFIGURED, "refused"),
        (FailureKind.BLOCKED, "refused"),
        (FailureKind.UNREACHABLE, "unreachable"),
        (FailureKind.OVERLOADED, "failing"),
        (FailureKind.TIMED_OUT, "failing"),
        (FailureKind.BROKEN, "failing"),
    ],
)
def test_a_failure_and_its_advice_last_until_a_call_succeeds(
    health: ProviderHealth, kind: FailureKind, word: str
) -> None:
    told(health, checked())

    told(health, attempt(failure(kind)))

    assert (of(health).word, of(health).advice) == (word, "do this")
    told(health, attempt())
    assert (of(health).word, of(health).advice) == ("ok", "")


@pytest.mark.parametrize(
    "kind", ["refused", "invalid", "model_missing", "rate_limited", "not_sent", "not_kept"]
)
def test_facts_unrelated_to_the_provider_change_nothing(health: ProviderHealth, kind: str) -> None:
    told(health, attempt(failure(FailureKind.MISCONFIGURED)))
    before = of(health)

    told(health, attempt(failure(FailureKind(kind), advice="")))

    assert of(health) == before


def test_since_is_the_start_of_the_condition(health: ProviderHealth, clock: FakeClock) -> None:
    clock.advance(10)
    began_s = clock.wall_s()
    told(health, attempt(failure(FailureKind.MISCONFIGURED)))
    clock.advance(10)

    told(health, attempt(failure(FailureKind.MISCONFIGURED, advice="or that")))

    assert (of(health).since_s, of(health).advice) == (began_s, "or that")


def test_without_a_list_of_models_the_provider_is_ok_and_the_key_unchecked(
    health: ProviderHealth,
) -> None:
    told(health, checked(is_sure=False))

    assert of(health).word == "ok"
    assert "only a call shows" in of(health).advice
    assert not health.needs_check(KEY)


def test_a_free_check_does_not_clear_a_refused_key(health: ProviderHealth) -> None:
    """An account without credit still lists its models."""
    told(health, attempt(failure(FailureKind.MISCONFIGURED)))

    assert not health.needs_check(KEY)
    told(health, attempt(failure(FailureKind.UNREACHABLE)))
    assert health.needs_check(KEY)


def test_a_free_check_does_not_clear_the_failure_of_a_call(health: ProviderHealth) -> None:
    told(health, attempt(failure(FailureKind.OVERLOADED)))

    told(health, checked())

    assert of(health).word == "failing"
    assert not health.needs_check(KEY)


def test_each_key_has_a_condition_of_its_own(health: ProviderHealth) -> None:
    spare = KeyName("openai", "spare")
    told(health, checked())

    told(health, replace(attempt(failure(FailureKind.BLOCKED)), key="spare"))

    assert (of(health).word, of(health, spare).word) == ("ok", "refused")
    assert of(health, KeyName("azure", "main")).word == "unknown"
    assert [health.needs_check(key) for key in (KEY, spare)] == [False, False]
