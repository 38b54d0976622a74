"""Administer a gateway with its page, as an operator does."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from service.adapters.clock import SystemClock
from tests.browser.conftest import Visit
from tests.browser.visitor import barriers
from tests.http.house import House
from tests.http.offices import ADMIN_KEY, Office
from tests.processes import run_gateway

if TYPE_CHECKING:
    from playwright.sync_api import Page

SECTIONS = ("spend", "keys", "teams", "policies", "models", "audit")
TITLES = tuple(name.capitalize() for name in SECTIONS)

Enter = Callable[..., "Page"]
"""`enter(section, **options of the context)` opens a section for the operator."""


@pytest.fixture
def enter(visit: Visit, office: Office) -> Enter:
    return lambda section, **options: visit(
        f"{office.gateway.url}/admin#{section}", **{"key": ADMIN_KEY, **options}
    )


@pytest.fixture
def team() -> str:
    return f"shop-{uuid4().hex[:8]}"


def make_key(page: Page, team: str, user: str) -> str:
    """Make a key with the form and return it, as the page shows it."""
    page.get_by_role("button", name="Make a key").click()
    form = page.get_by_role("dialog")
    form.get_by_label("Team").fill(team)
    form.get_by_label("User").fill(user)
    form.get_by_role("button", name="Make a key").click()
    shown = page.get_by_role("region", name=f"The key of {user} in team {team.strip().lower()}")
    return str(shown.get_by_label("Key").input_value())


def test_a_key_is_made_shown_once_and_opens_the_gateway(enter: Enter, office: Office, team: str) -> None:
    page = enter("keys")

    token = make_key(page, team, "anna")
    lines = page.get_by_label("How to use it").input_value()
    page.get_by_role("button", name="I have kept it").click()

    with office.client(token) as client:
        usage = client.get("/v1/usage")
    assert (usage.status_code, usage.json()["team"]) == (200, team)
    assert lines == f"export OPENAI_BASE_URL={office.gateway.url}/v1\nexport OPENAI_API_KEY={token}"
    assert page.get_by_role("row", name="anna").filter(has_text=team).count() == 1
    assert is_gone(page, token)
    page.reload()
    page.get_by_role("row").filter(has_text=team).wait_for()
    assert is_gone(page, token)


def is_gone(page: Page, token: str) -> bool:
    """Tell if neither the page, its fields nor its URL have *token*."""
    fields = page.evaluate("[...document.querySelectorAll('input, textarea')].map((field) => field.value)")
    return token not in page.content() and token not in fields and token not in page.url


def test_a_revoked_key_opens_nothing_and_the_page_asks_first(enter: Enter, office: Office) -> None:
    created = office.create_key()
    page = enter("keys")
    row = page.get_by_role("row").filter(has_text=created["team"])

    row.get_by_role("button", name="Revoke").click()
    page.get_by_role("button", name="Cancel").click()
    with office.client(created["key"]) as client:
        assert client.get("/v1/usage").status_code == 200

    row.get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    page.get_by_role("status").filter(has_text="Revoked the key").wait_for()
    assert row.count() == 0
    with office.client(created["key"]) as client:
        assert client.get("/v1/usage").status_code == 401


def test_keys_are_found_by_team_and_by_name(enter: Enter, office: Office, team: str) -> None:
    for user in ("anna", "bo"):
        office.create_key(team=team, user=user)
    office.create_key(user="anna")
    page = enter("keys")

    page.get_by_role("combobox", name="Team").select_option(team)
    page.get_by_label("Search").fill("ANN")

    page.get_by_text("1 key", exact=True).wait_for()
    assert page.get_by_role("rowheader").all_inner_texts() == ["anna"]
    page.get_by_label("Search").fill("nobody")
    page.get_by_text("No key matches.").wait_for()


def test_a_key_that_cannot_be_made_marks_the_field_and_keeps_the_form(
    enter: Enter, office: Office, team: str
) -> None:
    page = enter("keys")
    page.get_by_role("button", name="Make a key").click()
    form = page.get_by_role("dialog")

    form.get_by_label("Team").fill("No Such Name")
    form.get_by_label("User").fill("anna")
    form.get_by_role("button", name="Make a key").click()
    form.get_by_text("A team is 1 to 40 of").wait_for()
    assert form.get_by_label("Team").get_attribute("aria-invalid") == "true"
    assert form.get_by_label("User").input_value() == "anna"

    office.admin.put(f"/admin/teams/{team}", json={"closed": True}).raise_for_status()
    form.get_by_label("Team").fill(team)
    form.get_by_role("button", name="Make a key").click()
    form.get_by_text(f"The team '{team}' is closed. Reopen it first.").wait_for()


def test_a_team_is_closed_and_reopened(enter: Enter, office: Office) -> None:
    created = office.create_key()
    page = enter("teams")
    row = page.get_by_role("row").filter(has_text=created["team"])

    row.get_by_role("button", name="Close").click()
    page.get_by_role("dialog").get_by_role("button", name="Close").click()
    row.get_by_text("closed", exact=True).wait_for()
    with office.client(created["key"]) as client:
        assert client.get("/v1/usage").status_code == 403

    row.get_by_role("button", name="Reopen").click()
    row.get_by_text("open", exact=True).wait_for()
    with office.client(created["key"]) as client:
        assert client.get("/v1/usage").status_code == 200


def test_a_team_of_the_gateway_itself_cannot_be_changed_and_says_why(enter: Enter, office: Office) -> None:
    order = {"model": "dall-e-3", "prompt": "of the operator"}
    office.admin.post("/v1/images/generations", json=order).raise_for_status()
    page = enter("teams")
    row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="admin", exact=True))

    row.get_by_text("It belongs to the gateway itself").wait_for()
    assert row.get_by_role("button").count() == 0


def test_a_name_in_capitals_is_meant_in_small_letters(enter: Enter, office: Office, team: str) -> None:
    page = enter("keys")

    make_key(page, f" {team.upper()} ", "Anna")

    (key,) = office.admin.get("/admin/keys", params={"team": team}).json()["data"]
    assert (key["team"], key["user"]) == (team, "Anna")
    page.get_by_role("link", name="Teams").click()
    page.get_by_role("button", name="Make a team").click()
    form = page.get_by_role("dialog")
    form.get_by_label("Team", exact=True).fill(team.upper())
    form.get_by_role("button", name="Save").click()
    form.get_by_text("There is a team of this name").wait_for()


def test_limits_are_set_and_said_in_words(enter: Enter, office: Office, team: str) -> None:
    page = enter("policies")
    page.get_by_role("button", name="Make a policy").click()
    form = page.get_by_role("dialog")
    form.get_by_label("Policy").fill(team)
    form.get_by_label("Requests a minute").fill("60")
    form.get_by_label("Images a day").fill("500")
    form.get_by_label("US dollars a month").fill("200")
    words = "60 requests a minute, 500 images a day, $200 a month"
    form.get_by_text(f"In words: {words}").wait_for()
    form.get_by_role("button", name="Save").click()
    page.get_by_role("row").filter(has_text=team).get_by_text(words).wait_for()

    page.get_by_role("link", name="Teams").click()
    page.get_by_role("button", name="Make a team").click()
    form = page.get_by_role("dialog")
    form.get_by_label("Team", exact=True).fill(team)
    form.get_by_label("Limits of the team").select_option(team)
    form.get_by_role("button", name="Save").click()
    page.get_by_role("row").filter(has_text=f"{team}: {words}").wait_for()

    policies = {each["name"]: each for each in office.admin.get("/admin/policies").json()["data"]}
    limits = {name: policies[team][name] for name in ("requests_per_min", "images_per_day", "images_per_min")}
    assert limits == {"requests_per_min": 60, "images_per_day": 500, "images_per_min": 0}
    assert policies[team]["budget_per_month_microusd"] == 200_000_000
    teams = {each["name"]: each for each in office.admin.get("/admin/teams").json()["data"]}
    assert (teams[team]["policy"], teams[team]["user_policy"]) == (team, None)


def test_a_change_of_a_policy_keeps_what_it_does_not_change(enter: Enter, office: Office) -> None:
    limits = {
        "images_per_min": 7,
        "images_in_flight": 3,
        "budget_per_month_microusd": 12_345_678,
        "models": ["gpt-image-2", "dall-e-3"],
        "max_n": 4,
        "max_size": "1536x1024",
        "cache": False,
        "cache_scope": "user",
        "equal_orders": "share",
    }
    name = office.put_policy(**limits)
    page = enter("policies")

    page.get_by_role("button", name=f"Change {name}").click()
    form = page.get_by_role("dialog")
    form.get_by_label("Images a day").fill("50")
    form.get_by_role("button", name="Save").click()
    page.get_by_role("status").filter(has_text=f"Saved policy {name}").wait_for()

    policies = {each["name"]: each for each in office.admin.get("/admin/policies").json()["data"]}
    kept = {**limits, "images_per_day": 50}
    assert {field: policies[name][field] for field in kept} == kept


def test_a_policy_is_removed_unless_it_is_used(enter: Enter, office: Office, team: str) -> None:
    used, unused = office.put_policy(images_per_day=1), office.put_policy(images_per_day=2)
    office.admin.put(f"/admin/teams/{team}", json={"policy": used}).raise_for_status()
    page = enter("policies")

    for name in (used, unused):
        page.get_by_role("button", name=f"Remove policy {name}").click()
        page.get_by_role("dialog").get_by_role("button", name="Remove").click()
        page.get_by_role("dialog").wait_for(state="hidden")
        page.get_by_text(
            f"is in use by team '{team}'" if name == used else f"Removed policy {name}"
        ).wait_for()

    names = {each["name"] for each in office.admin.get("/admin/policies").json()["data"]}
    assert used in names
    assert unused not in names


def test_what_the_configuration_file_declares_cannot_be_changed_here(enter: Enter) -> None:
    for section in ("teams", "policies"):
        row = enter(section).get_by_role("row", name="declared").first
        row.get_by_text("can be changed only there").wait_for()
        assert row.get_by_role("button").count() == 0


def test_the_audit_names_people_beside_the_ids_of_their_keys(enter: Enter, office: Office, team: str) -> None:
    boss = office.create_key(user="boss", role="admin")
    with office.client(boss["key"]) as client:
        client.put(f"/admin/policies/{team}", json={"images_per_day": 9}).raise_for_status()
    page = enter("audit")

    row = page.get_by_role("row").filter(has_text=team)
    row.get_by_text(f"boss ({boss['team']})").wait_for()
    assert boss["id"] in row.inner_text()
    assert "9 images a day" in row.inner_text()
    assert re.search(r"\d{4}-\d\d-\d\dT.*Z", row.locator("time").get_attribute("title") or "")


def test_models_that_end_name_the_model_that_answers(enter: Enter, office: Office) -> None:
    models = {each["id"]: each for each in office.admin.get("/v1/models").json()["data"]}
    page = enter("models")

    row = page.get_by_role("row", name="dall-e-3")
    row.wait_for()
    assert models["dall-e-3"]["answered_by"] in row.inner_text()
    ending = {name for name, model in models.items() if model["shutdown_date"]}
    assert set(page.get_by_role("rowheader").all_inner_texts()) == ending


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("", "Which key is yours?"),
        ("wrong", "The gateway does not know this key"),
        ("expired", "This key has expired"),
        ("user", "This key may not administer"),
        ("closed", "The team of this key is closed"),
    ],
)
def test_a_key_that_does_not_open_the_page_is_explained_and_another_one_opens_it(
    enter: Enter, office: Office, key: str, words: str
) -> None:
    page = enter("keys", key=key_that_is(office, key))
    page.get_by_role("heading", name=words).wait_for()

    page.get_by_label("Admin key").fill(ADMIN_KEY)
    page.get_by_label("Admin key").press("Enter")

    page.get_by_role("heading", name="Keys").wait_for()
    assert ADMIN_KEY not in page.url


def test_a_key_of_admins_is_kept_apart_and_forgotten_unless_asked(visit: Visit, office: Office) -> None:
    own = office.create_key()["key"]
    page = visit(office.gateway.url)
    page.get_by_label("Remember it on this device").check()
    page.get_by_label("Your key").fill(own)
    page.get_by_role("button", name="Use this key").click()
    page.get_by_text("1 image for testing").wait_for()

    admin = page.context.new_page()
    give_admin_key(admin, office, is_remembered=False)
    admin.get_by_role("link", name="Images").click()
    admin.get_by_text("1 image for testing").wait_for()

    assert stored(admin, "localStorage") == {"image-gateway.key": own}
    admin.locator("#key-summary").click()
    assert admin.get_by_label("Your key").input_value() == own
    another = page.context.new_page()
    give_admin_key(another, office, is_remembered=True)
    assert stored(another, "localStorage") == {
        "image-gateway.key": own,
        "image-gateway.admin-key": ADMIN_KEY,
    }


def give_admin_key(page: Page, office: Office, *, is_remembered: bool) -> None:
    """Type the operator's key into the page for admins, which has none yet."""
    page.goto(f"{office.gateway.url}/admin#keys")
    question = page.locator("#section")
    question.get_by_label("Admin key").fill(ADMIN_KEY)
    question.get_by_label("Remember it on this device").set_checked(is_remembered)
    question.get_by_role("button", name="Use this key").click()
    page.get_by_role("heading", name="Keys").wait_for()


