from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.callers import (
    NO_POLICY,
    CacheScope,
    Caller,
    Policy,
    Scope,
    check_budgets,
    check_policies,
    hint_of,
    is_name,
    is_token,
)
from service.domain.errors import GatewayError, InvalidOrder, ModelNotAllowed
from service.domain.limits import Resource

SQUARE_PIXELS = 1024 * 1024
TOKEN = f"ig_{'aB3_-' * 8}xyz"


def a_scope(name: Any = "user", **rules: Any) -> Scope:
    return Scope(name=name, key="ann", policy=Policy(**rules))


def check(*scopes: Scope, **override: Any) -> None:
    """Check an order for one square image against *scopes*."""
    given = {"model": "dall-e-3", "n": 1, "pixels": SQUARE_PIXELS, "weight": 1, **override}
    check_policies(Caller(team="design", user="ann", scopes=scopes), **given)


def refusal(*scopes: Scope, **override: Any) -> InvalidOrder:
    with pytest.raises(InvalidOrder) as caught:
        check(*scopes, **override)
    return caught.value


@pytest.mark.parametrize(
    ("field", "resource"),
    [
        ("requests_per_min", Resource.REQUESTS),
        ("images_per_min", Resource.IMAGES),
        ("images_per_day", Resource.IMAGES_PER_DAY),
        ("images_in_flight", Resource.IMAGES_IN_FLIGHT),
        ("budget_per_month_microusd", Resource.BUDGET_PER_MONTH),
    ],
)
def test_every_limit_that_is_set_has_its_resource(field: str, resource: Resource) -> None:
    bounds = Policy(**{field: 7}).bounds  # type: ignore[arg-type]  # one field by name
    assert [(kind.resource, amount) for kind, amount in bounds] == [(resource, 7)]
    assert Policy(**{field: 0}).bounds == ()  # type: ignore[arg-type]


def test_no_policy_limits_nothing() -> None:
    assert NO_POLICY.bounds == ()
    check(Scope(name="team", key="design", policy=NO_POLICY), n=10, pixels=10**9, weight=99)


def test_a_caller_may_use_the_cache_only_if_every_policy_lets_it() -> None:
    assert Caller(team="design", user="ann").pool_scope("team")
    assert Caller(team="design", user="ann", scopes=(a_scope(), a_scope("team"))).pool_scope("team")
    forbidden = (a_scope(), a_scope("team", caches=False))
    assert Caller(team="design", user="ann", scopes=forbidden).pool_scope("team") is None


@pytest.mark.parametrize(
    ("asked", "default", "narrowest"),
    [
        ((), "team", "team"),
        ((), "user", "user-ann"),
        ((None, None), "team", "team"),
        (("team",), "team", "team"),
        (("team",), "user", "user-ann"),
        ((None, "team"), "team", "team"),
        (("team", "user"), "team", "user-ann"),
        (("user", None, "team"), "team", "user-ann"),
    ],
)
def test_the_narrowest_cache_scope_counts(
    asked: tuple[Any, ...], default: CacheScope, narrowest: str
) -> None:
    scopes = tuple(a_scope(cache_scope=scope) for scope in asked)

    assert Caller(team="design", user="ann", scopes=scopes).pool_scope(default) == narrowest


def test_one_policy_is_enough_to_share_the_images_of_equal_orders() -> None:
    assert Caller(team="design", user="ann", scopes=(a_scope(), a_scope("team"))).equal_orders == "differ"
    shared = (a_scope(), a_scope("team", equal_orders="share"))
    assert Caller(team="design", user="ann", scopes=shared).equal_orders == "share"


def test_one_budget_is_enough_to_limit_money() -> None:
    assert not Caller(team="design", user="ann").has_budget
    assert not Caller(team="design", user="ann", scopes=(a_scope(images_per_day=1),)).has_budget
    assert Caller(
        team="design", user="ann", scopes=(a_scope(), a_scope("team", budget_per_month_microusd=1))
    ).has_budget


@pytest.mark.parametrize(
    ("text", "could_be"),
    [
        (TOKEN, True),
        (f"{TOKEN}a", False),
        (TOKEN[:-1], False),
        (f"{TOKEN}\n", False),
        (f" {TOKEN}", False),
        (TOKEN.replace("ig_", "IG_"), False),
        (TOKEN.replace("ig_", "sk-"), False),
        (f"ig_{'ä' * 43}", False),
        (f"ig_{'٣' * 43}", False),
        ("ig_", False),
        ("", False),
    ],
)
def test_the_form_of_a_key_is_exact(text: str, *, could_be: bool) -> None:
    assert is_token(text) is could_be


@given(st.from_regex(r"ig_[A-Za-z0-9_-]{43}", fullmatch=True))
def test_a_hint_shows_few_characters_of_a_key(token: str) -> None:
    hint = hint_of(token)

    assert is_token(token)
    assert hint == f"ig_{token[3:7]}…{token[42:]}"
    assert token not in hint
    assert len(hint) == 12


