"""List the routes without credentials: few, by name, and for reading only."""

import pytest

from service.http.access import OPEN_ROUTES, is_open_route


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", [*sorted(OPEN_ROUTES), "/web/style.css", "/v1/images/files/0a1b.png"])
def test_pages_health_and_signed_links_are_open(method: str, path: str) -> None:
    assert is_open_route(method, path)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "get", ""])
@pytest.mark.parametrize("path", ["/", "/livez", "/web/style.css", "/v1/images/files/0a1b.png"])
def test_open_routes_only_allow_reading(method: str, path: str) -> None:
    assert not is_open_route(method, path)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "//",
        "/livez/",
        "/livez/x",
        "/LIVEZ",
        "/web",
        "/website",
        "/docs/",
        "/docs/other.js",
        "/metrics",
        "/admin/",
        "/admin/keys",
        "/v1/models",
        "/v1/usage",
        "/v1/images/generations",
        "/v1/images/files",
        "/v1/images/files/",
        "/v1/images/files/0a1b.png/info",
        "/v1/images/files/../generations",
        "/x/v1/images/files/0a1b.png",
        "/generate_image",
        "/nowhere",
    ],
)
def test_all_other_routes_need_credentials(path: str) -> None:
    assert not is_open_route("GET", path)


def test_the_open_routes_are_a_short_list() -> None:
    page = {"/", "/admin"}
    docs = {"/docs", "/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css", "/openapi.json"}
    assert page | docs | {"/livez", "/readyz"} == OPEN_ROUTES
