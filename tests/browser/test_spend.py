"""Read what teams spent on the admin page, and compare it with `/admin/usage`."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import Visit
from tests.browser.spending import book, spent
from tests.browser.visitor import barriers
from tests.http.offices import ADMIN_KEY, Office, open_office
from tests.processes import Valkey, run_valkey

if TYPE_CHECKING:
    from playwright.sync_api import Page

TODAY = "2026-11-20"
"""The day on the page's clock; the ledger has no clock of its own."""
BOOKED = (
    spent("2026-11-03", "shop", 10, 400_000),
    spent("2026-11-04", "shop", 5, 1_100_000, model="gpt-image-1.5", backend="azure"),
    spent("2026-11-04", "lab", 2, 0, model="gpt-image-2.5-flare", unpriced=2),
    spent("2026-11-04", "lab", 1, 50_000, outcome="unknown"),
    spent("2026-11-20", "lab", 40, 4_000_000),
    spent("2026-11-20", "play", 30, 9_000_000, realm="sandbox"),
    spent("2026-10-31", "shop", 3, 70_000),
)


@pytest.fixture(scope="module")
def valkey() -> Iterator[Valkey]:
    with run_valkey() as valkey:
        yield valkey


@pytest.fixture(scope="module")
def spenders(valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    settings = {"redis_url": valkey.url, "redis_timeout_s": 1, "secrets": "a-long-secret-of-these-tests"}
    with open_office(tmp_path_factory.mktemp("spenders"), **settings) as office:
        book(valkey.url, BOOKED)
        yield office


@pytest.fixture
def page(visit: Visit, spenders: Office) -> Page:
    page = visit(f"{spenders.gateway.url}/livez")
    page.clock.set_fixed_time(f"{TODAY}T12:00:00Z")
    page.evaluate(f"sessionStorage['image-gateway.admin-key'] = '{ADMIN_KEY}'")
    page.goto(f"{spenders.gateway.url}/admin")
    page.get_by_role("figure").wait_for()
    return page


def rows_of(page: Page, table: str) -> list[list[str]]:
    """Return the cells of a table's rows, without its head."""
    rows = page.get_by_role("table", name=table).locator("tbody tr").all()
    return [row.locator("th, td").all_inner_texts() for row in rows]


def test_what_a_team_spent_this_month_is_found_at_once(page: Page) -> None:
    page.get_by_label("Team").select_option("shop")
    page.get_by_role("status").get_by_text("$1.50 for 15 images").wait_for()

    assert rows_of(page, "By model that made the images") == [
        ["gpt-image-1.5", "$1.10", "5"],
        ["gpt-image-2", "$0.40", "10"],
    ]


def test_test_images_unknown_outcomes_and_prices_are_no_part_of_the_sum(page: Page) -> None:
    assert page.locator(".sum").inner_text() == "$5.50 for 57 images"
    assert page.locator(".total .hint").all_inner_texts() == [
        "2 images of these have no known price, and the sum leaves them out.",
        "Beside these, 1 image of unknown outcome (a time-out, a killed gateway) may cost up to $0.0500 more.",
        "Beside these, 30 test images of the sandbox, nothing charged.",
    ]
    assert "$9" not in page.locator("#section").inner_text()
    assert rows_of(page, "By team") == [
        ["lab", "$4.00", "42", "2", "1 (up to $0.0500)", "0"],
        ["shop", "$1.50", "15", "0", "0", "0"],
        ["play", "$0.00", "0", "0", "0", "30"],
    ]


def test_several_backends_have_a_table_and_one_has_none(page: Page) -> None:
    assert [row[:3] for row in rows_of(page, "By backend that made the images")] == [
        ["openai", "$4.40", "52"],
        ["azure", "$1.10", "5"],
    ]

    page.get_by_label("Team").select_option("play")
    page.locator("#section [aria-busy]").wait_for(state="detached")
    assert page.get_by_role("table", name="By model that made the images").is_visible()
    assert not page.get_by_role("table", name="By backend that made the images").is_visible()


def test_the_sums_are_those_of_the_interface(page: Page, spenders: Office) -> None:
    for team in ("", "shop", "lab", "play"):
        page.get_by_label("Team").select_option(team)
        page.locator("#section [aria-busy]").wait_for(state="detached")
        query = {"from": "2026-11-01", "to": TODAY, "group": "day", **({"team": team} if team else {})}
        rows = spenders.admin.get("/admin/usage", params=query).json()["data"]
        made = [row for row in rows if (row["realm"], row["outcome"]) == ("live", "made")]
        cents = sum(row["microusd"] for row in made) / 1e6

        text = page.locator(".sum").inner_text()

        if made:
            assert text == f"${cents:.2f} for {sum(row['images'] for row in made)} images"
        else:
            assert text == "30 test images, nothing charged"


def test_the_bars_and_the_slider_show_the_days(page: Page) -> None:
    bars = page.locator("figure .bar")
    heights = [float(bar.get_attribute("height") or 0) for bar in bars.locator(".solid").all()]
    unknown = [float(bar.get_attribute("height") or 0) for bar in bars.locator(".hatched").all()]

    assert len(heights) == 20
    day = heights[19] / 4_000_000
    assert {i + 1: round(height / day) for i, height in enumerate(heights) if height} == {
        3: 400_000,
        4: 1_100_000,
        20: 4_000_000,
    }
    assert {i + 1: round(height / day) for i, height in enumerate(unknown) if height} == {4: 50_000}

    slider = page.get_by_role("slider", name="Read a day")
    slider.press("Home")
    assert "Nov 1, 2026: $0.00 for 0 images" in (slider.get_attribute("aria-valuetext") or "")
    for _ in range(2):
        slider.press("ArrowRight")
    assert slider.get_attribute("aria-valuetext") == page.locator("output").inner_text()
    assert "Nov 3, 2026: $0.40 for 10 images" in page.locator("output").inner_text()


@pytest.mark.parametrize(
    ("span", "days", "text"),
    [
        ("week", 7, "$4.00 for 40 images"),
        ("month", 20, "$5.50 for 57 images"),
        ("lastMonth", 31, "$0.0700 for 3 images"),
    ],
)
def test_a_span_is_chosen(page: Page, span: str, days: int, text: str) -> None:
    page.get_by_label("Days (UTC)").select_option(span)

    page.locator(".sum").get_by_text(text).wait_for()
    assert page.locator("figure .bar").count() == days


def test_days_of_their_own_are_chosen(page: Page) -> None:
    page.get_by_label("Days (UTC)").select_option("own")
    page.get_by_label("From").fill("2026-10-30")
    page.get_by_label("To").fill("2026-11-03")

    page.locator(".sum").get_by_text("$0.47 for 13 images").wait_for()
    assert page.locator("figure .bar").count() == 5

    # In any order.
    page.get_by_label("From").fill("2026-11-05")
    page.locator(".sum").get_by_text("$1.50 for 17 images").wait_for()
    assert page.locator("figure .bar").count() == 3

    page.get_by_label("From").fill("2025-01-01")
    page.get_by_text("The gateway keeps 400 days.").wait_for()
    assert page.get_by_role("figure").count() == 0


def test_the_file_is_that_of_the_interface(page: Page, spenders: Office, tmp_path: Path) -> None:
    page.get_by_label("Team").select_option("lab")
    with page.expect_download() as downloading:
        page.get_by_role("button", name="Download as CSV").click()
    downloading.value.save_as(tmp_path / "usage.csv")

    query = {"from": "2026-11-01", "to": TODAY, "team": "lab", "format": "csv"}
    expected = spenders.admin.get("/admin/usage", params=query)
    assert (tmp_path / "usage.csv").read_bytes() == expected.content
    assert downloading.value.suggested_filename == f"usage-2026-11-01-{TODAY}.csv"


def test_a_team_without_images_is_told_so(page: Page, spenders: Office) -> None:
    spenders.admin.put("/admin/teams/idle", json={}).raise_for_status()
    page.reload()
    page.get_by_label("Team").select_option("idle")

    page.get_by_text("No image was made in these days.").wait_for()


def test_a_team_that_uses_a_model_that_ends_is_named(page: Page) -> None:
    page.get_by_role("link", name="Models").click()

    row = page.get_by_role("row", name="gpt-image-1.5 ", exact=False).first
    row.get_by_text("shop: 5 images").wait_for()


def test_a_gateway_without_its_database_says_so_and_goes_on(page: Page, valkey: Valkey) -> None:
    valkey.signal(signal.SIGSTOP)
    try:
        page.get_by_label("Team").select_option("shop")
        page.get_by_role("heading", name="The gateway cannot reach its database").wait_for()
    finally:
        valkey.signal(signal.SIGCONT)

    page.get_by_role("button", name="Try again").click()

    page.locator(".sum").get_by_text("$1.50 for 15 images").wait_for()
    assert page.get_by_role("alert").count() == 0


def test_test_images_alone_make_a_chart_of_images(page: Page) -> None:
    page.get_by_label("Team").select_option("play")

    page.get_by_role("figure", name="Images by day").wait_for()
    heights = [bar.get_attribute("height") for bar in page.locator("figure .bar .hatched").all()]
    assert [i + 1 for i, height in enumerate(heights) if float(height or 0)] == [20]
    assert "$" not in page.locator("#section").inner_text()


def test_nothing_in_the_report_keeps_people_out(page: Page) -> None:
    found = {}
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found[scheme] = barriers(page)

    assert found == {"light": [], "dark": []}