def stored(page: Page, store: str) -> dict[str, str]:
    """Return the keys that a store of the browser has, by name."""
    found: dict[str, str] = page.evaluate(
        f"Object.fromEntries(Object.entries({store}).filter(([name]) => name.endsWith('key')))"
    )
    return found


def key_that_is(office: Office, fault: str) -> str:
    """Return a key that cannot administer because of *fault*."""
    if fault not in ("user", "closed", "expired"):
        return fault
    ends = {"expires_at": int(SystemClock().wall_s()) + 1} if fault == "expired" else {}
    created = office.create_key(role="user" if fault == "user" else "admin", **ends)
    if fault == "closed":
        office.admin.put(f"/admin/teams/{created['team']}", json={"closed": True}).raise_for_status()
    if fault == "expired":
        time.sleep(max(0.0, ends["expires_at"] - SystemClock().wall_s()))
    return str(created["key"])


def test_an_open_gateway_says_which_key_its_page_needs(visit: Visit, house: House) -> None:
    page = visit(f"{house.gateway.url}/admin", key="anything")

    page.get_by_role("heading", name="This is not the key of the operator").wait_for()
    page.get_by_text("only GATEWAY_ADMIN_KEY opens this page").wait_for()


def test_a_key_that_an_open_gateway_ignores_is_called_so(visit: Visit, tmp_path: Path, team: str) -> None:
    with run_gateway(tmp_path, sandbox="true", admin_key=ADMIN_KEY) as gateway:
        page = visit(f"{gateway.url}/admin#keys", key=ADMIN_KEY)
        make_key(page, team, "anna")

        page.get_by_role("alert").get_by_text("This gateway asks for no key and ignores this one").wait_for()


