"""Check `openapi/openapi.json`: origin, ids, references and credentials."""

import re
import subprocess
import sys
from typing import Any

import orjson
import pytest

from tests.documents import read
from tests.processes import REPOSITORY

PATH = "openapi/openapi.json"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    committed: dict[str, Any] = orjson.loads(read(PATH))
    return committed


@pytest.fixture(scope="module")
def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """Operations by method and path."""
    return {
        (method, path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def test_the_committed_document_equals_the_served_one() -> None:
    command = [sys.executable, "-m", "service", "openapi"]

    printed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=True).stdout

    assert read(PATH).strip() == printed.decode().strip(), f"image-gateway openapi > {PATH}"


def test_every_operation_has_a_unique_id(operations: dict[tuple[str, str], dict[str, Any]]) -> None:
    ids = [operation["operationId"] for operation in operations.values()]

    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z][A-Za-z]+", each) for each in ids)


def test_only_ids_of_admin_routes_begin_with_admin(
    operations: dict[tuple[str, str], dict[str, Any]],
) -> None:
    for (_, path), operation in operations.items():
        is_admin = path.startswith("/admin/")

        assert operation["operationId"].startswith("admin") is is_admin, path


def test_every_reference_has_a_definition(document: dict[str, Any]) -> None:
    references = set(re.findall(r'"\$ref":\s*"#/([^"]+)"', read(PATH)))

    assert references
    assert [reference for reference in references if not is_defined(document, reference)] == []


def test_credentials_are_a_bearer_token(document: dict[str, Any]) -> None:
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"


def test_all_routes_but_health_and_links_need_credentials(
    operations: dict[tuple[str, str], dict[str, Any]],
) -> None:
    without = {
        each for each, operation in operations.items() if operation.get("security") != [{"bearer": []}]
    }

    assert without == {("get", "/livez"), ("get", "/readyz"), ("get", "/v1/images/files/{name}")}


def is_defined(document: dict[str, Any], reference: str) -> bool:
    found: Any = document
    for part in reference.split("/"):
        if part not in found:
            return False
        found = found[part]
    return True
