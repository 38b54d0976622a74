import pytest

from service.domain.administration import (
    LATEST_S,
    MOST_N,
    check_expiry,
    check_name,
    check_policy,
    check_user,
    is_person_hash,
)
from service.domain.callers import Policy
from service.domain.errors import InvalidOrder
from service.domain.limits import MOST_COUNTED, MOST_MICROUSD
from tests.fakes.values import a_catalog

NOW_S = 1_800_000_000.0


@pytest.mark.parametrize("name", ["a", "design-2", "9", "a" * 40])
def test_a_name_is_short_and_plain(name: str) -> None:
    check_name(name, param="team")


@pytest.mark.parametrize("name", ["", "-a", "Design", "a" * 41, "a b", "a\n", "é"])
def test_an_invalid_name_is_refused_with_its_parameter(name: str) -> None:
    with pytest.raises(InvalidOrder) as caught:
        check_name(name, param="team")

    assert caught.value.param == "team"


@pytest.mark.parametrize("user", ["ann", "Ann Other", "anna@example.com", "李", "a" * 100, "f" * 31])
def test_users_may_have_the_names_of_any_identity_provider(user: str) -> None:
    check_user(user)


@pytest.mark.parametrize("user", ["", " ann", "ann ", "a\nb", "a\x00", "a" * 101, "f" * 32])
def test_an_invalid_user_is_refused(user: str) -> None:
    with pytest.raises(InvalidOrder) as caught:
        check_user(user)

    assert caught.value.param == "user"


def test_the_hash_of_a_person_is_known_by_its_form() -> None:
    assert is_person_hash("0123456789abcdef" * 2)
    assert not any(is_person_hash(text) for text in ("0" * 31, "0" * 33, "G" * 32, "0" * 32 + "\n"))


@pytest.mark.parametrize("expires_s", [0, int(NOW_S) + 1, LATEST_S])
def test_a_key_expires_in_the_future_or_never(expires_s: int) -> None:
    check_expiry(expires_s, NOW_S)


@pytest.mark.parametrize("expires_s", [-1, 1, int(NOW_S), LATEST_S + 1, int(NOW_S) * 1000])
def test_an_expiry_in_the_past_or_in_another_unit_is_refused(expires_s: int) -> None:
    with pytest.raises(InvalidOrder) as caught:
        check_expiry(expires_s, NOW_S)

    assert caught.value.param == "expires_at"


@pytest.mark.parametrize(
    "policy",
    [
        Policy(name="p"),
        Policy(
            name="p", requests_per_min=MOST_COUNTED, budget_per_month_microusd=MOST_MICROUSD, max_n=MOST_N
        ),
        Policy(name="p", max_size="1536x1024", cache_scope="user", models=("dall-e-3",), caches=False),
        Policy(name="p", cache_scope="team"),
        Policy(name="p", equal_orders="share"),
    ],
)
def test_valid_policies_pass(policy: Policy) -> None:
    check_policy(policy, frozenset(a_catalog().models))


@pytest.mark.parametrize(
    ("policy", "param"),
    [
        (Policy(name="No Name"), "name"),
        (Policy(name="default"), "name"),
        (Policy(name="p", requests_per_min=-1), "requests_per_min"),
        (Policy(name="p", images_per_day=MOST_COUNTED + 1), "images_per_day"),
        (Policy(name="p", budget_per_month_microusd=MOST_MICROUSD + 1), "budget_per_month_microusd"),
        (Policy(name="p", max_n=MOST_N + 1), "max_n"),
        (Policy(name="p", max_size="big"), "max_size"),
        (Policy(name="p", max_size="0x1024"), "max_size"),
        (Policy(name="p", max_size="1024x1024\n"), "max_size"),
        (Policy(name="p", cache_scope="planet"), "cache_scope"),  # type: ignore[arg-type]  # as JSON might have it
        (Policy(name="p", equal_orders="merge"), "equal_orders"),  # type: ignore[arg-type]  # as JSON might have it
        (Policy(name="p", models=("dall-e-3", "")), "models"),
        (Policy(name="p", models=(" dall-e-3",)), "models"),
        (Policy(name="p", models=("dall-e-4",)), "models"),
    ],
)
def test_an_invalid_policy_is_refused_with_its_parameter(policy: Policy, param: str) -> None:
    with pytest.raises(InvalidOrder) as caught:
        check_policy(policy, frozenset(a_catalog().models))

    assert caught.value.param == param
