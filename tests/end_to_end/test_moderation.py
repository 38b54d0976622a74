"""Prompts that are judged before anything is spent, by a list or by the provider; and refusals remembered."""

from collections.abc import Iterator
from uuid import uuid4

import httpx
import pytest

from tests.http.house import GENERATIONS, House, check_error, open_house, png

CONFIG = '[moderation]\nwords = ["Secret Plan", "\N{LATIN CAPITAL LETTER SHARP S}traße"]\n'


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A gateway with a list of words of its own."""
    config = tmp_path_factory.mktemp("config") / "gateway.toml"
    config.write_text(CONFIG, "utf-8")
    with open_house(tmp_path_factory.mktemp("listed"), moderation="list", config=config) as opened:
        opened.behave(paint="flat")
        yield opened


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A gateway that asks the provider's moderation endpoint."""
    with open_house(tmp_path_factory.mktemp("judged"), moderation="provider") as opened:
        opened.behave(paint="flat")
        yield opened


@pytest.fixture
def unique() -> str:
    return uuid4().hex


def order(house: House, prompt: str, model: str = "gpt-image-2", **fields: object) -> httpx.Response:
    return house.client.post(GENERATIONS, json={"model": model, "prompt": prompt, **fields})


@pytest.mark.parametrize(
    ("model", "code", "kind"),
    [
        ("dall-e-2", "content_policy_violation", "invalid_request_error"),
        ("dall-e-3", "content_policy_violation", "invalid_request_error"),
        ("gpt-image-1", "moderation_blocked", "image_generation_user_error"),
        ("gpt-image-2", "moderation_blocked", "image_generation_user_error"),
    ],
)
def test_a_word_of_the_list_costs_nothing(
    listed: House, unique: str, model: str, code: str, kind: str
) -> None:
    answer = order(listed, f"{unique}: the SECRET plan", model, n=2)

    message = check_error(answer, 400, code=code, param=None)
    assert answer.json()["error"]["type"] == kind
    assert message.startswith("Your request was rejected as a result of our safety system.")
    assert "secret" not in answer.text.lower()
    assert listed.journal(prompt=unique) == []


def test_prompts_without_a_listed_word_pass(listed: House, unique: str) -> None:
    assert order(listed, f"{unique}: a secret garden plan").status_code == 200


def test_letters_are_compared_whatever_their_case(listed: House, unique: str) -> None:
    assert order(listed, f"{unique}: SSTRASSE").status_code == 400


def test_an_edit_is_judged_by_its_prompt(listed: House, unique: str) -> None:
    answer = listed.edit(("image", png()), prompt=f"{unique} secret plan", model="gpt-image-2")

    check_error(answer, 400, code="moderation_blocked", param=None)
    assert listed.journal(prompt=unique) == []
    listed.check_uploads_gone()


def test_a_stream_is_refused_before_its_first_event(listed: House, unique: str) -> None:
    answer = order(listed, f"{unique} secret plan", stream=True)

    check_error(answer, 400, code="moderation_blocked", param=None)
    assert answer.headers["content-type"] == "application/json"


def test_the_provider_is_asked_once_and_its_refusal_costs_nothing(judged: House, unique: str) -> None:
    answers = [order(judged, f"{unique} forbidden-word") for _ in range(3)]

    for answer in answers:
        check_error(answer, 400, code="moderation_blocked", param=None)
        assert answer.json()["error"]["moderation_details"] == {
            "moderation_stage": "input",
            "categories": ["violence"],
        }
    assert [call["path"] for call in judged.journal(prompt=unique)] == ["/v1/moderations"]


def test_prompts_that_the_provider_passes_are_made(judged: House, unique: str) -> None:
    assert order(judged, unique, n=2).status_code == 200

    paths = [call["path"] for call in judged.journal(prompt=unique)]
    assert paths == ["/v1/moderations", GENERATIONS]


def test_a_hit_is_not_judged_again(judged: House, unique: str) -> None:
    order(judged, unique)
    before = len(judged.journal())

    assert order(judged, unique).headers["x-cache"] == "hit"
    assert len(judged.journal()) == before


def test_a_variation_has_no_prompt_to_judge(judged: House) -> None:
    source = png(seed=a_seed())

    assert judged.vary(("image", source), size="256x256").status_code == 200
    assert [
        call for call in judged.journal() if call["path"] == "/v1/moderations" and call["status"] != 200
    ] == []


def a_seed() -> int:
    return uuid4().int % 2**32


@pytest.mark.parametrize("model", ["dall-e-3", "gpt-image-2"])
def test_a_refusal_of_the_image_model_is_remembered(listed: House, unique: str, model: str) -> None:
    """A storm of retries makes no second request."""
    answers = [order(listed, f"{unique} forbidden-word", model) for _ in range(4)]

    assert {answer.status_code for answer in answers} == {400}
    assert len({answer.json()["error"]["code"] for answer in answers}) == 1
    assert len(listed.journal(prompt=unique)) == 1


def test_a_remembered_refusal_concerns_one_order_only(listed: House, unique: str) -> None:
    order(listed, f"{unique} forbidden-word", size="1024x1024")

    order(listed, f"{unique} forbidden-word", size="1024x1536")

    assert len(listed.journal(prompt=unique)) == 2


def test_other_failures_are_not_remembered(listed: House, unique: str) -> None:
    listed.behave(paint="flat", failures=[{"status": 400, "code": "invalid_value"}])
    first = order(listed, unique)
    listed.behave(paint="flat")

    assert first.status_code == 400
    assert order(listed, unique).status_code == 200


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (
            403,
            "Your resource has been temporarily blocked because we detected behavior that may violate our policy.",
        ),
        (400, "has been temporarily blocked because we detected behavior of somebody"),
    ],
)
def test_a_blocked_account_is_not_the_callers_fault(
    listed: House, unique: str, status: int, message: str
) -> None:
    listed.behave(paint="flat", failures=[{"status": status, "code": "Forbidden", "message": message}])
    answer = order(listed, unique)
    listed.behave(paint="flat")

    told = check_error(answer, 502, code="backend_blocked", param=None)
    assert answer.headers["x-should-retry"] == "false"
    assert "violate" not in told
    assert "detected" not in answer.text
    assert 'outcome="blocked"' in listed.client.get("/metrics").text
    assert order(listed, unique).status_code == 200
