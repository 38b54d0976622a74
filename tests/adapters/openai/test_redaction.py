"""A provider's words in a log: bounded, on one line, without keys and prompts."""

import pytest

from service.adapters.openai.redaction import HIDDEN, hide_keys, redact

RANDOM = "Zm9vYmFyYmF6cXV4MTIz"


@pytest.mark.parametrize(
    ("said", "secret"),
    [
        ("Incorrect API key provided: sk-proj-abcd. You can find it there.", "abcd"),
        ("Incorrect API key provided: sk-...wxyz.", "wxyz"),
        ("Incorrect API key provided: abcd****wxyz.", "wxyz"),
        ("Incorrect API key provided: tiny.", "tiny"),
        ("bad abcd****wxyz here", "wxyz"),
        ("bad abcd...wxyz here", "wxyz"),
        ("bad abcd…wxyz here", "wxyz"),
        ("Bearer tiny is not known", "tiny"),
        ("bearer TINY", "TINY"),
        ("pk-live-1 and key_1, and sess-1", "live"),
        (f"The token {RANDOM} has expired", RANDOM),
        (f'{{"authorization":"{RANDOM}"}}', RANDOM),
        ("eyJhbGciOiJSUzI1NiIsInR5cCI6.eyJpc3MiOiJhIiwic3ViIjoiYiJ9MQ.c2lnbmF0dXJlb2Z0aGV0b2tlbjE", "eyJ"),
        (f"org-{'a' * 40}", "aaaa"),
    ],
)
def test_texts_that_look_like_keys_are_hidden(said: str, secret: str) -> None:
    told = redact(said)

    assert secret not in told
    assert HIDDEN in told


@pytest.mark.parametrize(
    "said",
    [
        "You exceeded your current quota, please check your plan and billing details.",
        "The model 'gpt-image-2' does not exist or you do not have access to it.",
        "Rate limit reached for gpt-image-2 on images per min: Limit 5, Used 5, Requested 1.",
        "Your organization must be verified to use the model. See https://platform.openai.com/settings.",
    ],
)
def test_texts_that_operators_need_are_left(said: str) -> None:
    assert redact(said) == said


def test_the_result_is_one_bounded_line_without_control_characters() -> None:
    told = redact("first\nsecond\x1b[31m " + "words " * 1000)

    assert told.startswith("first second [31m words")
    assert len(told) == 300


def test_secrets_in_use_are_hidden_in_any_form() -> None:
    told = redact("no account for correct horse", secrets=["correct horse", "no"])

    assert told == f"no account for {HIDDEN}"


@pytest.mark.parametrize(
    ("said", "prompt"),
    [
        ("Cannot draw 'a heron at dusk'", "a heron at dusk"),
        ("Cannot draw 'A HERON\n  at dusk'", "a heron at dusk by the lake, in oil"),
        ("Cannot draw '... heron at dusk, in ...'", "a heron at dusk, in oil, for the annual report"),
        ("Cannot draw 'heron'", "heron"),
        ("Cannot draw a%20heron%20at%20dusk", "a heron at dusk"),
        (r"Cannot draw \u0061 heron \u0061t dusk", "a heron at dusk"),
        ("Cannot draw a &#104;eron at dusk", "a heron at dusk"),
        ("Cannot draw a h e r o n a t d u s k", "a heron at dusk"),
        ("Cannot draw " + "".join(chr(ord(letter) + 0xFEE0) for letter in "aheronatdusk"), "a heron at dusk"),
        ("Cannot draw '一只白色的暹罗猫坐…'", "一只白色的暹罗猫坐在窗台上"),
    ],
)
def test_texts_that_repeat_a_part_of_a_prompt_are_dropped(said: str, prompt: str) -> None:
    assert redact(said, prompt=prompt) == ""


def test_texts_that_repeat_nothing_of_a_prompt_are_kept() -> None:
    assert redact("Quota exceeded", prompt="a heron at dusk") == "Quota exceeded"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("Bad prompt; key Bearer sk-proj-abcdefgh", f"Bad prompt; key Bearer {HIDDEN}"),
        ("Incorrect API key provided: abcd1234.", f"Incorrect API key provided: {HIDDEN}"),
        ("Give key-value pairs. Request req_0123456789abcdef, sk-8", None),
    ],
)
def test_a_caller_gets_everything_except_keys(said: str, told: str | None) -> None:
    assert hide_keys(said) == (told or said)


@pytest.mark.parametrize(
    "key",
    [
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWJqIjoiYWxhZGRpbiJ9.SflKxwRJSMeKKFQTfwpMeJfXq",
        "company/team/0123456789abcdefghij/tail-secret",
    ],
)
@pytest.mark.parametrize("before", ["", "word " * 57])
def test_no_part_of_a_key_in_use_is_left(key: str, before: str) -> None:
    told = redact(f"{before}Invalid token: {key}", secrets=[key])

    assert "tail" not in told
    assert "SflK" not in told
    assert "team" not in told


@pytest.mark.parametrize("said", ["x*" * 1000, ("a" * 30 + "..") * 66, "-".join("ab" * 1000)])
def test_a_text_made_to_take_long_is_read_in_part(said: str) -> None:
    assert len(redact(said * 100)) <= 300
