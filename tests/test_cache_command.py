"""Run `image-gateway cache`, with a running gateway and without one."""

import csv
import io

import httpx
import orjson
import pytest

from tests.http.offices import Office, open_office
from tests.http.tenants import follow, order
from tests.shell import Shell


@pytest.fixture
def shell(office: Office) -> Shell:
    return Shell(office.data_dir, (("GATEWAY_CONFIG", str(office.data_dir / "gateway.toml")),))


def rows(text: str) -> dict[str, dict[str, str]]:
    return {row["team"]: row for row in csv.DictReader(io.StringIO(text), delimiter="\t")}


def make(office: Office, team: str, user: str, *prompts: str, **fields: object) -> list[httpx.URL]:
    created = office.create_key(team=team, user=user)
    with office.client(created["key"]) as client:
        return [order(client, f"{team} {prompt}", **fields) for prompt in prompts]


def test_the_images_of_every_team_are_counted(office: Office, shell: Shell) -> None:
    links = make(office, "counted", "anna", "one", "two")
    make(office, "counted", "anna", "three", model="gpt-image-2")

    shown = rows(shell.ask("cache", "stats"))["counted"]
    (told,) = orjson.loads(shell.ask("cache", "stats", "--team", "counted", "--json"))

    assert (shown["images"], shown["variants"]) == ("3", "3")
    assert "gpt-image-2 1" in shown["models"]
    assert shown["oldest"].endswith("Z")
    assert (told["team"], told["images"], told["variants"]) == ("counted", 3, 3)
    assert told["size_bytes"] > sum(len(follow(link).content) for link in links)
    assert sum(told["models"].values()) == 3
    assert str(told["size_bytes"]) == shown["bytes"]


def test_a_purge_asks_first_and_is_in_the_audit(office: Office, shell: Shell) -> None:
    anna, ben = make(office, "purged", "anna", "one")[0], make(office, "purged", "ben", "two")[0]
    words = ("cache", "purge", "--team", "purged", "--user", "anna")

    counted = shell.run(*words, "--dry-run")
    declined = shell.run(*words, answer="n\n")
    assert (counted.returncode, counted.stdout) == (0, "")
    assert "1 images" in counted.stderr
    assert declined.returncode == 1
    assert follow(anna).status_code == 200

    accepted = shell.run(*words, answer="y\n")
    again = shell.run(*words)
    assert (accepted.returncode, again.returncode) == (0, 0)
    assert "Purged 1 images" in accepted.stderr
    assert "0 images" in again.stderr
    assert (follow(anna).status_code, follow(ben).status_code) == (410, 200)
    assert "purge_cache" in shell.ask("audit", "--limit", "3")
    assert "anna" not in shell.ask("audit")


def test_a_purge_selects_by_age_model_and_order(office: Office, shell: Shell) -> None:
    links = make(office, "marks", "anna", "one", "two")
    links += make(office, "marks", "anna", "three", model="gpt-image-2")
    of_team = ("cache", "purge", "--team", "marks", "--yes")

    assert "Purged 0 images" in shell.run(*of_team, "--older-than", "1d").stderr
    assert "Purged 1 images" in shell.run(*of_team, "--model", "gpt-image-2").stderr
    assert [follow(link).status_code for link in links] == [200, 200, 410]
    info = office.admin.get(f"{links[0].path}/info", params={"team": "marks"}).json()
    assert "Purged 1 images" in shell.run(*of_team, "--fingerprint", info["fingerprint"]).stderr
    assert [follow(link).status_code for link in links] == [410, 200, 410]
    assert "Purged 1 images" in shell.run(*of_team, "--older-than", "0s").stderr


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("cache", "purge", "--yes"), "--older-than 0d purges all images"),
        (("cache", "purge", "--older-than", "a week"), "30d"),
        (("cache", "purge", "--older-than", "-1d"), "30d"),
        (("cache", "purge", "--user", "", "--yes"), "user"),
    ],
)
def test_a_mistake_purges_nothing(shell: Shell, words: tuple[str, ...], hint: str) -> None:
    assert hint in shell.refused(*words)


@pytest.mark.slow
def test_the_cache_commands_need_no_gateway(tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.mktemp("alone")
    with open_office(directory) as office:
        (link,) = make(office, "alone", "anna", "one")
    shell = Shell(directory)

    assert rows(shell.ask("cache", "stats"))["alone"]["images"] == "1"
    assert "Purged 1 images" in shell.run("cache", "purge", "--team", "alone", "--yes").stderr

    assert rows(shell.ask("cache", "stats"))["alone"]["images"] == "0"
    with open_office(directory) as office:
        moved = link.copy_with(port=httpx.URL(office.gateway.url).port)
        assert follow(moved).status_code == 410
