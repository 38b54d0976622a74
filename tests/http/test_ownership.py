"""Whose picture it is, over HTTP: links of teams, deletion, descriptions, and bytes that are shared."""

import hashlib
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from service.adapters.imaging.content_credentials import has_credentials
from service.adapters.redis.accounts import RedisCallers
from service.domain.callers import Role
from tests.http.house import EDITS, GENERATIONS, check_error, digest_of, png, until
from tests.http.tenants import ADMIN_KEY, Tenants, follow, open_tenants, order


@pytest.fixture(scope="module")
def tenants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tenants]:
    with open_tenants(tmp_path_factory.mktemp("tenants")) as tenants:
        yield tenants


@pytest.fixture(autouse=True)
def well_behaved(tenants: Tenants) -> None:
    tenants.house.behave(paint="flat")


@pytest.fixture(scope="module")
def clients(tenants: Tenants) -> Iterator[dict[str, httpx.Client]]:
    """Anna and Ben of the shop, Anna of the lab, a service of the shop, and two kinds of admin."""
    with ExitStack() as stack:
        made = {
            "anna": tenants.client("shop", "anna"),
            "ben": tenants.client("shop", "ben"),
            "lab": tenants.client("lab", "anna"),
            "service": tenants.client("shop", "web", Role.SERVICE),
            "admin": tenants.client("staff", "root", Role.ADMIN),
            "operator": tenants.client_of(ADMIN_KEY),
        }
        yield {name: stack.enter_context(client) for name, client in made.items()}


def file_of(tenants: Tenants, link: httpx.URL) -> Path:
    (file,) = tenants.house.data_dir.rglob(link.path.rpartition("/")[2])
    return file


def check_gone(link: httpx.URL) -> None:
    answer = follow(link)
    check_error(answer, 410, code="image_gone", param=None)
    assert answer.headers["cache-control"] == "no-store"
    assert follow(link, "HEAD").status_code == 410


def test_who_had_it_made_deletes_it(clients: dict[str, httpx.Client], prompt: str) -> None:
    anna = clients["anna"]
    link = order(anna, prompt)
    assert follow(link).status_code == 200

    answer = anna.delete(link.path)

    assert (answer.status_code, answer.content) == (204, b"")
    check_gone(link)
    assert anna.delete(link.path).status_code == 404
    assert anna.get(f"{link.path}/info").status_code == 404


def test_what_was_deleted_is_made_again(clients: dict[str, httpx.Client], prompt: str) -> None:
    anna = clients["anna"]
    link = order(anna, prompt)
    anna.delete(link.path)

    again = anna.post(GENERATIONS, json={"model": "dall-e-3", "prompt": prompt})

    assert again.headers["x-cache"] == "miss"
    assert follow(httpx.URL(again.json()["data"][0]["url"])).status_code == 200
    check_gone(link)


@pytest.mark.parametrize("method", ["DELETE", "GET"])
def test_to_others_it_does_not_exist(clients: dict[str, httpx.Client], prompt: str, method: str) -> None:
    link = order(clients["anna"], prompt)
    target = link.path if method == "DELETE" else f"{link.path}/info"
    nowhere = target.replace(link.path, f"/v1/images/files/{'0' * 64}.png")

    for name, query in (
        ("ben", ""),
        ("lab", ""),
        ("lab", "?team=shop"),
        ("ben", "?user=anna"),
        ("service", ""),
        ("admin", ""),
        ("operator", "?team=lab"),
    ):
        answer = clients[name].request(method, f"{target}{query}")

        check_error(answer, 404, code="image_not_found", param=None)
        assert answer.json() == clients[name].request(method, f"{nowhere}{query}").json()
    assert follow(link).status_code == 200


@pytest.mark.parametrize("method", ["DELETE", "GET"])
def test_an_admin_who_names_no_team_is_told_to(
    clients: dict[str, httpx.Client], prompt: str, method: str
) -> None:
    link = order(clients["anna"], prompt)
    target = link.path if method == "DELETE" else f"{link.path}/info"

    for name in ("operator", "admin"):
        answer = clients[name].request(method, target)

        check_error(answer, 404, code="image_not_found", param=None)
        assert "?team=" in answer.json()["error"]["message"]
    assert "?team=" not in clients["ben"].request(method, target).text


