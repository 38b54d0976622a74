"""Use the command line: with a running gateway, without one, and with mistakes."""

import csv
import fcntl
import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from service.commands.root import HELPS, cli, load
from service.domain.callers import is_token
from service.domain.limits import LIMITS
from tests.http.house import until
from tests.http.offices import Office, open_office
from tests.processes import run_gateway
from tests.shell import Shell, rows, run_on_terminal

ORDER = {"model": "dall-e-3", "prompt": "a lighthouse"}
GROUPS = ("keys", "teams", "policies", "usage", "cache", "config")


@pytest.fixture
def beside(office: Office) -> Shell:
    """Beside a running gateway."""
    return Shell(office.data_dir, (("GATEWAY_CONFIG", str(office.data_dir / "gateway.toml")),))


@pytest.fixture
def alone(tmp_path: Path) -> Shell:
    """Without a gateway, in a directory that is not there yet."""
    return Shell(tmp_path / "data")


def test_a_key_works_on_a_running_gateway_until_it_is_revoked(office: Office, beside: Shell) -> None:
    done = beside.run_apart("keys", "create", "--team", "shop", "--user", "anna", "--expires", "90d")
    token = done.stdout.strip()
    (listed,) = [row for row in rows(beside.ask("keys", "list", "--team", "shop")) if row["user"] == "anna"]

    assert is_token(token)
    assert done.stdout == f"{token}\n"
    assert listed["id"] in done.stderr
    assert token not in done.stderr
    assert listed["key"].endswith(token[-4:])
    with office.client(token) as user:
        assert user.post("/v1/images/generations", json=ORDER).status_code == 200
        assert beside.ask("keys", "revoke", "shop", listed["id"]) == ""
        assert user.post("/v1/images/generations", json=ORDER).status_code == 401
        until(lambda: user.get("/v1/models").status_code == 401)


def test_a_key_is_revoked_by_the_beginning_of_its_id(office: Office, beside: Shell) -> None:
    created = office.create_key()

    done = beside.run("keys", "revoke", created["team"], created["id"][:10])

    assert (done.returncode, done.stdout) == (0, "")
    assert created["id"] in done.stderr
    assert rows(beside.ask("keys", "list", "--team", created["team"])) == []


@pytest.mark.parametrize("columns", [80, 160])
def test_ids_are_never_cut_on_a_terminal(office: Office, beside: Shell, columns: int) -> None:
    created = office.create_key(team=f"a-team-with-a-long-name-{columns}", user="someone@example.com")

    shown = run_on_terminal(beside, columns, "keys", "list", "--team", created["team"])

    assert created["id"] in shown
    assert max(len(line) for line in shown.splitlines()) <= columns


def test_json_has_what_the_tables_have(office: Office, beside: Shell) -> None:
    created = office.create_key(user="erin")
    with office.client(created["key"]) as user:
        user.post("/v1/images/generations", json={**ORDER, "n": 2}).raise_for_status()
    beside.ask("policies", "set", "json", "--images-per-day", "5", "--budget-per-month", "2.50")

    def read(*words: str) -> list[dict[str, Any]]:
        document: list[dict[str, Any]] = orjson.loads(beside.ask(*words, "--json"))
        return document

    (key,) = read("keys", "list", "--team", created["team"])
    (policy,) = [each for each in read("policies", "list") if each["name"] == "json"]
    (team,) = [each for each in read("teams", "list") if each["name"] == created["team"]]
    (spent,) = read("usage", "show", "--by", "user", "--team", created["team"])
    (act,) = [each for each in read("audit") if created["id"] in each["target"]]

    assert key == {
        **key,
        **{name: created[name] for name in ("id", "team", "user", "role", "policy", "hint")},
    }
    assert datetime.fromisoformat(key["created_at"]).timestamp() == created["created_at"]
    assert (key["expires_at"], key["secret_listed"]) == (None, True)
    assert (policy["images_per_day"], policy["budget_per_month_microusd"]) == (5, 2_500_000)
    assert (policy["models"], policy["cache"], policy["declared"]) == ([], True, False)
    assert (team["closed"], team["declared"]) == (False, False)
    assert (spent["images"], spent["name"]) == (2, "erin")
    assert spent["microusd"] > 0
    assert datetime.fromisoformat(act["at"]).tzinfo == UTC
    assert orjson.loads(beside.ask("config", "--json"))["auth"]


