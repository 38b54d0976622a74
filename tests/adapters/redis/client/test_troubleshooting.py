"""Operators get advice for each reason."""

import pytest

from service.adapters.redis.client.troubleshooting import _ADVICE, advise, advise_publicly

URL = "redis://ann:canary@cache.test:6380"


@pytest.mark.parametrize(
    ("reason", "hint"),
    [
        ("busy", "SLOWLOG"),
        ("contended", "orders"),
        ("timeout", "SLOWLOG and the network"),
        ("misconf", "disk"),
        ("no_replicas", "min-replicas"),
        ("new", "(new)"),
    ],
)
def test_every_reason_has_an_advice_of_its_own(reason: str, hint: str) -> None:
    assert hint.lower() in advise(reason, URL).lower()


def test_orders_in_the_way_are_no_trouble_of_the_server() -> None:
    assert "redis" not in advise("contended", URL).lower()


def test_advice_names_the_address_of_redis_without_its_password() -> None:
    told = advise("connection", URL)

    assert "cache.test:6380" in told
    assert "canary" not in told


@pytest.mark.parametrize("reason", [*_ADVICE, "new"])
def test_public_advice_has_no_address(reason: str) -> None:
    told = advise_publicly(reason)

    assert told
    assert "{" not in told
    assert " at " not in told.partition(":")[0]