@pytest.mark.parametrize("method", ["DELETE", "GET"])
def test_a_link_is_no_credential_for_more_than_the_picture(
    tenants: Tenants, clients: dict[str, httpx.Client], prompt: str, method: str
) -> None:
    link = order(clients["anna"], prompt)
    target = link if method == "DELETE" else link.copy_with(path=f"{link.path}/info")

    assert follow(target, method).status_code == 401
    assert follow(link).status_code == 200


def test_a_service_deletes_what_its_user_ordered(clients: dict[str, httpx.Client], prompt: str) -> None:
    service = clients["service"]
    link = order(service, prompt, user="customer-7")

    assert service.delete(link.path, params={"user": "customer-8"}).status_code == 404
    assert service.delete(link.path, params={"user": "customer-7"}).status_code == 204
    check_gone(link)


@pytest.mark.parametrize("name", ["admin", "operator"])
def test_an_admin_deletes_for_a_team_and_it_is_in_the_audit(
    tenants: Tenants, clients: dict[str, httpx.Client], prompt: str, name: str
) -> None:
    link = order(clients["anna"], prompt)

    answer = clients[name].delete(link.path, params={"team": "shop"})

    assert answer.status_code == 204
    check_gone(link)
    (entry,) = tenants.ask(lambda redis: RedisCallers(redis, timeout_s=5).read_audit(1))
    assert (entry.act, entry.target, entry.details) == (
        "delete_image",
        link.path.rpartition("/")[2],
        "team=shop",
    )


def test_two_teams_share_the_bytes_and_not_the_right_to_them(
    tenants: Tenants, clients: dict[str, httpx.Client], prompt: str
) -> None:
    tenants.house.behave(paint="flat", repeat_pictures=True)
    link, other = order(clients["anna"], prompt), order(clients["lab"], prompt)
    assert link.path == other.path
    assert link != other
    file = file_of(tenants, link)

    assert clients["anna"].delete(link.path).status_code == 204

    check_gone(link)
    assert follow(other).status_code == 200
    assert file.exists()
    hit = clients["lab"].post(GENERATIONS, json={"model": "dall-e-3", "prompt": prompt})
    assert hit.headers["x-cache"] == "hit"
    # A link of one team is not one of the other, whatever the same bytes are called.
    stolen = link.copy_set_param("t", "lab")
    assert follow(stolen).status_code == 403


def test_what_is_told_of_a_picture(tenants: Tenants, clients: dict[str, httpx.Client], prompt: str) -> None:
    anna, data = clients["anna"], png(64)
    answer = anna.post(
        EDITS,
        files=[("image", ("a.png", data, "image/png"))],
        data={"prompt": prompt, "model": "gpt-image-2", "response_format": "url", "size": "1024x1024"},
    )
    link = httpx.URL(answer.json()["data"][0]["url"])

    info = anna.get(f"{link.path}/info").json()

    bytes_ = follow(link).content
    assert (info["object"], info["name"]) == ("image", link.path.rpartition("/")[2])
    assert (info["operation"], info["realm"]) == ("edit", "live")
    assert info["models"] == {"asked": "gpt-image-2", "sent": "gpt-image-2", "answered": None}
    assert info["parents"] == [digest_of(data)]
    assert (info["size_bytes"], info["width"], info["height"]) == (len(bytes_), 1024, 1024)
    assert info["content_credentials"] == "none"
    assert info["cost_microusd"] == int(answer.headers["x-cost-microusd"])
    assert (info["team"], info["brief"]) == ("shop", False)
    assert len(info["user"]) == 32
    assert info["fingerprint"]
    assert info["created"] == answer.json()["created"]
    by_admin = clients["operator"].get(f"{link.path}/info", params={"team": "shop"})
    assert by_admin.json() == info
    assert prompt not in by_admin.text


def test_a_bridged_picture_tells_both_models(clients: dict[str, httpx.Client], prompt: str) -> None:
    link = order(clients["anna"], prompt, model="dall-e-2", size="1024x1024")

    models = clients["anna"].get(f"{link.path}/info").json()["models"]

    assert models["asked"] == "dall-e-2"
    assert models["sent"].startswith("gpt-image-2")