def test_a_new_key_can_be_read_as_json(office: Office, beside: Shell) -> None:
    done = beside.run("keys", "create", "--team", "shop", "--user", "frank", "--expires", "90d", "--json")

    created = orjson.loads(done.stdout)
    (listed,) = orjson.loads(beside.ask("keys", "list", "--team", "shop", "--json"))
    assert is_token(created.pop("key"))
    assert created == listed


def test_names_stand_beside_hashes_on_a_terminal(office: Office, beside: Shell) -> None:
    created = office.create_key(user="grace", role="admin")
    with office.client(created["key"]) as user:
        user.post("/v1/images/generations", json=ORDER).raise_for_status()
        user.put("/admin/policies/of-an-admin", json={}).raise_for_status()
    (spent,) = rows(beside.ask("usage", "show", "--by", "user", "--team", created["team"]))

    usage = run_on_terminal(beside, 200, "usage", "show", "--by", "user", "--team", created["team"])
    audit = run_on_terminal(beside, 200, "audit", "--limit", "2")

    assert f"{spent['user']} (grace)" in usage
    assert f"{created['id']} (grace)" in audit
    assert "grace" not in beside.ask("usage", "show", "--by", "user") + beside.ask("audit")


def test_a_terminal_shows_relative_times(office: Office, beside: Shell) -> None:
    words = ("keys", "create", "--team", "times", "--user", "heidi", "--expires")
    beside.ask(*words, "20d")

    shown = run_on_terminal(beside, 160, "keys", "list", "--team", "times")
    (listed,) = rows(beside.ask("keys", "list", "--team", "times"))

    assert "in 20 days" in shown
    assert " now " in shown
    assert listed["created"].endswith("Z")
    assert len(listed["expires"]) == len("2026-11-30 12:00:00Z")


def test_a_key_created_without_a_gateway_works_once_one_starts(alone: Shell) -> None:
    alone.ask("policies", "set", "careful", "--images-per-day", "5", "--budget-per-month", "2.50")
    alone.ask("teams", "set", "shop", "--policy", "careful")
    token = alone.ask("keys", "create", "--team", "shop", "--user", "anna", "--policy", "careful").strip()

    with open_office(alone.data_dir) as office, office.client(token) as user:
        answer = user.post("/v1/images/generations", json=ORDER)
        limits = user.get("/v1/usage").json()["limits"]

    assert answer.status_code == 200
    assert {(limit["scope"], limit["name"], limit["limit"]) for limit in limits} >= {
        ("key", "images_per_day", 5),
        ("team", "budget_per_month_microusd", 2_500_000),
    }


def test_every_kind_of_limit_can_be_set_and_is_listed(alone: Shell) -> None:
    options = [word for kind in LIMITS for word in (f"--{kind.option.replace('_', '-')}", "5")]

    alone.ask("policies", "set", "careful", *options)

    (listed,) = rows(alone.ask("policies", "list"))
    assert {kind.column: listed.get(kind.column) for kind in LIMITS} == {kind.column: "5" for kind in LIMITS}


def test_policies_change_only_in_given_limits(alone: Shell) -> None:
    alone.ask("policies", "set", "careful", "--images-per-day", "5", "--models", "dall-e-3, gpt-image-2")
    alone.ask("policies", "set", "careful", "--max-n", "2", "--no-cache", "--equal-orders", "share")

    (listed,) = rows(alone.ask("policies", "list"))
    alone.ask("policies", "set", "careful", "--images-per-day", "0", "--models", "")
    (lifted,) = rows(alone.ask("policies", "list"))

    assert (listed["images/day"], listed["max n"], listed["cache"]) == ("5", "2", "off")
    assert (listed["models"], listed["equal orders"]) == ("dall-e-3, gpt-image-2", "share")
    assert (lifted["images/day"], lifted["models"], lifted["max n"]) == ("", "all", "2")


