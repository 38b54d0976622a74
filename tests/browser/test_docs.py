"""Read the API page: contrast in both themes, and the key of the other pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.conftest import Visit
from tests.browser.visitor import barriers
from tests.http.house import House
from tests.http.offices import Office

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page


def open_operation(page: Page, name: str) -> Locator:
    operation = page.locator(f"[id$='-{name}']")
    operation.get_by_role("button").first.click()
    return operation


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_of_the_api_page_can_be_read(visit: Visit, house: House, scheme: Any) -> None:
    """The order of headings, and buttons in buttons, are Swagger UI's own; contrast is ours."""
    page = visit(f"{house.gateway.url}/docs", color_scheme=scheme)
    for name in ("createImage", "getUsage", "adminRevokeKey"):
        open_operation(page, name).locator(".responses-wrapper").wait_for()

    assert barriers(page, "color-contrast") == []


def test_the_api_page_sends_the_key_of_the_person(visit: Visit, office: Office) -> None:
    created = office.create_key()
    page = visit(f"{office.gateway.url}/docs", key=created["key"])
    operation = open_operation(page, "getUsage")

    operation.get_by_role("button", name="Try it out").click()
    with page.expect_response("**/v1/usage") as asked:
        operation.get_by_role("button", name="Execute").click()

    assert (asked.value.status, asked.value.json()["team"]) == (200, created["team"])
