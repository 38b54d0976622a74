"""Delete images over HTTP: rights of callers, teams, admins and links."""

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.http.callers import (
    Caller,
    People,
    check_gone,
    check_no_image,
    check_served,
    link_of,
    name_of,
)
from tests.http.house import check_error, until
from tests.http.tenants import Tenants, follow, open_tenants

pytestmark = pytest.mark.usefixtures("flat_images")

Act = Callable[..., httpx.Response]
"""An act of a caller on the image of a link."""

ACTS = [Caller.deletes, Caller.asks_about]
NOWHERE = httpx.URL(f"/v1/images/files/{'0' * 64}.png")


def test_a_user_deletes_an_image_that_it_ordered(anna: Caller, prompt: str) -> None:
    link = anna.orders(prompt)
    check_served(link)

    answer = anna.deletes(link)

    assert (answer.status_code, answer.content) == (204, b"")
    check_gone(link)


def test_a_deleted_image_is_unknown_to_its_user(anna: Caller, prompt: str) -> None:
    link = anna.orders(prompt)

    anna.deletes(link)

    assert anna.deletes(link).status_code == 404
    assert anna.asks_about(link).status_code == 404


def test_a_deleted_image_is_made_again_under_a_new_link(anna: Caller, prompt: str) -> None:
    link = anna.orders(prompt)
    anna.deletes(link)

    again = anna.asks_for(prompt)

    assert again.headers["x-cache"] == "miss"
    check_served(link_of(again))
    check_gone(link)


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize(
    ("stranger", "query"),
    [
        ("ben", {}),
        ("ben", {"user": "anna"}),
        ("anna_of_the_lab", {}),
        ("anna_of_the_lab", {"team": "shop"}),
        ("service", {}),
        ("admin", {}),
        ("operator", {"team": "lab"}),
    ],
    ids=[
        "a colleague",
        "a colleague who names the user",
        "a namesake in another team",
        "a namesake who names the team",
        "a service",
        "an admin",
        "an operator who names another team",
    ],
)
def test_an_image_does_not_exist_for_others(
    people: People, prompt: str, act: Act, stranger: str, query: dict[str, str]
) -> None:
    other: Caller = getattr(people, stranger)
    link = people.anna.orders(prompt)

    answer = act(other, link, **query)

    check_no_image(answer)
    assert answer.json() == act(other, NOWHERE, **query).json()
    check_served(link)


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("name", ["admin", "operator"])
def test_an_admin_who_names_no_team_is_advised_to_name_one(
    people: People, prompt: str, act: Act, name: str
) -> None:
    link = people.anna.orders(prompt)

    answer = act(getattr(people, name), link)

    assert "?team=" in check_no_image(answer)


@pytest.mark.parametrize("act", ACTS)
def test_a_user_is_not_advised_to_name_a_team(anna: Caller, ben: Caller, prompt: str, act: Act) -> None:
    link = anna.orders(prompt)

    answer = act(ben, link)

    assert "?team=" not in answer.text


def test_a_link_is_no_credential_for_deletion(anna: Caller, prompt: str) -> None:
    link = anna.orders(prompt)

    answer = follow(link, "DELETE")

    assert answer.status_code == 401
    check_served(link)


def test_a_link_is_no_credential_for_a_description(anna: Caller, prompt: str) -> None:
    link = anna.orders(prompt)

    answer = follow(link.copy_with(path=f"{link.path}/info"))

    assert answer.status_code == 401
    check_served(link)


def test_a_service_deletes_an_image_for_the_end_user_who_ordered_it(people: People, prompt: str) -> None:
    link = people.service.orders(prompt, user="customer-7")

    assert people.service.deletes(link, user="customer-8").status_code == 404
    assert people.service.deletes(link, user="customer-7").status_code == 204
    check_gone(link)


@pytest.mark.parametrize("name", ["admin", "operator"])
def test_an_admin_deletes_an_image_for_a_team(people: People, prompt: str, name: str) -> None:
    link = people.anna.orders(prompt)

    answer = getattr(people, name).deletes(link, team="shop")

    assert answer.status_code == 204
    check_gone(link)


@pytest.mark.parametrize("name", ["admin", "operator"])
def test_the_audit_notes_a_deletion_by_an_admin(
    tenants: Tenants, people: People, prompt: str, name: str
) -> None:
    link = people.anna.orders(prompt)

    getattr(people, name).deletes(link, team="shop")

    (entry,) = tenants.read_audit(1)
    assert (entry.act, entry.target, entry.details) == ("delete_image", name_of(link), "team=shop")


@pytest.fixture
def shared(tenants: Tenants, people: People, prompt: str) -> tuple[httpx.URL, httpx.URL]:
    """Links of the shop and of the lab to the same bytes."""
    tenants.house.behave(paint="flat", repeat_pictures=True)
    ours, theirs = people.anna.orders(prompt), people.anna_of_the_lab.orders(prompt)
    assert ours.path == theirs.path
    assert ours != theirs
    return ours, theirs


def test_a_deleted_image_is_gone_for_its_team_only(
    tenants: Tenants, people: People, prompt: str, shared: tuple[httpx.URL, httpx.URL]
) -> None:
    ours, theirs = shared
    file = tenants.house.file_behind(ours)

    assert people.anna.deletes(ours).status_code == 204

    check_gone(ours)
    check_served(theirs)
    assert file.exists()
    assert people.anna_of_the_lab.asks_for(prompt).headers["x-cache"] == "hit"


def test_a_link_of_one_team_is_invalid_for_another(anna: Caller, shared: tuple[httpx.URL, httpx.URL]) -> None:
    ours, _ = shared
    anna.deletes(ours)

    # The signature covers the team, although the bytes have one name.
    stolen = ours.copy_set_param("t", "lab")

    assert follow(stolen).status_code == 403


@pytest.mark.parametrize("name", ["..%2fsecret", "0" * 64, "0" * 64 + ".exe", "A" * 64 + ".png"])
def test_an_invalid_image_name_is_a_404(anna: Caller, name: str) -> None:
    path = f"/v1/images/files/{name}"

    assert anna.client.delete(path).status_code == 404
    assert anna.client.get(f"{path}/info").status_code == 404


@pytest.mark.slow
def test_links_lead_to_images_while_redis_is_away(tenants: Tenants, anna: Caller, prompt: str) -> None:
    link = anna.orders(prompt)

    with tenants.redis_away():
        check_served(link)


@pytest.mark.slow
def test_rights_are_unknown_while_redis_is_away(tenants: Tenants, anna: Caller, prompt: str) -> None:
    link = anna.orders(prompt)

    with tenants.redis_away():
        answers = [anna.deletes(link), anna.asks_about(link)]

    for answer in answers:
        check_error(answer, 503, code="state_unavailable", param=None)


@pytest.mark.slow
def test_an_image_is_deleted_once_redis_is_back(tenants: Tenants, anna: Caller, prompt: str) -> None:
    link = anna.orders(prompt)
    with tenants.redis_away():
        anna.deletes(link)

    until(lambda: anna.deletes(link).status_code == 204)

    check_gone(link)


def test_an_open_gateway_deletes_for_the_user_that_a_request_names(tmp_path: Path, prompt: str) -> None:
    with open_tenants(tmp_path, auth="open") as tenants:
        caller = Caller(tenants.house.client)
        named, anonymous = caller.orders(prompt, user="ann"), caller.orders(f"{prompt}, without a user")

        assert caller.deletes(named).status_code == 404
        assert caller.deletes(named, user="ann").status_code == 204
        assert caller.deletes(anonymous).status_code == 204
        check_gone(named, anonymous)
