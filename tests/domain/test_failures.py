import pytest

from service.domain.failures import loggable_code


@pytest.mark.parametrize("code", [None, "rate_limit_exceeded", "invalid_image", "http2_error"])
def test_codes_are_logged_as_they_are(code: str | None) -> None:
    assert loggable_code(code) == code


@pytest.mark.parametrize("code", ["", "sk-proj-a1b2c3d4", "sk1234", "a" * 41, "two words", "_code"])
def test_texts_without_the_form_of_a_code_are_not_logged(code: str) -> None:
    assert loggable_code(code) == "other"