@pytest.mark.parametrize(
    ("fields", "embeds", "told"),
    [
        ({"model": "dall-e-3", "size": "1024x1024"}, True, "kept"),
        ({"model": "dall-e-2", "size": "256x256"}, True, "lost"),
        ({"model": "dall-e-3", "size": "1024x1024"}, False, "none"),
    ],
)
def test_content_credentials_survive_where_the_pixels_do(
    tenants: Tenants,
    clients: dict[str, httpx.Client],
    prompt: str,
    fields: dict[str, str],
    embeds: bool,
    told: str,
) -> None:
    tenants.house.behave(paint="flat", embed_credentials=embeds)
    link = order(clients["anna"], prompt, **fields)

    data = follow(link).content

    ((image,),) = [entry["images"] for entry in tenants.house.journal(prompt=prompt)]
    assert image["has_credentials"] is embeds
    assert has_credentials(data) is (told == "kept")
    assert (hashlib.sha256(data).hexdigest() == image["sha256"]) is (told != "lost")
    assert clients["anna"].get(f"{link.path}/info").json()["content_credentials"] == told


@pytest.mark.parametrize("delivery", ["url", "b64_json"])
def test_a_picture_that_came_as_a_url_is_ours_from_then_on(
    tenants: Tenants, clients: dict[str, httpx.Client], prompt: str, delivery: str
) -> None:
    tenants.house.behave(paint="flat", answer_urls=True)
    body = {"model": "dall-e-3", "prompt": prompt, "n": 2, "response_format": delivery}

    answer = clients["anna"].post(GENERATIONS, json=body)

    assert answer.status_code == 200, answer.text
    painted = {image["sha256"] for entry in tenants.house.journal(prompt=prompt) for image in entry["images"]}
    again = clients["anna"].post(GENERATIONS, json={**body, "response_format": "url"})
    links = [httpx.URL(entry["url"]) for entry in again.json()["data"]]
    assert again.headers["x-cache"] == "hit"
    assert {digest_of(follow(link).content) for link in links} == painted


def test_what_is_not_to_be_stored_is_kept_for_its_link_alone(
    clients: dict[str, httpx.Client], prompt: str
) -> None:
    anna = clients["anna"]
    body = {"model": "dall-e-3", "prompt": prompt}
    first = anna.post(GENERATIONS, json=body, headers={"cache-control": "no-store"})
    link = httpx.URL(first.json()["data"][0]["url"])

    assert follow(link).status_code == 200
    assert anna.get(f"{link.path}/info").json()["brief"] is True
    assert anna.post(GENERATIONS, json=body).headers["x-cache"] == "miss"


@pytest.mark.parametrize("how", ["missing", "damaged", "emptied", "cut off"])
def test_a_picture_whose_bytes_are_lost_is_gone_and_made_again(
    tenants: Tenants, clients: dict[str, httpx.Client], prompt: str, how: str
) -> None:
    anna = clients["anna"]
    link = order(anna, prompt)
    file = file_of(tenants, link)
    if how == "missing":
        file.unlink()
    elif how == "damaged":
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
    else:
        os.truncate(file, 0 if how == "emptied" else 500)

    check_error(follow(link), 410, code="image_gone", param=None)

    check_gone(link)
    assert anna.get(f"{link.path}/info").status_code == 404
    again = anna.post(GENERATIONS, json={"model": "dall-e-3", "prompt": prompt, "response_format": "url"})
    assert (again.status_code, again.headers["x-cache"]) == (200, "miss")
    assert follow(httpx.URL(again.json()["data"][0]["url"])).status_code == 200


def test_a_large_picture_that_is_found_damaged_on_the_way_is_gone_the_next_time(
    tenants: Tenants, clients: dict[str, httpx.Client], prompt: str
) -> None:
    """Its last part is not given: nobody takes it for whole."""
    tenants.house.behave(paint="full")
    link = order(clients["anna"], prompt, size="1792x1024", quality="hd")
    file = file_of(tenants, link)
    # Past the first piece that is read, and long enough for a second one.
    file.write_bytes(file.read_bytes() + bytes(600_000))

    with pytest.raises(httpx.RemoteProtocolError):
        follow(link)

    body = {"model": "dall-e-3", "prompt": prompt, "size": "1792x1024", "quality": "hd"}
    assert clients["anna"].post(GENERATIONS, json=body).headers["x-cache"] == "miss"
    check_gone(link)


