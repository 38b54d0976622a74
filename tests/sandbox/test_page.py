"""The page of the sandbox has all that its controls take."""

import re

from service.sandbox.faults.behaviour import Failure, Throttle
from service.sandbox.wire.kinds import Kind
from tests.documents import read
from tests.sandbox.process import SandboxHandle

PAGE = "docs/sandbox.md"


def members_of(table: str) -> set[str]:
    """Return the names in the first column of a table."""
    rows = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


async def test_the_page_has_every_behaviour(sandbox: SandboxHandle) -> None:
    of_behaviour, of_failures = read(PAGE).partition("## Behaviour")[2].split("A failure is an object")
    shown = (await sandbox.client.get("/sandbox/behaviour")).json()

    assert members_of(of_behaviour) == set(shown)
    assert members_of(of_failures.partition("## The journal")[0]) == set(Failure.model_fields)
    assert [name for name in Throttle.model_fields if name not in of_behaviour] == []


async def test_the_page_has_every_value(sandbox: SandboxHandle) -> None:
    """Those that a refusal of a wrong one lists."""
    page = read(PAGE)
    names = (
        "account",
        "error_shape",
        "filter_refusal",
        "filter_results",
        "makes",
        "masks",
        "paint",
        "several",
    )
    wrong: dict[str, object] = dict.fromkeys(names, "none of them") | {
        "stream_fault": "none",
        "operations": ["none"],
    }
    wrong |= {"failures": [{"status": 200, "body": "none", "retry_style": "no"}]}

    refused = await sandbox.client.put("/sandbox/behaviour", json=wrong)

    values = re.findall(r"'(\w+)'", " ".join(re.findall(r"Input should be (.*?)\[type", refused.text)))
    assert len(values) > 40
    assert [value for value in values if f"`{value}`" not in page and f'"{value}"' not in page] == []


def test_the_page_has_every_kind() -> None:
    assert {f"| `{kind.value}` |" in read(PAGE) for kind in Kind} == {True}