def test_a_team_is_closed_and_reopened(office: Office, beside: Shell) -> None:
    created = office.create_key()
    with office.client(created["key"]) as user:
        beside.ask("teams", "close", created["team"])
        refused = user.post("/v1/images/generations", json=ORDER).status_code
        beside.ask("teams", "reopen", created["team"])
        until(lambda: user.post("/v1/images/generations", json=ORDER).status_code == 200)

    assert refused == 403


def test_declared_policies_are_listed_and_cannot_be_changed(beside: Shell) -> None:
    (listed,) = [row for row in rows(beside.ask("policies", "list")) if row["policy"] == "declared"]

    assert listed["in the file"] == "yes"
    assert "configuration file" in beside.refused("policies", "set", "declared", "--max-n", "1")
    assert "configuration file" in beside.refused("policies", "remove", "declared")
    assert "configuration file" in beside.refused("teams", "close", "declared")


def test_the_export_has_the_rows_of_the_ledger(office: Office, beside: Shell) -> None:
    created = office.create_key(user="carol")
    with office.client(created["key"]) as user:
        user.post("/v1/images/generations", json={**ORDER, "n": 2}).raise_for_status()
    today = datetime.now(UTC).date().isoformat()
    of_team = ("--team", created["team"], "--from", today, "--to", today)

    text = beside.ask("usage", "export", *of_team)
    (line,) = beside.ask("usage", "export", "--format", "json", *of_team, "--user", "carol").splitlines()
    assert beside.ask("usage", "export", "--json", *of_team).splitlines() == [line]
    (shown,) = rows(beside.ask("usage", "show", "--by", "model", *of_team))
    (by_backend,) = rows(beside.ask("usage", "show", "--by", "backend", *of_team))

    (row,) = csv.DictReader(io.StringIO(text))
    assert (row["team"], row["images"], row["outcome"], row["realm"]) == (
        created["team"],
        "2",
        "made",
        "sandbox",
    )
    assert {name: str(value) for name, value in orjson.loads(line).items()} == row
    assert (row["backend"], by_backend["backend"], by_backend["images"]) == ("sandbox", "sandbox", "2")
    assert (shown["images"], float(shown["USD"])) == ("2", int(row["microusd"]) / 1e6)
    assert beside.ask("usage", "export", *of_team, "--user", "nobody").splitlines() == [text.splitlines()[0]]


def test_a_purge_asks_first_and_is_in_the_audit(office: Office, beside: Shell) -> None:
    created = office.create_key(user="dora")

    declined = beside.run_apart("purge", "--user", "dora", answer="n\n")
    still_there = created["id"] in beside.ask("keys", "list")
    accepted = beside.run("purge", "--user", "dora", answer="y\n")
    again = beside.run("purge", "--user", "dora", "--yes")

    assert (declined.returncode, still_there) == (1, True)
    assert (accepted.returncode, again.returncode) == (0, 1)
    assert "1 keys revoked" in accepted.stderr
    assert "nothing is known of 'dora'" in again.stderr
    assert created["id"] not in beside.ask("keys", "list")
    latest = rows(beside.ask("audit", "--limit", "1"))[0]
    assert (latest["who"], latest["act"]) == ("command line", "erase_person")
    assert "dora" not in beside.ask("audit")


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("keys", "create", "--team", "Shop", "--user", "anna"), "a-z"),
        (("keys", "create", "--team", "shop", "--user", "anna", "--expires", "soon"), "90d"),
        (
            ("keys", "create", "--team", "shop", "--user", "anna", "--expires", "2020-01-01"),
            "--expires 2020-01-01: ",
        ),
        (("keys", "create", "--team", "shop", "--user", "anna", "--expires", "9999-12-31"), "until 2100"),
        (("keys", "create", "--team", "shop", "--user", "anna", "--expires", "99999d"), "until 2100"),
        (("keys", "create", "--team", "admin", "--user", "anna"), "gateway itself"),
        (("teams", "set", "open"), "gateway itself"),
        (("keys", "create", "--team", "shop", "--user", "anna", "--policy", "none"), "declared"),
        (("policies", "set", "careful", "--models", "dall-e-33"), "no model 'dall-e-33'"),
        (("policies", "set", "default", "--max-n", "1"), "another name"),
        (("policies", "set", "none", "--max-n", "1"), "another name"),
        (("purge", "--user", "nobody", "--yes"), "nothing is known"),
        (("keys", "revoke", "shop", "key_1"), "no key"),
        (("teams", "close", "nobody"), "no team"),
        (("policies", "set", "careful", "--budget-per-month", "a lot"), "0.50"),
        (("policies", "set", "careful", "--budget-per-month", "1e400"), "budget_per_month"),
        (("policies", "set", "careful", "--max-size", "big"), "1536x1024"),
        (("policies", "remove", "nobody"), "no policy"),
        (("usage", "show", "--from", "yesterday"), "2026-11-30"),
        (("usage", "export", "--from", "2020-01-01"), "400 days"),
    ],
)
def test_a_mistake_is_one_line_with_a_correct_value(beside: Shell, words: tuple[str, ...], hint: str) -> None:
    assert hint in beside.refused(*words)