def test_an_unknown_section_is_the_first_one(enter: Enter) -> None:
    enter("toString").get_by_role("heading", name="Spend").wait_for()


def test_a_page_without_a_network_says_so_and_goes_on(enter: Enter) -> None:
    page = enter("keys")
    page.get_by_role("heading", name="Keys").wait_for()

    page.context.set_offline(True)
    page.get_by_role("link", name="Teams").click()
    page.get_by_role("heading", name="The gateway does not answer").wait_for()
    page.context.set_offline(False)
    page.get_by_role("button", name="Try again").click()

    page.get_by_role("heading", name="Teams").wait_for()


def test_the_language_changes_without_losing_a_new_key(enter: Enter, team: str) -> None:
    page = enter("keys")
    token = make_key(page, team, "anna")

    page.get_by_label("Language").select_option("zh")

    shown = page.get_by_role("region", name=f"团队 {team} 中 anna 的密钥")
    assert shown.get_by_label("密钥").input_value() == token
    page.get_by_role("link", name="操作记录").click()
    page.get_by_role("cell", name="创建密钥").or_(
        page.get_by_role("rowheader", name="创建密钥")
    ).first.wait_for()
    # Names of teams, users and models are English words in any language.
    assert page.title() == "操作记录 · Image Gateway"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_on_the_page_keeps_people_out(enter: Enter, office: Office, scheme: str) -> None:
    office.create_key()
    page = enter("spend", color_scheme=scheme)
    found = {}
    for section in SECTIONS:
        page.get_by_role("navigation", name="Sections").get_by_role("link").nth(
            SECTIONS.index(section)
        ).click()
        page.locator("#section h2").wait_for()
        found[section] = barriers(page)
        for make in page.get_by_role("button", name=re.compile("^Make a")).all():
            make.click()
            page.get_by_role("dialog").wait_for()
            found[f"form of {section}"] = barriers(page)
            page.keyboard.press("Escape")

    assert found == {name: [] for name in found}
    assert len(found) == len(SECTIONS) + 3