@pytest.mark.parametrize(
    ("text", "can_name"),
    [
        ("a", True),
        ("0", True),
        ("design-2", True),
        ("a" * 40, True),
        ("a" * 41, False),
        ("", False),
        ("-a", False),
        ("A", False),
        ("a b", False),
        ("a_b", False),
        ("a:b", False),
        ("a}b", False),
        ("a\n", False),
        ("ä", False),
        ("٣", False),
    ],
)
def test_names_are_plain(text: str, *, can_name: bool) -> None:
    assert is_name(text) is can_name


def test_a_listed_model_is_allowed() -> None:
    check(a_scope(models=("dall-e-2", "dall-e-3")))


def test_a_model_that_any_policy_leaves_out_is_refused_in_the_name_of_its_scope() -> None:
    with pytest.raises(ModelNotAllowed) as caught:
        check(a_scope(models=("dall-e-3",)), a_scope("team", models=("gpt-image-2",)))

    assert "The model 'dall-e-3' does not exist or this team does not have access" in str(caught.value)


def test_the_model_is_judged_before_the_number() -> None:
    with pytest.raises(ModelNotAllowed):
        check(a_scope(models=("gpt-image-2",), max_n=1), n=2)


@pytest.mark.parametrize(("n", "max_n"), [(3, 3), (2, 3), (10, 0)])
def test_as_many_images_as_the_policy_lets_an_order_have_pass(n: int, max_n: int) -> None:
    check(a_scope(max_n=max_n), n=n)


def test_more_images_than_the_policy_lets_an_order_have_are_an_error_on_n() -> None:
    error = refusal(a_scope(), a_scope("key", max_n=3), n=4)

    assert (error.param, error.code) == ("n", "integer_above_max_value")
    assert str(error) == "Invalid 'n': this key may order at most 3 images at once, but n is 4."


def test_pixels_are_bounded_whatever_their_shape() -> None:
    check(a_scope(max_size="1536x1024"), pixels=1024 * 1536)

    error = refusal(a_scope(max_size="1536x1024"), pixels=1536 * 1024 + 1)

    assert (error.param, error.code) == ("size", "invalid_size")
    assert "this user may order at most as many pixels as 1536x1024 has" in str(error)


@pytest.mark.parametrize(
    ("limit", "says"),
    [
        ("images_per_min", "images per min"),
        ("images_per_day", "images per day"),
        ("images_in_flight", "images at a time"),
    ],
)
def test_an_order_above_every_window_is_an_error_on_n(limit: str, says: str) -> None:
    check(a_scope(**{limit: 5}), n=5)

    error = refusal(a_scope("team", **{limit: 5}), n=6)

    assert (error.param, error.code) == ("n", "integer_above_max_value")
    assert str(error) == f"Invalid 'n': this team may make at most 5 {says}, but n is 6."


@pytest.mark.parametrize("limit", ["images_per_min", "images_per_day"])
def test_a_dear_image_counts_as_several(limit: str) -> None:
    check(a_scope(**{limit: 6}), n=2, weight=3)

    error = refusal(a_scope(**{limit: 5}), n=2, weight=3)

    assert ", each counting as 3, but n is 2." in str(error)


def test_a_dear_image_in_flight_is_one_image() -> None:
    check(a_scope(images_in_flight=2), n=2, weight=3)


def test_requests_and_money_do_not_bound_n() -> None:
    check(a_scope(requests_per_min=1, budget_per_month_microusd=1), n=10, weight=9)


@given(
    st.integers(1, 10),
    st.integers(1, 9),
    st.integers(0, 40),
    st.integers(0, 40),
    st.integers(0, 12),
    st.integers(0, 10),
)
def test_an_order_passes_exactly_if_an_unused_caller_could_make_it(
    n: int, weight: int, per_min: int, per_day: int, in_flight: int, max_n: int
) -> None:
    scopes = (
        a_scope(images_per_min=per_min, images_in_flight=in_flight),
        a_scope("team", images_per_day=per_day, max_n=max_n),
    )
    needed = [(n * weight, per_min), (n * weight, per_day), (n, in_flight), (n, max_n)]
    fits = all(limit == 0 or amount <= limit for amount, limit in needed)

    try:
        check(*scopes, n=n, weight=weight)
        passed = True
    except GatewayError:
        passed = False

    assert passed is fits


def test_an_order_above_a_monthly_budget_is_refused() -> None:
    caller = _caller_with(Policy(budget_per_month_microusd=100_000))

    check_budgets(caller, 2, 50_000)
    with pytest.raises(
        InvalidOrder, match=r"estimated at \$0.150000, but this user may spend \$0.100000"
    ) as caught:
        check_budgets(caller, 3, 50_000)

    assert (caught.value.param, caught.value.code) == ("n", "budget_too_small")
    check_budgets(_caller_with(Policy()), 10, 10**9)


def _caller_with(policy: Policy) -> Caller:
    return Caller(team="t", user="u", scopes=(Scope(name="user", key="u", policy=policy),))
