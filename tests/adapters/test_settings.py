"""Settings: every refusal names the variable and what would be right, and never what it was set to."""

import itertools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from service.settings import Settings, SettingsError, load_settings, unknown_variables
from tests.processes import REPOSITORY

CANARY = "canary-5f1c"
SECRET = "0123456789abcdef"
Load = Callable[..., Settings]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Load:
    """Load settings from the given variables and no others."""
    fields = [f"GATEWAY_{name.upper()}" for name in Settings.model_fields]
    openai = [f"OPENAI_{name}" for name in ("API_KEY", "BASE_URL", "ORG_ID", "PROJECT_ID")]
    for name, suffix in itertools.product([*fields, *openai], ["", "_FILE"]):
        monkeypatch.delenv(name + suffix, raising=False)

    def load(**variables: str) -> Settings:
        with monkeypatch.context() as scope:
            for name, value in variables.items():
                scope.setenv(name, value)
            return load_settings(variables)

    return load


def refusal(load: Load, **variables: str) -> str:
    with pytest.raises(SettingsError) as refused:
        load(**variables)
    return str(refused.value)


def test_settings_come_from_the_environment_they_are_given(load: Load) -> None:
    """And from no other: what was read once is what is in force."""
    assert load_settings({"GATEWAY_PORT": "9001"}).port == 9001


def test_defaults_are_safe(load: Load) -> None:
    settings = load()

    assert (settings.host, settings.port, settings.auth) == ("127.0.0.1", 8080, "open")
    assert settings.is_loopback
    assert settings.uses_sandbox
    assert settings.redis_timeout_s <= 0.25


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("GATEWAY_PORT", f"tcp://{CANARY}:80"),
        ("GATEWAY_PORT", "70000"),
        ("GATEWAY_PORT", "-1"),
        ("GATEWAY_WORKERS", "2"),
        ("GATEWAY_REPLICAS", "0"),
        ("GATEWAY_LOG_LEVEL", CANARY),
        ("GATEWAY_SECRETS", CANARY),
        ("GATEWAY_SECRETS", f"{SECRET},{CANARY}"),
        ("GATEWAY_AUTH", "keys"),
        ("GATEWAY_CACHE", CANARY),
        ("GATEWAY_CACHE_SCOPE", "all"),
        ("GATEWAY_CACHE_TTL_S", "0"),
        ("GATEWAY_URL_TTL_S", "-5"),
        ("GATEWAY_DEADLINE_S", "0"),
        ("GATEWAY_DEADLINE_S", "inf"),
        ("GATEWAY_DEADLINE_S", "nan"),
        ("GATEWAY_DRAIN_S", CANARY),
        ("GATEWAY_MAX_CALLS_IN_FLIGHT", "0"),
        ("GATEWAY_REDIS_TIMEOUT_S", "0"),
        ("GATEWAY_REDIS_TIMEOUT_S", CANARY),
        ("GATEWAY_SANDBOX", CANARY),
        ("GATEWAY_ALLOW_OPEN", CANARY),
        ("GATEWAY_EMBEDDED_REDIS", CANARY),
        ("GATEWAY_REDIS_URL", f"http://:{CANARY}@redis:6379/0"),
        ("GATEWAY_REDIS_URL", f"redis://:{CANARY}@redis:port/0"),
        ("GATEWAY_STORE_URL", f"ftp://{CANARY}/files"),
        ("GATEWAY_DEFAULT_POLICY__REQUESTS_PER_MIN", CANARY),
        ("GATEWAY_DEFAULT_POLICY__IMAGES_PER_MIN", "-1"),
        ("GATEWAY_DEFAULT_POLICY__UNHEARD_OF", "1"),
        ("GATEWAY_CONFIG", "/nowhere/at/all.toml"),
        ("GATEWAY_SECRETS_FILE", "/nowhere/at/all"),
        ("GATEWAY_REDIS_URL_FILE", "/nowhere/at/all"),
        ("OPENAI_API_KEY_FILE", "/nowhere/at/all"),
    ],
)
def test_a_refusal_names_the_variable_and_not_its_value(load: Load, variable: str, value: str) -> None:
    message = refusal(load, **{variable: value})

    assert variable in message
    assert CANARY not in message
    assert "\n" not in message
    assert len(message) < 200


def test_a_policy_that_is_no_table_names_the_variable(load: Load) -> None:
    assert "default_policy" in refusal(load, GATEWAY_DEFAULT_POLICY=CANARY).lower()
    assert CANARY not in refusal(load, GATEWAY_DEFAULT_POLICY=CANARY)