def test_a_section_fits_phones_and_small_windows(enter: Enter, office: Office) -> None:
    office.create_key(user="a" * 60 + "@subsidiary.example.com", role="admin", team="t" * 40)
    page = enter("keys", viewport={"width": 320, "height": 640})
    widths = {}
    for section, title in zip(SECTIONS, TITLES, strict=True):
        page.get_by_role("link", name=title).click()
        page.get_by_role("heading", name=title).wait_for()
        for width in (320, 800, 1000):
            page.set_viewport_size({"width": width, "height": 640})
            widths[section, width] = page.evaluate("document.documentElement.scrollWidth")

    assert widths == {(section, width): width for section, width in widths}


def test_limits_stand_beside_their_name_on_a_phone(enter: Enter) -> None:
    page = enter("teams", viewport={"width": 390, "height": 700})
    row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="declared", exact=True))

    lefts = row.get_by_role("cell").first.evaluate(
        """(cell) => {
          const range = document.createRange();
          range.selectNodeContents(cell);
          return [...range.getClientRects()].map(({ left }) => left);
        }"""
    )

    name = row.get_by_role("strong").bounding_box()
    assert name is not None
    assert min(lefts) >= name["x"] - 1


def test_a_key_is_made_with_the_keyboard_alone(enter: Enter, office: Office, team: str) -> None:
    page = enter("keys")
    page.get_by_role("heading", name="Keys").wait_for()

    tab_to(page, "Make a key")
    page.keyboard.press("Enter")
    tab_to(page, "Team")
    page.keyboard.type(team)
    tab_to(page, "User")
    page.keyboard.type("anna")
    page.keyboard.press("Enter")
    page.get_by_role("region", name="The key of anna").wait_for()
    tab_to(page, "Copy")
    tab_to(page, "I have kept it")
    page.keyboard.press("Enter")
    tab_to(page, "Revoke the key of anna in team " + team)
    page.keyboard.press("Enter")
    tab_to(page, "Revoke")
    page.keyboard.press("Enter")

    page.get_by_role("status").filter(has_text="Revoked").wait_for()
    assert office.admin.get("/admin/keys", params={"team": team}).json()["data"] == []


def tab_to(page: Page, name: str) -> None:
    """Press Tab until the control with this label or text has the focus."""
    for _ in range(200):
        focused = page.evaluate(
            """() => {
              const { activeElement: element } = document;
              return element.getAttribute("aria-label") ?? element.labels?.[0]?.textContent ?? element.textContent;
            }"""
        )
        if focused == name:
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab does not reach {name!r}")
