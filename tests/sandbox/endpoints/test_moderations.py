"""The moderation endpoint: flags the words that orders are refused for."""

import pytest
from openai import AsyncOpenAI

from tests.sandbox.process import SandboxHandle


async def test_flags_what_would_be_refused(sandbox: SandboxHandle) -> None:
    answer = await sandbox.client.post("/v1/moderations", json={"input": "a Forbidden-Word"})

    body = answer.json()
    (result,) = body["results"]
    assert answer.status_code == 200
    assert (set(body), body["model"]) == ({"id", "model", "results"}, "omni-moderation-latest")
    assert result["flagged"] is True
    assert [name for name, is_flagged in result["categories"].items() if is_flagged] == ["violence"]
    assert result["category_scores"]["violence"] > 0.5 > result["category_scores"]["hate"]


async def test_judges_several_texts_each_by_itself(sandbox: SandboxHandle) -> None:
    await sandbox.behave(refuse_words=["mouse"])

    answer = await sandbox.client.post("/v1/moderations", json={"input": ["a cat", "a MOUSE"], "model": "m"})

    assert [result["flagged"] for result in answer.json()["results"]] == [False, True]
    assert answer.json()["model"] == "m"


async def test_is_journalled_free_of_charge_and_spared_of_failures(sandbox: SandboxHandle) -> None:
    await sandbox.behave(failures=[{"status": 500}])

    moderated = await sandbox.client.post("/v1/moderations", json={"input": "a cat"})
    generated = await sandbox.generate()

    assert (moderated.status_code, generated.status_code) == (200, 500)
    entry, _ = await sandbox.journal()
    assert (entry["path"], entry["status"], entry["billed"]) == ("/v1/moderations", 200, False)
    assert (entry["prompt"], entry["parameters"]) == ("a cat", {"input": "a cat"})


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({}, "missing_required_parameter", "input"),
        ({"input": None}, "missing_required_parameter", "input"),
        ({"input": 5}, "invalid_type", "input"),
        ({"input": ["a", 5]}, "invalid_type", "input"),
        ({"input": []}, "empty_array", "input"),
        ({"input": "a", "model": 5}, "invalid_type", "model"),
        ({"input": "a", "n": 1}, "unknown_parameter", "n"),
    ],
)
async def test_refuses_what_it_cannot_judge(
    sandbox: SandboxHandle, body: dict[str, object], code: str, param: str
) -> None:
    answer = await sandbox.client.post("/v1/moderations", json=body)

    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, code, param)


async def test_the_official_sdk_reads_it(sandbox: SandboxHandle) -> None:
    async with AsyncOpenAI(base_url=f"{sandbox.url}/v1", api_key="sk-test", max_retries=0) as client:
        answer = await client.moderations.create(input="a cat")

    assert answer.results[0].flagged is False
    assert answer.results[0].category_applied_input_types.hate == ["text"]
