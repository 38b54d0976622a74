"""Add the required credentials of each operation to the OpenAPI document."""

from typing import Any

from service.http.access import is_open_route

_SCHEME = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key (`ig_...`), a token of the identity provider, or `GATEWAY_ADMIN_KEY`. "
    "An open gateway needs none, except below `/admin`.",
}


def add_security(document: dict[str, Any]) -> dict[str, Any]:
    """Return *document* with the bearer scheme on every operation that can need it."""
    document.setdefault("components", {})["securitySchemes"] = {"bearer": _SCHEME}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if not is_open_route(method.upper(), path):
                operation["security"] = [{"bearer": []}]
    return document