@pytest.mark.slow
def test_links_are_good_while_redis_is_away(
    tenants: Tenants, clients: dict[str, httpx.Client], prompt: str
) -> None:
    anna = clients["anna"]
    link = order(anna, prompt)
    tenants.valkey.signal(signal.SIGSTOP)
    try:
        served = follow(link)
        refused = [anna.delete(link.path), anna.get(f"{link.path}/info")]
    finally:
        tenants.valkey.signal(signal.SIGCONT)

    assert served.status_code == 200
    for answer in refused:
        check_error(answer, 503, code="state_unavailable", param=None)
    until(lambda: anna.delete(link.path).status_code == 204)
    check_gone(link)


@pytest.mark.parametrize("name", ["..%2fsecret", "0" * 64, "0" * 64 + ".exe", "A" * 64 + ".png"])
def test_a_name_that_is_none_of_ours_is_not_there(clients: dict[str, httpx.Client], name: str) -> None:
    for answer in (
        clients["anna"].delete(f"/v1/images/files/{name}"),
        clients["anna"].get(f"/v1/images/files/{name}/info"),
    ):
        assert answer.status_code == 404


def test_in_an_open_gateway_a_user_is_who_the_request_names(tmp_path: Path, prompt: str) -> None:
    with (
        open_tenants(tmp_path, auth="open") as tenants,
        httpx.Client(base_url=tenants.house.gateway.url, trust_env=False, timeout=60) as client,
    ):
        named, anonymous = order(client, prompt, user="ann"), order(client, f"{prompt}, by nobody")

        assert client.delete(named.path).status_code == 404
        assert client.delete(named.path, params={"user": "ann"}).status_code == 204
        assert client.delete(anonymous.path).status_code == 204
        check_gone(named)
        check_gone(anonymous)


def test_what_is_kept_is_counted_and_purged_by_admins(tmp_path: Path) -> None:
    with open_tenants(tmp_path) as tenants, ExitStack() as stack:
        tenants.house.behave(paint="flat")
        anna, ben, operator = (
            stack.enter_context(client)
            for client in (
                tenants.client("shop", "anna"),
                tenants.client("lab", "ben"),
                tenants.client_of(ADMIN_KEY),
            )
        )
        links = [order(anna, "one"), order(anna, "two", model="gpt-image-2"), order(ben, "three")]

        assert anna.get("/admin/cache").status_code == 403
        assert anna.delete("/admin/cache", params={"older_than_s": 0}).status_code == 403
        stats = {entry["team"]: entry for entry in operator.get("/admin/cache").json()["data"]}
        assert {team: (entry["images"], entry["variants"]) for team, entry in stats.items()} == {
            "shop": (2, 2),
            "lab": (1, 1),
        }
        assert stats["shop"]["models"]["gpt-image-2"] == 1
        assert stats["shop"]["size_bytes"] == sum(len(follow(link).content) for link in links[:2])
        assert [
            entry["team"] for entry in operator.get("/admin/cache", params={"team": "lab"}).json()["data"]
        ] == ["lab"]

        for query, code in (
            ({}, "invalid_value"),
            ({"users": "anna"}, "unknown_parameter"),
            ({"team": ""}, "invalid_value"),
            ({"older_than_s": "-1"}, "invalid_value"),
            ({"older_than_s": "1d"}, "invalid_value"),
            ({"team": "shop", "dry_run": "yes"}, "invalid_value"),
        ):
            answer = operator.delete("/admin/cache", params=query)
            assert (answer.status_code, answer.json()["error"]["code"]) == (400, code), answer.text
        assert operator.delete("/admin/cache?team=shop&team=lab").status_code == 400

        counted = operator.delete("/admin/cache", params={"user": "anna", "dry_run": "true"}).json()
        assert (counted["images"], counted["dry_run"]) == (2, True)
        assert [follow(link).status_code for link in links] == [200, 200, 200]
        purged = operator.delete("/admin/cache", params={"user": "anna", "model": "gpt-image-2"}).json()
        assert purged == {
            "object": "purge",
            "images": 1,
            "size_bytes": purged["size_bytes"],
            "dry_run": False,
            "has_more": False,
        }
        assert [follow(link).status_code for link in links] == [200, 410, 200]
        assert operator.delete("/admin/cache", params={"older_than_s": 3600}).json()["images"] == 0
        (entry, *_) = tenants.ask(lambda redis: RedisCallers(redis, timeout_s=5).read_audit(5))
        assert (entry.who, entry.act) == ("bootstrap", "purge_cache")
