"""Check `openapi/openapi.yaml`: its origin, and the rules that code generators need."""

import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from service.domain.images import Operation
from service.domain.models_file import parse_catalog
from service.http.contract.operations import OPERATIONS
from service.http.contract.yaml import to_yaml
from service.http.schemas import EditImageJsonRequest, GenerateImageRequest
from tests.contract.published import PATH, published
from tests.documents import read
from tests.processes import REPOSITORY

DOCUMENT = published()
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
REQUESTS = [name for name in SCHEMAS if name.endswith("Request")]
OPERATIONS_BY_ID: dict[str, tuple[str, str, dict[str, Any]]] = {
    operation["operationId"]: (method, path, operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}
"""Method, path and operation."""
NAMES_OF_FRAMEWORKS = {"Partial", "Event", "Error", "File", "Object", "Map", "Record", "Response", "Image"}


def nodes(root: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every object below *root*, and its place."""
    if isinstance(root, dict):
        yield place, root
        for key, value in root.items():
            yield from nodes(value, f"{place}/{key}")
    elif isinstance(root, list):
        for number, value in enumerate(root):
            yield from nodes(value, f"{place}/{number}")


def schemas_in(root: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every schema with a type, and its place; examples are data."""
    return (
        (place, node)
        for place, node in nodes(root)
        if "type" in node and not isinstance(node["type"], dict) and "/examples/" not in place
    )


def resolve(reference: str) -> dict[str, Any]:
    found: Any = DOCUMENT
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    assert isinstance(found, dict)
    return found


def printed(*options: str) -> str:
    command = [sys.executable, "-m", "service", "openapi", *options]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=True).stdout.decode()


def test_the_committed_document_is_the_published_one() -> None:
    assert read(PATH) == to_yaml(DOCUMENT), f"image-gateway openapi > {PATH}"


def test_the_command_prints_it_as_yaml_and_as_json() -> None:
    assert printed() == read(PATH)
    assert orjson.loads(printed("--json")) == DOCUMENT


def test_every_route_has_a_row() -> None:
    assert set(OPERATIONS_BY_ID) == set(OPERATIONS)


def test_every_operation_has_an_id_a_tag_and_words() -> None:
    for name, (_, path, operation) in OPERATIONS_BY_ID.items():
        assert re.fullmatch(r"[a-z][A-Za-z]+", name)
        assert name.startswith("admin") is path.startswith("/admin/"), path
        assert len(operation["tags"]) == 1
        assert operation["summary"]
        assert operation["description"]
    tags = {operation["tags"][0] for _, _, operation in OPERATIONS_BY_ID.values()}
    assert tags == {tag["name"] for tag in DOCUMENT["tags"] if tag["description"]}


def test_every_reference_has_a_target_and_every_component_a_user() -> None:
    references = {node["$ref"] for _, node in nodes(DOCUMENT) if "$ref" in node}

    assert all(resolve(reference) for reference in references)
    components = {
        f"#/components/{kind}/{name}"
        for kind, components in DOCUMENT["components"].items()
        for name in components
        if kind != "securitySchemes"
    }
    assert components == references


def test_all_routes_but_health_and_links_need_credentials() -> None:
    open_ = {name for name, (_, _, each) in OPERATIONS_BY_ID.items() if each["security"] == []}

    assert open_ == {"getLiveness", "getReadiness", "getImageFile"}
    needing = [each["security"] for name, (_, _, each) in OPERATIONS_BY_ID.items() if name not in open_]
    assert all(security == [{"bearer": []}] for security in needing)


def test_statuses_are_explicit_and_failures_have_the_envelope() -> None:
    for name, (_, _, operation) in OPERATIONS_BY_ID.items():
        statuses = operation["responses"]
        assert all(re.fullmatch("[2-5][0-9][0-9]", status) for status in statuses), name
        assert any(status.startswith("2") for status in statuses), name
        for status, response in statuses.items():
            found = resolve(response["$ref"]) if "$ref" in response else response
            assert {"X-Request-Id", "Request-Id"} <= set(found["headers"]), (name, status)
            if int(status) >= 400 and (name, status) != ("getReadiness", "503"):
                envelope = "SimpleImageError" if name == "generateImage" else "ErrorResponse"
                schema = {"$ref": f"#/components/schemas/{envelope}"}
                assert found["content"] == {"application/json": {"schema": schema}}, (name, status)


def test_a_typed_429_tells_when_to_retry() -> None:
    for name in ("createImage", "editImage", "createImageVariation", "createImageStream", "adminCreateKey"):
        response = OPERATIONS_BY_ID[name][2]["responses"]["429"]

        assert {"Retry-After", "Retry-After-Ms", "X-Should-Retry"} <= set(
            resolve(response["$ref"])["headers"]
        )


def test_bodies_are_named_and_have_one_media_type() -> None:
    """Two media types, or a body without a name of its own, lose fields in generated code."""
    bodies = {
        name: operation["requestBody"]["content"]
        for name, (_, _, operation) in OPERATIONS_BY_ID.items()
        if "requestBody" in operation
    }

    assert len(bodies) == 11
    for name, content in bodies.items():
        ((_, media),) = content.items()
        assert list(media["schema"]) == ["$ref"], name


def test_the_bodies_of_orders_name_every_field_of_the_routes() -> None:
    for component, model, absent in (
        ("CreateImageRequest", GenerateImageRequest, set()),
        ("EditImageRequest", EditImageJsonRequest, {"images", "svg", *fields_for_generations()}),
    ):
        fields = set(SCHEMAS[component]["properties"])
        takes = {name for name in model.model_fields if name not in absent}
        assert takes - fields == set()
        assert fields - takes <= {"image", "input_fidelity"}


def fields_for_generations() -> set[str]:
    """Return the parameters that no model takes with an edit."""
    catalog = parse_catalog(read("service/domain/models.toml"))
    rules = [item for model in catalog.models.values() for item in model.contract.parameters.items()]
    names = {name for name, _ in rules}
    return names - {name for name, rule in rules if Operation.EDIT in (rule.operations or (Operation.EDIT,))}


def test_every_parameter_of_the_catalogue_is_described() -> None:
    catalog = parse_catalog(read("service/domain/models.toml"))
    orders = (SCHEMAS["CreateImageRequest"]["properties"], SCHEMAS["EditImageRequest"]["properties"])

    for model in catalog.models.values():
        for name, rule in model.contract.parameters.items():
            described = [fields[name]["description"] for fields in orders if name in fields]
            assert described
            assert all(any(f"`{value}`" in text for text in described) for value in rule.values), name


def test_every_field_of_an_order_is_described() -> None:
    for name in (
        "CreateImageRequest",
        "EditImageRequest",
        "CreateImageVariationRequest",
        "SimpleImageRequest",
    ):
        for field, schema in SCHEMAS[name]["properties"].items():
            assert len(schema["description"]) > 20, field


def test_every_field_of_every_component_is_described() -> None:
    without = [
        f"{name}.{field}"
        for name, schema in SCHEMAS.items()
        for field, each in schema.get("properties", {}).items()
        if "description" not in each and "$ref" not in each
    ]

    assert without == [], "add them to service/http/contract/words.py"
    assert [name for name, schema in SCHEMAS.items() if "description" not in schema] == []


@pytest.mark.parametrize("name", REQUESTS)
def test_requests_have_no_free_object_no_default_and_no_any_of(name: str) -> None:
    for place, node in nodes(SCHEMAS[name]):
        assert "anyOf" not in node, place
        assert "default" not in node, place
        assert node.get("type") != "object" or "properties" in node, place
        assert None not in node.get("enum", ()), place


def test_schemas_have_nothing_that_generators_stumble_over() -> None:
    for place, schema in schemas_in(DOCUMENT):
        assert "anyOf" not in schema, place
        assert "const" not in schema, place
        assert "title" not in schema, place
        assert None not in schema.get("enum", ()), place
        assert schema["type"] != "boolean" or "enum" not in schema, place
        assert "nullable" not in schema, place
    assert NAMES_OF_FRAMEWORKS & set(SCHEMAS) == set()
    assert {name for name in SCHEMAS if "Validation" in name or name.startswith("Body_")} == set()
    assert [place for place, node in nodes(DOCUMENT) if "itemSchema" in node] == []


def test_money_bytes_and_times_have_64_bits() -> None:
    long = re.compile(r"(^|_)(microusd|bytes|created|created_at|expires_at|at|oldest|exp)$")
    for name, schema in SCHEMAS.items():
        for field, each in schema.get("properties", {}).items():
            if long.search(field) and "integer" in each.get("type", ()):
                assert each["format"] == "int64", f"{name}.{field}"


def test_queries_are_typed_and_every_parameter_is_described() -> None:
    types = {}
    for name, (_, _, operation) in OPERATIONS_BY_ID.items():
        for parameter in operation.get("parameters", ()):
            found = resolve(parameter["$ref"]) if "$ref" in parameter else parameter
            assert found["description"], (name, found["name"])
            types[name, found["name"]] = found["schema"]["type"]

    assert types["adminGetAudit", "limit"] == "integer"
    assert types["adminPurgeCache", "dry_run"] == "boolean"
    assert types["adminPurgeCache", "older_than_s"] == "number"
    assert types["getReadiness", "verbose"] == "boolean"
    assert {name for operation, name in types if operation == "getImageFile"} >= {"name", "t", "exp", "sig"}
    assert {name for operation, name in types if operation == "editImage"} == {
        *("Idempotency-Key", "Prefer", "Cache-Control", "X-Request-Timeout-S"),
    }


def test_streams_are_operations_with_typed_events() -> None:
    for name, kind in (
        ("createImageStream", "image_generation"),
        ("editImageStream", "image_edit"),
        ("createImageVariationStream", "image_edit"),
    ):
        content = OPERATIONS_BY_ID[name][2]["responses"]["200"]["content"]

        events = resolve(content["text/event-stream"]["schema"]["$ref"])["discriminator"]["mapping"]
        assert set(events) == {f"{kind}.partial_image", f"{kind}.completed", "error"}
        for type_, reference in events.items():
            assert resolve(reference)["properties"]["type"]["enum"] == [type_]


def test_metrics_are_text_and_files_are_images() -> None:
    metrics, file = (OPERATIONS_BY_ID[name][2]["responses"]["200"] for name in ("getMetrics", "getImageFile"))

    assert list(metrics["content"]) == ["text/plain", "application/openmetrics-text"]
    assert {kind.partition("/")[0] for kind in file["content"]} == {"image"}


def test_a_start_does_not_build_the_document() -> None:
    code = (
        "import sys; import service.app; "
        "print([name for name in sys.modules if name.startswith('service.http.contract')])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, check=True)

    assert done.stdout == b"[]\n"
