import pytest

from service.domain.hosts import is_loopback


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_three_names_are_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", "0.0.0.1", "::", "127.0.0.2", "localhost.corp", "LOCALHOST", "[::1]"])
def test_other_names_are_not_loopback(host: str) -> None:
    assert not is_loopback(host)