def test_an_unavailable_redis_is_named(tmp_path: Path) -> None:
    settings = (
        ("GATEWAY_REDIS_URL", "redis://127.0.0.1:1"),
        ("GATEWAY_SECRETS", "a-secret-of-16-characters"),
    )

    assert "GATEWAY_REDIS_URL" in Shell(tmp_path, settings).refused("keys", "list")


def test_an_unwritable_directory_is_named() -> None:
    assert "GATEWAY_DATA_DIR" in Shell(Path("/proc/nowhere")).refused("keys", "list")


def test_a_failed_server_start_ends_with_one_line(alone: Shell) -> None:
    settings = (("GATEWAY_PORT", "0"), ("OPENAI_API_KEY", "sk-any"), ("HTTPS_PROXY", "nonsense://host"))

    done = Shell(alone.data_dir, settings).run_apart("serve")

    *log, last = done.stderr.splitlines()
    assert (done.returncode, last) == (1, "error: The server did not start; see its messages above.")
    assert all(orjson.loads(line)["event"] for line in log)


def test_concurrent_commands_wait_for_each_other(alone: Shell) -> None:
    """Each would start a server of its own, and stop it under the other."""
    running = [
        alone.start("keys", "create", "--team", "shop", "--user", f"user-{number}") for number in range(4)
    ]
    outputs = [process.communicate(timeout=60) for process in running]

    assert [process.returncode for process in running] == [0] * 4, outputs
    assert len(rows(alone.ask("keys", "list", "--team", "shop"))) == 4


@pytest.mark.slow
def test_a_gateway_waits_for_a_command_for_a_limited_time(alone: Shell) -> None:
    alone.data_dir.mkdir()
    with (alone.data_dir / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refused = Shell(alone.data_dir, (("GATEWAY_PORT", "0"),)).run_apart("serve")
    with run_gateway(alone.data_dir) as gateway:
        assert gateway.stop() == 0

    assert refused.returncode == 1
    assert "GATEWAY_DATA_DIR" in refused.stderr


def test_a_closed_pipe_causes_no_traceback(alone: Shell) -> None:
    """As in `image-gateway usage export | head -0`."""
    with alone.start("usage", "export") as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        said = process.stderr.read()

    assert (said, process.returncode) == ("", 1)


@pytest.mark.parametrize("group", GROUPS)
def test_help_teaches_with_an_example(group: str) -> None:
    for name in load(group).commands:
        text = CliRunner().invoke(cli, [group, name, "--help"]).stdout

        assert "Example:" in text
        assert "<bool>" not in text
        assert f"image-gateway {group} {name}" in " ".join(text.split())


@pytest.mark.parametrize("command", sorted({*HELPS} - {*GROUPS, "sandbox"} | {"config"}))
def test_help_of_a_command_teaches_with_an_example(command: str) -> None:
    text = CliRunner().invoke(cli, [command, "--help"]).stdout

    assert "Example:" in text
    assert "<bool>" not in text
    assert f"image-gateway {command}" in " ".join(text.split())
