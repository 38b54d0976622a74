"""Run commands with other settings than the gateway's: refused in one line, without damage."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from service.adapters.redis.client.client import open_client
from service.settings.environment import load_settings
from service.wiring.notices import post_at_start
from service.wiring.process import BackingServices, open_context, open_redis
from tests.fakes.telemetry import FakeTelemetry
from tests.http.house import until
from tests.http.offices import Office, open_office
from tests.processes import Gateway, free_port, run_valkey
from tests.shell import Shell, check_refused, rows
from tests.test_commands import ORDER

OLD, NEW, OTHER = "the-old-secret-of-all", "the-new-secret-of-all", "a-secret-of-another-gateway"
MADE = ("keys", "create", "--team", "shop", "--user", "anna")


@pytest.fixture
def on_valkey(tmp_path: Path) -> Iterator[Shell]:
    """On an empty Valkey, where no gateway has been yet."""
    with run_valkey() as valkey:
        yield Shell(tmp_path, (("GATEWAY_REDIS_URL", valkey.url), ("GATEWAY_SECRETS", OLD)))


async def greet_as_gateway(shell: Shell, **settings: str) -> None:
    """Leave on the state of *shell* what a gateway leaves that starts with *settings*."""
    # A busy machine takes longer than the 250 ms that a gateway waits.
    settings = {"redis_timeout_s": "5", **settings}
    given = {**dict(shell.settings), **{f"GATEWAY_{name.upper()}": value for name, value in settings.items()}}
    read = load_settings(given)
    backing = BackingServices(
        redis_url=given["GATEWAY_REDIS_URL"], sandbox_url=None, public_url="http://here", secrets=(OLD,)
    )
    async with AsyncExitStack() as stack:
        redis = open_redis(read, backing, stack, connections=2)
        ground = open_context(read, backing, redis, telemetry=FakeTelemetry())
        assert await post_at_start(ground) is None


@pytest.mark.parametrize("words", [MADE, ("purge", "--user", "anna", "--yes"), ("keys", "list")])
def test_other_secrets_than_the_gateways_are_refused(office: Office, words: tuple[str, ...]) -> None:
    before = office.admin.get("/admin/audit").json()

    assert "GATEWAY_SECRETS" in Shell(office.data_dir, (("GATEWAY_SECRETS", OTHER),)).refused(*words)

    assert office.admin.get("/admin/audit").json() == before


@pytest.mark.slow
def test_secrets_rotate_while_commands_run(tmp_path: Path) -> None:
    with run_valkey() as valkey:

        def shell(secrets: str) -> Shell:
            given = {"REDIS_URL": valkey.url, "SECRETS": secrets, "AUTH": "keys", "SANDBOX": "true"}
            return Shell(tmp_path, tuple((f"GATEWAY_{name}", value) for name, value in given.items()))

        with open_office(tmp_path, redis_url=valkey.url, secrets=OLD) as office:
            # Ahead of the gateway: it works as the gateway will understand.
            token = shell(f"{NEW},{OLD}").ask(*MADE).strip()
            with office.client(token) as user:
                assert user.get("/v1/usage").status_code == 200
            assert "GATEWAY_SECRETS" in shell(NEW).refused(*MADE)
        with open_office(tmp_path, redis_url=valkey.url, secrets=f"{NEW},{OLD}") as office:
            assert "GATEWAY_SECRETS" in shell(OLD).refused(*MADE)
            # Users are hashed with the oldest: without it, they would be others.
            assert "including old ones" in shell(NEW).refused(*MADE)
            shell(f"{NEW},{OLD}").ask(*MADE)
            assert "hashed" not in office.gateway.log.read_text("utf-8")
        with open_office(tmp_path, redis_url=valkey.url, secrets=OTHER) as office:
            shell(OTHER).ask(*MADE)
            assert "GATEWAY_SECRETS does not list" in office.gateway.log.read_text("utf-8")


def test_a_gateway_started_without_redis_posts_its_check_later(tmp_path: Path) -> None:
    port = free_port()
    url = f"redis://127.0.0.1:{port}"
    with open_office(tmp_path, redis_url=url, secrets=OLD) as office:
        log = office.gateway.log.read_text("utf-8")
        assert f"Nothing answers at 127.0.0.1:{port}" in log
        with run_valkey(port=port):
            shell = Shell(tmp_path, (("GATEWAY_REDIS_URL", url), ("GATEWAY_SECRETS", OTHER)))
            until(lambda: "GATEWAY_SECRETS" in shell.run("keys", "list").stderr)


def test_declared_names_are_protected_without_the_file(office: Office) -> None:
    shell = Shell(office.data_dir)

    for words in (
        ("policies", "set", "declared", "--max-n", "1"),
        ("policies", "remove", "declared"),
        ("teams", "set", "declared", "--policy", ""),
        ("teams", "close", "declared"),
    ):
        assert "configuration file" in shell.refused(*words)
    token = shell.ask("keys", "create", "--team", "declared", "--user", "anna", "--policy", "declared")

    with office.client(token.strip()) as user:
        assert user.post("/v1/images/generations", json=ORDER).status_code == 200


def test_a_declared_model_may_be_allowed_without_the_file(on_valkey: Shell, tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text('[models."our-own"]\nfamily = "gpt-image"\nreleased = 2026-11-01\n', "utf-8")
    words = ("policies", "set", "careful", "--models", "our-own,dall-e-3")

    assert "no model 'our-own'" in on_valkey.refused(*words)
    asyncio.run(greet_as_gateway(on_valkey, config=str(config)))
    on_valkey.ask(*words)


def test_removed_declarations_are_free_after_a_restart(on_valkey: Shell, tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text("[policies.careful]\nmax_n = 1\n", "utf-8")
    words = ("policies", "set", "careful", "--max-n", "2")

    asyncio.run(greet_as_gateway(on_valkey, config=str(config)))
    assert "configuration file" in on_valkey.refused(*words)
    asyncio.run(greet_as_gateway(on_valkey))
    on_valkey.ask(*words)


def test_config_reports_the_errors_of_serve(tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text('[policies.careful]\nmodels = ["dall-e-33"]\n', "utf-8")

    assert "dall-e-33" in Shell(tmp_path, (("GATEWAY_CONFIG", str(config)),)).refused("config")


@pytest.mark.parametrize("name", ["default", "none"])
def test_a_file_cannot_declare_a_reserved_policy_name(tmp_path: Path, name: str) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text(f"[policies.{name}]\nmax_n = 1\n", "utf-8")

    assert name in Shell(tmp_path, (("GATEWAY_CONFIG", str(config)),)).refused("config")


def test_a_new_team_is_pointed_out(office: Office) -> None:
    shell = Shell(office.data_dir, (("GATEWAY_AUTH", "keys"), ("GATEWAY_SANDBOX", "true")))

    new, again = (shell.run("keys", "create", "--team", "shpo", "--user", "anna") for _ in range(2))

    assert "no team shpo" in new.stderr
    assert "no team" not in again.stderr
    assert "warning" not in new.stderr
    assert new.stdout.count("\n") == 1


def test_a_mode_without_keys_is_pointed_out(tmp_path: Path) -> None:
    assert "warning: GATEWAY_AUTH is open" in Shell(tmp_path).run(*MADE).stderr


@pytest.mark.parametrize("words", [("serve",), ("config",), ("keys", "list")])
@pytest.mark.parametrize(
    "place",
    ["redis+cluster://:{}@127.0.0.1:99999,h", "redis+cluster://a:1,b:{}", "redis://:{}@h?unheard_of=1"],
)
def test_an_invalid_redis_url_is_one_line(tmp_path: Path, words: tuple[str, ...], place: str) -> None:
    settings = (("GATEWAY_REDIS_URL", place.format("canary")), ("GATEWAY_SECRETS", OTHER))

    shell = Shell(tmp_path, settings)
    # Only `serve` sets up the logs of its process.
    said = check_refused(shell.run_apart(*words) if words == ("serve",) else shell.run(*words))

    assert said.startswith("error: GATEWAY_REDIS_URL: ")
    assert said.count("\n") == 1
    assert "canary" not in said


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("redis://:wrong-canary@127.0.0.1:{port}", "refuses the user or the password"),
        ("redis://127.0.0.1:{port}", "refuses the user or the password"),
        ("redis://:wrong-canary@127.0.0.1:1", "Nothing answers at 127.0.0.1:1:"),
        ("redis+cluster://:right@127.0.0.1:{port}", "cluster support is disabled"),
        ("redis+sentinel://127.0.0.1:1,localhost:2/images", "127.0.0.1:1, localhost:2"),
    ],
)
async def test_a_failure_of_redis_names_its_address(tmp_path: Path, url: str, hint: str) -> None:
    with run_valkey(port=0) as valkey:
        client = open_client(valkey.url, timeout_s=2, connections=1)
        await client.config_set("requirepass", "right")
        await client.aclose()
        given = url.format(port=valkey.url.rpartition(":")[2])
        shell = Shell(tmp_path, (("GATEWAY_REDIS_URL", given), ("GATEWAY_SECRETS", OTHER)))
        said = check_refused(await asyncio.to_thread(shell.run_apart, "keys", "list"))

    assert hint in said
    assert "canary" not in said


def test_the_greeting_names_the_credentials(office: Office, gateway: Gateway) -> None:
    until(lambda: gateway.log_lines("ready"))
    asked, told = (running.log_lines("ready")[0]["greeting"] for running in (office.gateway, gateway))

    assert "GATEWAY_AUTH=keys" in asked
    assert '-H "Authorization: Bearer $KEY"' in asked
    assert "GATEWAY_AUTH=open" in told
    assert "Authorization" not in told


def test_a_purge_without_a_gateway_erases_the_name_from_files(tmp_path: Path) -> None:
    """Its own server must not stop before the file is written anew."""
    shell, name = Shell(tmp_path), b"greta@example.com"
    shell.ask("keys", "create", "--team", "shop", "--user", name.decode())
    before = written(tmp_path / "valkey")

    shell.ask("purge", "--user", name.decode(), "--yes")

    assert name in before
    assert name not in written(tmp_path / "valkey")
    assert rows(shell.ask("keys", "list")) == []


def written(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in directory.rglob("*") if path.is_file())