def test_every_problem_has_a_line_of_its_own(load: Load) -> None:
    lines = refusal(load, GATEWAY_PORT="x", GATEWAY_CACHE="x", GATEWAY_DEADLINE_S="x").splitlines()

    assert sorted(line.split(":")[0] for line in lines) == [
        "GATEWAY_CACHE",
        "GATEWAY_DEADLINE_S",
        "GATEWAY_PORT",
    ]


def test_the_port_kubernetes_sets_for_a_service_named_gateway_gets_a_clear_line() -> None:
    """As the operator sees it: one line on standard error, and no traceback."""
    ended = subprocess.run(
        [sys.executable, "-m", "service", "config"],
        env={"GATEWAY_PORT": "tcp://10.96.14.7:80", "PATH": "/usr/bin:/bin"},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.startswith("error: GATEWAY_PORT: ")
    assert len(ended.stderr.splitlines()) == 1
    assert "10.96" not in ended.stderr


def test_an_empty_variable_is_an_unset_one(load: Load) -> None:
    empty = load(
        GATEWAY_PORT="",
        GATEWAY_HOST="",
        GATEWAY_SANDBOX="",
        GATEWAY_SECRETS="",
        GATEWAY_REDIS_URL="",
        GATEWAY_CONFIG="",
        GATEWAY_SECRETS_FILE="",
        GATEWAY_DEFAULT_POLICY__IMAGES_PER_MIN="",
        OPENAI_API_KEY="",
        OPENAI_BASE_URL="",
    )

    assert empty == load()


def test_limits_of_the_default_policy(load: Load) -> None:
    settings = load(GATEWAY_DEFAULT_POLICY__REQUESTS_PER_MIN="7", GATEWAY_DEFAULT_POLICY__IMAGES_PER_MIN="0")

    assert (settings.default_policy.requests_per_min, settings.default_policy.images_per_min) == (7, 0)


@pytest.mark.parametrize(
    "host",
    ["0.0.0.0", "::", "10.0.0.7", "gateway.example.com", "127.0.0.1.example.com"],  # noqa: S104 - refused
)
def test_an_open_gateway_listens_beyond_loopback_only_when_told_to(load: Load, host: str) -> None:
    assert "GATEWAY_ALLOW_OPEN=true" in refusal(load, GATEWAY_HOST=host)
    assert "GATEWAY_PUBLIC_URL is required" in refusal(load, GATEWAY_HOST=host, GATEWAY_ALLOW_OPEN="true")

    settings = load(
        GATEWAY_HOST=host, GATEWAY_ALLOW_OPEN="true", GATEWAY_PUBLIC_URL="https://images.example.com"
    )

    assert not settings.is_loopback
    with pytest.raises(SettingsError, match="OPENAI_API_KEY"):
        assert settings.uses_sandbox


def test_beyond_loopback_the_sandbox_has_to_be_wanted(load: Load) -> None:
    beyond = {"GATEWAY_HOST": "10.0.0.7", "GATEWAY_ALLOW_OPEN": "true", "GATEWAY_PUBLIC_URL": "https://x"}

    assert load(**beyond, GATEWAY_SANDBOX="true").uses_sandbox
    assert not load(**beyond, OPENAI_API_KEY="sk-x").uses_sandbox
    assert not load(**beyond, OPENAI_BASE_URL="http://x/v1").uses_sandbox


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_the_sandbox_never_stands_in_for_a_provider(load: Load, host: str) -> None:
    assert load(GATEWAY_HOST=host).uses_sandbox
    assert not load(GATEWAY_HOST=host, OPENAI_API_KEY="sk-x").uses_sandbox
    assert not load(GATEWAY_HOST=host, OPENAI_BASE_URL="http://x/v1").uses_sandbox
    with pytest.raises(SettingsError, match="OPENAI_API_KEY"):
        assert load(GATEWAY_HOST=host, GATEWAY_SANDBOX="false").uses_sandbox
    assert load(GATEWAY_HOST=host, GATEWAY_SANDBOX="true", OPENAI_API_KEY="sk-x").uses_sandbox


def test_several_replicas_need_a_redis_and_shared_secrets(load: Load) -> None:
    assert "GATEWAY_REDIS_URL" in refusal(load, GATEWAY_REPLICAS="2")
    assert "GATEWAY_REDIS_URL" in refusal(load, GATEWAY_EMBEDDED_REDIS="false")
    beyond = {
        "GATEWAY_HOST": "10.0.0.7",
        "GATEWAY_ALLOW_OPEN": "true",
        "GATEWAY_PUBLIC_URL": "https://x",
        "GATEWAY_REDIS_URL": f"redis://:{CANARY}@redis:6379/0",
    }

    message = refusal(load, **beyond)

    assert "GATEWAY_SECRETS" in message
    assert CANARY not in message
    assert load(**beyond, GATEWAY_SECRETS=SECRET).redis_url is not None


def test_the_provider_is_set_as_its_sdks_read_it(load: Load) -> None:
    settings = load(
        OPENAI_API_KEY="sk-ours",
        OPENAI_BASE_URL="https://provider.example.com/v1",
        OPENAI_ORG_ID="org-1",
        OPENAI_PROJECT_ID="proj-1",
    )

    assert settings.openai_api_key is not None
    assert settings.openai_api_key.get_secret_value() == "sk-ours"
    assert settings.provider_url == "https://provider.example.com/v1"
    assert (settings.openai_org_id, settings.openai_project_id) == ("org-1", "proj-1")
    assert load(OPENAI_API_KEY="sk-ours").provider_url == "https://api.openai.com/v1"


@pytest.mark.parametrize(
    ("variable", "field", "value"),
    [
        ("GATEWAY_SECRETS", "secrets", f"{SECRET},{SECRET}"),
        ("GATEWAY_REDIS_URL", "redis_url", f"redis://:{SECRET}@redis:6379/0"),
        ("OPENAI_API_KEY", "openai_api_key", f"sk-{SECRET}"),
    ],
)
def test_a_secret_may_stand_in_a_file(
    load: Load, tmp_path: Path, variable: str, field: str, value: str
) -> None:
    path = tmp_path / "secret"
    path.write_text(f"{value}\n")

    settings = load(**{f"{variable}_FILE": str(path)})

    assert getattr(settings, field).get_secret_value() == value


@pytest.mark.parametrize("variable", ["GATEWAY_SECRETS_FILE", "OPENAI_API_KEY_FILE", "GATEWAY_CONFIG"])
def test_a_file_of_noise_is_refused_by_name(load: Load, tmp_path: Path, variable: str) -> None:
    path = tmp_path / "noise"
    path.write_bytes(bytes(range(256)))

    message = refusal(load, **{variable: str(path)})

    assert variable in message or path.name in message


def test_secrets_never_show(load: Load) -> None:
    settings = load(
        GATEWAY_SECRETS=f"{CANARY}-{SECRET}",
        GATEWAY_REDIS_URL=f"redis://:{CANARY}@redis/0",
        OPENAI_API_KEY=CANARY,
    )

    for shown in (repr(settings), str(settings), settings.model_dump_json(), str(settings.model_dump())):
        assert CANARY not in shown


def test_settings_are_frozen(load: Load) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load().port = 1  # type: ignore[misc]  # what is tried here


def test_the_configuration_file_holds_tables(load: Load, tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text('[backend]\nname = "azure"\nimages_per_min = 150\n[models."dall-e-3"]\nbridge = false\n')

    settings = load(GATEWAY_CONFIG=str(path))

    assert (settings.file.backend.name, settings.file.backend.images_per_min) == ("azure", 150)
    assert settings.file.models == {"dall-e-3": {"bridge": False}}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[backend", "gateway.toml"),
        ("[backend]\nimages_per_min = -1", "backend.images_per_min"),
        ("[backend]\nname = 'Has Spaces'", "backend.name"),
        ("[backend]\nunheard_of = 1", "backend.unheard_of"),
        ("unheard_of = 1", "unheard_of"),
        ("models = 3", "models"),
    ],
)
def test_a_mistake_in_the_file_names_its_place(load: Load, tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(text)

    message = refusal(load, GATEWAY_CONFIG=str(path))

    assert str(path) in message
    assert named in message


def test_misspelt_variables_are_found() -> None:
    given = {
        "GATEWAY_PORT": "",
        "GATEWAY_SECRETS_FILE": "",
        "GATEWAY_DEFAULT_POLICY__IMAGES_PER_MIN": "",
        "GATEWAY_IMAGES_PER_MIN": "",
        "GATEWAY_PROT": "",
        "GATEWAY_PORT_FILE": "",
        "PATH": "",
    }

    assert unknown_variables(given) == ["GATEWAY_IMAGES_PER_MIN", "GATEWAY_PORT_FILE", "GATEWAY_PROT"]
