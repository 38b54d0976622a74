"""The list of models, and how long each is served."""

import httpx

from tests.sandbox.process import SandboxHandle, run_sandbox


async def test_lists_models_with_their_last_day(sandbox: SandboxHandle) -> None:
    answer = await sandbox.client.get("/v1/models")

    dates = {model["id"]: model["shutdown_date"] for model in answer.json()["data"]}
    assert answer.json()["object"] == "list"
    assert dates["gpt-image-2"] is None
    assert dates["gpt-image-1.5"] == "2026-12-01"
    assert not {"dall-e-3", "dall-e-2", "gpt-image-1"} & set(dates)
    assert len(dates) == 12


async def test_describes_one_model(sandbox: SandboxHandle) -> None:
    answer = await sandbox.client.get("/v1/models/gpt-image-2.5-sunburst-2026-09-08")

    assert answer.json() == {
        "id": "gpt-image-2.5-sunburst-2026-09-08",
        "object": "model",
        "created": 1788825600,
        "owned_by": "system",
        "shutdown_date": None,
    }


async def test_an_unknown_model_is_a_404_with_its_name_decoded(sandbox: SandboxHandle) -> None:
    answer = await sandbox.client.get("/v1/models/org%2Fgpt%20image")

    error = answer.json()["error"]
    assert answer.status_code == 404
    assert error["code"] == "model_not_found"
    assert "'org/gpt image'" in error["message"]


async def test_models_go_on_their_last_day() -> None:
    async with run_sandbox(today="2026-12-01") as later:
        gone = await later.generate(model="gpt-image-1-mini")
        listed = await later.client.get("/v1/models")
        alive = await later.generate()

    assert (gone.status_code, gone.json()["error"]["param"]) == (400, "model")
    assert len(listed.json()["data"]) == 8
    assert alive.status_code == 200


async def test_models_are_served_until_then(sandbox: SandboxHandle) -> None:
    await sandbox.behave(paint="flat")
    models = (await sandbox.client.get("/v1/models")).json()["data"]

    answers: list[httpx.Response] = [await sandbox.generate(model=model["id"]) for model in models]

    assert {answer.status_code for answer in answers} == {200}
