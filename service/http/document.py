"""Complete the OpenAPI document: the framework's output, with the credentials of each operation."""

from typing import Any

from service.http.access import is_open_route

_SCHEME = {
    "type": "http",
    "scheme": "bearer",
    "description": "A key (`ig_...`), a token of the identity provider, or the operator's own admin key. "
    "An open gateway asks for none, except below `/admin`.",
}


def add_security(document: dict[str, Any]) -> dict[str, Any]:
    """Return *document* with the bearer scheme on every operation that is not open in all modes."""
    document.setdefault("components", {})["securitySchemes"] = {"bearer": _SCHEME}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if not is_open_route(method.upper(), path):
                operation["security"] = [{"bearer": []}]
    return document
