"""Every refusal of a setting names the variable and a remedy, and never the value."""

import itertools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from service.domain.limits import MOST_COUNTED, MOST_MICROUSD
from service.settings.environment import load_settings, nearest_variable, unknown_variables
from service.settings.problems import SettingsError
from service.settings.variables import Settings
from service.wiring.checks import check_settings
from tests.issuer import ec_key, key_set
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


def test_settings_are_read_from_the_given_environment(load: Load) -> None:
    """And from no other: settings are read once."""
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
        ("GATEWAY_METRICS_PORT", "70000"),
        ("GATEWAY_METRICS_PORT", "8080"),
        ("GATEWAY_METRICS_HOST", CANARY),
        ("GATEWAY_REVISION", f"{CANARY} {CANARY}"),
        ("GATEWAY_REPLICAS", "0"),
        ("GATEWAY_LOG_LEVEL", CANARY),
        ("GATEWAY_SECRETS", CANARY),
        ("GATEWAY_SECRETS", f"{SECRET},{CANARY}"),
        ("GATEWAY_AUTH", "passwords"),
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
        ("GATEWAY_CORS_ORIGINS", CANARY),
        ("GATEWAY_CORS_ORIGINS", "null"),
        ("GATEWAY_CORS_ORIGINS", "https://app.corp/"),
        ("GATEWAY_CORS_ORIGINS", "https://app.corp:443"),
        ("GATEWAY_CORS_ORIGINS", f"https://user@{CANARY}"),
        ("GATEWAY_CORS_ORIGINS", "https://*.corp"),
        ("GATEWAY_CORS_ORIGINS", "https://app.corp;https://x.corp"),
        ("GATEWAY_EMBEDDED_REDIS", CANARY),
        ("GATEWAY_REDIS_URL", CANARY),
        ("GATEWAY_REDIS_URL", f"redis+cluster:///{CANARY}"),
        ("GATEWAY_STORE_ENDPOINT", f"ftp://{CANARY}"),
        ("GATEWAY_STORE_ENDPOINT", f"http://user:{CANARY}@minio:9000"),
        ("GATEWAY_STORE_REDIRECT_S", "604801"),
        ("GATEWAY_STORE_FRONT_KEY", CANARY),
        ("GATEWAY_STORE_FRONT_KEY", f"{SECRET} {CANARY}"),
        ("GATEWAY_STORE_SECRET_ACCESS_KEY", CANARY),
        ("GATEWAY_STORE_REGION", CANARY),
        ("GATEWAY_RETENTION_S", "-1"),
        ("GATEWAY_RETENTION_BYTES", "1.5"),
        ("GATEWAY_SWEEP_S", "0"),
        ("GATEWAY_DEFAULT_POLICY__REQUESTS_PER_MIN", CANARY),
        ("GATEWAY_DEFAULT_POLICY__IMAGES_PER_MIN", "-1"),
        ("GATEWAY_DEFAULT_POLICY__IMAGES_PER_DAY", "1000000001"),
        ("GATEWAY_DEFAULT_POLICY__BUDGET_PER_MONTH_MICROUSD", "1000000000000001"),
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


def test_a_policy_without_a_table_names_the_variable(load: Load) -> None:
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


def test_an_empty_file_is_an_unset_variable(load: Load, tmp_path: Path) -> None:
    """Compose mounts the provider's key also where the sandbox needs none."""
    empty = tmp_path / "key"
    empty.write_text("\n", "utf-8")

    assert load(OPENAI_API_KEY_FILE=str(empty), GATEWAY_SANDBOX="true") == load(GATEWAY_SANDBOX="true")


@pytest.mark.parametrize("level", ["debug", "Debug", "DEBUG"])
def test_the_level_of_the_log_is_taken_in_any_case(load: Load, level: str) -> None:
    assert load(GATEWAY_LOG_LEVEL=level).log_level == "DEBUG"


def test_limits_of_the_default_policy(load: Load) -> None:
    settings = load(GATEWAY_DEFAULT_POLICY__REQUESTS_PER_MIN="7", GATEWAY_DEFAULT_POLICY__IMAGES_PER_MIN="0")

    assert (settings.default_policy.requests_per_min, settings.default_policy.images_per_min) == (7, 0)


@pytest.mark.parametrize(
    "host",
    ["0.0.0.0", "::", "10.0.0.7", "gateway.example.com", "127.0.0.1.example.com"],  # noqa: S104 - refused
)
def test_an_open_gateway_listens_beyond_loopback_only_on_request(load: Load, host: str) -> None:
    assert "GATEWAY_ALLOW_OPEN=true" in refusal(load, GATEWAY_HOST=host)
    assert "GATEWAY_PUBLIC_URL is required" in refusal(load, GATEWAY_HOST=host, GATEWAY_ALLOW_OPEN="true")

    settings = load(
        GATEWAY_HOST=host, GATEWAY_ALLOW_OPEN="true", GATEWAY_PUBLIC_URL="https://images.example.com"
    )

    assert not settings.is_loopback
    with pytest.raises(SettingsError, match="OPENAI_API_KEY"):
        assert settings.uses_sandbox


@pytest.mark.parametrize("origins", ["*", "https://app.corp, *"])
def test_an_open_gateway_lets_no_page_of_any_origin_call(load: Load, origins: str) -> None:
    message = refusal(load, GATEWAY_CORS_ORIGINS=origins)

    assert "https://app.corp" in message
    assert "GATEWAY_AUTH=keys" in message
    assert "*" in load(GATEWAY_CORS_ORIGINS=origins, GATEWAY_AUTH="keys").known_origins


def test_origins_are_as_browsers_send_them(load: Load) -> None:
    origins = "https://App.corp, http://localhost:3000,http://[::1]:8443 , chrome-extension://abcdef,"

    assert load(GATEWAY_CORS_ORIGINS=origins).known_origins == {
        "https://app.corp",
        "http://localhost:3000",
        "http://[::1]:8443",
        "chrome-extension://abcdef",
    }


def test_beyond_loopback_the_sandbox_must_be_chosen(load: Load) -> None:
    beyond = {"GATEWAY_HOST": "10.0.0.7", "GATEWAY_ALLOW_OPEN": "true", "GATEWAY_PUBLIC_URL": "https://x"}

    assert load(**beyond, GATEWAY_SANDBOX="true").uses_sandbox
    assert not load(**beyond, OPENAI_API_KEY="sk-x").uses_sandbox
    assert not load(**beyond, OPENAI_BASE_URL="http://x/v1").uses_sandbox


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_the_sandbox_never_replaces_a_provider(load: Load, host: str) -> None:
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


def test_the_provider_is_set_by_the_variables_of_its_sdks(load: Load) -> None:
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
    "url",
    ["http:///v1", "http:v1", "http://a b/v1", f"http://{CANARY}@a/v1", "ftp://a", "http://a:b/v1", "a"],
)
def test_a_provider_needs_the_url_of_a_server(load: Load, url: str) -> None:
    said = refusal(load, OPENAI_BASE_URL=url)

    assert said.startswith("OPENAI_BASE_URL: must be an http(s) URL without credentials")
    assert CANARY not in said


@pytest.mark.parametrize("url", ["http://[::1]:8000/v1", "https://bücher.example/v1", "http://my_server/v1"])
def test_a_provider_may_be_any_server(load: Load, url: str) -> None:
    assert load(OPENAI_BASE_URL=url).provider_url == url


@pytest.mark.parametrize(
    ("variable", "field", "value"),
    [
        ("GATEWAY_SECRETS", "secrets", f"{SECRET},{SECRET}"),
        ("GATEWAY_REDIS_URL", "redis_url", f"redis://:{SECRET}@redis:6379/0"),
        ("OPENAI_API_KEY", "openai_api_key", f"sk-{SECRET}"),
    ],
)
def test_a_secret_may_be_in_a_file(load: Load, tmp_path: Path, variable: str, field: str, value: str) -> None:
    path = tmp_path / "secret"
    path.write_text(f"{value}\n")

    settings = load(**{f"{variable}_FILE": str(path)})

    assert getattr(settings, field).get_secret_value() == value


@pytest.mark.parametrize("variable", ["GATEWAY_SECRETS_FILE", "OPENAI_API_KEY_FILE", "GATEWAY_CONFIG"])
def test_a_binary_file_is_refused_by_name(load: Load, tmp_path: Path, variable: str) -> None:
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


def test_only_provider_variables_like_ours_are_reported_as_unknown() -> None:
    given = ["OPENAI_BASEURL", "OPENAI_LOG", "OPENAI_API_KEY", "OPENAI_API_KEY_FILE", "OPENAI_API_BASE"]

    assert unknown_variables(dict.fromkeys(given, "")) == ["OPENAI_API_BASE", "OPENAI_BASEURL"]


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [
        ("GATEWAY_PROT", "GATEWAY_PORT"),
        ("GATEWAY_REDIS", "GATEWAY_REDIS_URL"),
        ("GATEWAY_SECRET_FILE", "GATEWAY_SECRETS_FILE"),
        ("GATEWAY_JWT_ISSUER", "GATEWAY_JWT__ISSUER"),
        ("GATEWAY_JWTS__ISSUER", "GATEWAY_JWT__ISSUER"),
        ("GATEWAY_COLOUR", None),
        ("GATEWAY_OPENAI_KEY", None),
        ("OPENAI_BASEURL", "OPENAI_BASE_URL"),
        ("OPENAI_APIKEY", "OPENAI_API_KEY"),
        ("OPEN_API_KEY", "OPENAI_API_KEY"),
        ("OPENAI_API_BASE", "OPENAI_BASE_URL"),
        ("OPENAI_ORGANIZATION", "OPENAI_ORG_ID"),
        ("OPENAI_LOG", None),
        ("OPENAI_WEBHOOK_SECRET", None),
    ],
)
def test_a_misspelt_variable_has_a_nearest_only_where_one_is_near(misspelt: str, meant: str | None) -> None:
    assert nearest_variable(misspelt) == meant


def test_a_misspelt_member_of_a_group_is_refused_with_its_nearest(load: Load) -> None:
    said = refusal(load, GATEWAY_JWT__ISSUR=CANARY)

    assert said == "GATEWAY_JWT__ISSUR: there is no such setting; did you mean GATEWAY_JWT__ISSUER?"


JWT = {
    "GATEWAY_JWT__ISSUER": "https://login.example.com/",
    "GATEWAY_JWT__AUDIENCE": "image-gateway",
    "GATEWAY_JWT__JWKS": "https://login.example.com/keys",
}
BEYOND = {"GATEWAY_HOST": "10.0.0.7", "GATEWAY_PUBLIC_URL": "https://images.example.com"}


@pytest.mark.parametrize("auth", ["open", "keys", "jwt", "keys,jwt"])
def test_every_way_to_authenticate_can_be_chosen(load: Load, auth: str) -> None:
    settings = load(GATEWAY_AUTH=auth, **(JWT if "jwt" in auth else {}))

    assert (settings.auth, settings.is_open) == (auth, auth == "open")


@pytest.mark.parametrize("auth", ["key", "KEYS", "jwt,keys", "keys jwt", "keys,jwt,open"])
def test_no_other_word_switches_authentication_on_or_off(load: Load, auth: str) -> None:
    assert "GATEWAY_AUTH: Input should be 'open', 'keys', 'jwt' or 'keys,jwt'" in refusal(
        load, GATEWAY_AUTH=auth
    )


@pytest.mark.parametrize("auth", ["jwt", "keys,jwt"])
@pytest.mark.parametrize("missing", JWT)
def test_tokens_need_an_issuer_an_audience_and_its_keys(load: Load, auth: str, missing: str) -> None:
    given = {name: value for name, value in JWT.items() if name != missing}

    assert refusal(load, GATEWAY_AUTH=auth, **given) == f"GATEWAY_AUTH={auth} requires {missing}"


def test_all_missing_settings_of_an_identity_provider_are_named_at_once(load: Load) -> None:
    assert all(name in refusal(load, GATEWAY_AUTH="jwt") for name in JWT)


@pytest.mark.parametrize("content", [None, "", "{}", '{"keys": []}'])
def test_a_file_without_keys_is_a_mistake_before_anything_starts(
    load: Load, tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "keys.json"
    if content is not None:
        path.write_text(content, "utf-8")

    for place in (str(path), path.as_uri()):
        with pytest.raises(SettingsError, match=r"^GATEWAY_JWT__JWKS: [^\n]+$"):
            check_settings(load(**{**JWT, "GATEWAY_AUTH": "jwt", "GATEWAY_JWT__JWKS": place}))


def test_a_file_with_a_key_is_accepted(load: Load, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(key_set(ec_key()))

    check_settings(load(**{**JWT, "GATEWAY_AUTH": "jwt", "GATEWAY_JWT__JWKS": str(path)}))


@pytest.mark.parametrize("algorithms", ["HS256", "RS256,none", "rs256"])
def test_a_forbidden_algorithm_is_named_with_its_variable(load: Load, algorithms: str) -> None:
    with pytest.raises(SettingsError, match=r"^GATEWAY_JWT__ALGORITHMS: .*RS256"):
        check_settings(load(**{**JWT, "GATEWAY_AUTH": "jwt", "GATEWAY_JWT__ALGORITHMS": algorithms}))


def test_an_identity_provider_does_not_affect_keys(load: Load) -> None:
    assert load(GATEWAY_AUTH="keys").jwt.issuer == ""
    assert not load(GATEWAY_AUTH="keys", **JWT).is_open


def test_a_misspelt_member_of_a_group_is_refused(load: Load) -> None:
    assert "GATEWAY_JWT__ISUER" in refusal(load, GATEWAY_JWT__ISUER=CANARY)
    assert "GATEWAY_JWT" in refusal(load, GATEWAY_JWT=CANARY)


@pytest.mark.parametrize("auth", ["keys", "jwt", "keys,jwt"])
def test_with_credentials_a_gateway_may_listen_beyond_loopback(load: Load, auth: str) -> None:
    given = {**JWT, **BEYOND, "GATEWAY_AUTH": auth}

    assert not load(**given).is_loopback
    del given["GATEWAY_PUBLIC_URL"]
    assert "GATEWAY_PUBLIC_URL is required" in refusal(load, **given)


@pytest.mark.parametrize("auth", ["keys", "jwt", "keys,jwt"])
def test_with_credentials_a_shared_redis_needs_shared_secrets(load: Load, auth: str) -> None:
    given = {**JWT, "GATEWAY_AUTH": auth, "GATEWAY_REDIS_URL": "redis://redis/0"}

    assert "GATEWAY_SECRETS is required" in refusal(load, **given)
    assert load(**given, GATEWAY_SECRETS=SECRET).secrets is not None


def test_an_open_gateway_on_loopback_makes_its_secrets_itself(load: Load) -> None:
    assert load(GATEWAY_REDIS_URL="redis://redis/0").secrets is None


def test_the_sandbox_never_replaces_a_provider_with_authentication(load: Load) -> None:
    with pytest.raises(SettingsError, match="OPENAI_API_KEY"):
        assert load(GATEWAY_AUTH="keys").uses_sandbox

    assert load(GATEWAY_AUTH="keys", GATEWAY_SANDBOX="true").uses_sandbox


@pytest.mark.parametrize("variable", ["GATEWAY_ADMIN_KEY", "GATEWAY_METRICS_KEY"])
@pytest.mark.parametrize(
    "value", [CANARY, SECRET[:-1], f"{SECRET}\n", f"{SECRET}\t{CANARY}", f"{SECRET}\x7f"]
)
def test_an_operators_key_must_be_long_and_one_line(load: Load, variable: str, value: str) -> None:
    message = refusal(load, **{variable: value})

    assert message == f"{variable}: must be 16 to 512 ASCII characters without spaces"


@pytest.mark.parametrize("field", ["admin_key", "metrics_key"])
def test_an_operators_key_may_be_in_a_file(load: Load, tmp_path: Path, field: str) -> None:
    path = tmp_path / "key"
    path.write_text(f"{SECRET}\n")

    settings = load(**{f"GATEWAY_{field.upper()}_FILE": str(path)})

    assert getattr(settings, field).get_secret_value() == SECRET
    assert SECRET not in repr(settings)
    assert load().model_dump()[field] is None


def test_operators_keys_and_token_settings_are_known_variables() -> None:
    given = [*JWT, "GATEWAY_ADMIN_KEY", "GATEWAY_ADMIN_KEY_FILE", "GATEWAY_METRICS_KEY_FILE"]

    assert unknown_variables(dict.fromkeys([*given, "GATEWAY_JWT_ISSUER"], "")) == ["GATEWAY_JWT_ISSUER"]


def test_every_limit_of_the_default_policy_is_a_variable(load: Load) -> None:
    limits = ("requests_per_min", "images_per_min", "images_per_day", "images_in_flight")
    names = [*limits, "budget_per_month_microusd"]

    settings = load(**{f"GATEWAY_DEFAULT_POLICY__{name.upper()}": "7" for name in names})

    assert [getattr(settings.default_policy, name) for name in names] == [7] * 5


def test_the_highest_limits_an_admin_may_enter_may_be_set(load: Load) -> None:
    settings = load(
        GATEWAY_DEFAULT_POLICY__IMAGES_PER_DAY=str(MOST_COUNTED),
        GATEWAY_DEFAULT_POLICY__BUDGET_PER_MONTH_MICROUSD=str(MOST_MICROUSD),
    )

    assert settings.default_policy.images_per_day == MOST_COUNTED
    assert settings.default_policy.budget_per_month_microusd == MOST_MICROUSD


FILE = """\
# Who may do what.
[backend]
name = "openai"

[policies.small]
images_per_day = 20
models = [
  "dall-e-2",
  "dall-e-3",
]
max_size = "1024x1024"

[policies]
wide = { images_per_min = 60, max_n = 10 }

[teams]
sales = { policy = "small" }
design.policy = "wide"
design.user_policy = "small"
research.closed = false
"""


def with_line(number: int, line: str) -> str:
    """Return the file with line *number*, counted from 1, replaced."""
    lines = FILE.splitlines(keepends=True)
    lines[number - 1] = f"{line}\n"
    return "".join(lines)


def test_policies_and_teams_are_read_from_the_file(load: Load, tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(FILE)

    file = load(GATEWAY_CONFIG=str(path)).file

    assert len(FILE.splitlines()) == 20
    assert set(file.policies) == {"small", "wide"}
    small = file.policies["small"]
    assert (small.images_per_day, small.requests_per_min, small.max_n) == (20, 0, 0)
    assert (small.models, small.max_size) == (["dall-e-2", "dall-e-3"], "1024x1024")
    assert (small.cache, small.cache_scope, small.equal_orders) == ("on", None, "differ")
    design = file.teams["design"]
    assert (design.policy, design.user_policy, design.closed) == ("wide", "small", False)


@pytest.mark.parametrize(
    ("number", "line", "field", "says"),
    [
        (1, 'title = "mine"', "title", "there are backend, backends, moderation, policies, teams, models"),
        (3, 'title = "openai"', "backend.title", "there are name, images_per_min, pass_unknown"),
        (6, "images_per_day = -1", "policies.small.images_per_day", "greater than or equal to 0"),
        (6, "images_per_day = 1.5", "policies.small.images_per_day", "valid integer"),
        (6, "image_per_day = 20", "policies.small.image_per_day", "did you mean images_per_day?"),
        (6, '"images_per_day" = -1 # a quoted key', "policies.small.images_per_day", "greater than"),
        (6, "inner.images_per_day = 1", "policies.small.inner", "there is no such name"),
        (11, 'max_size = "1024"', "policies.small.max_size", "a size such as 1536x1024"),
        (11, 'max_size = "0x1024"', "policies.small.max_size", "a size such as 1536x1024"),
        (11, 'cache = "sometimes"', "policies.small.cache", "'on' or 'off'"),
        (11, 'cache_scope = "all"', "policies.small.cache_scope", "'user' or 'team'"),
        (11, 'equal_orders = "merge"', "policies.small.equal_orders", "'differ' or 'share'"),
        (14, "wide = { images_per_min = 60, max_n = 11 }", "policies.wide.max_n", "less than or equal to 10"),
        (14, "wide = { images_per_min = -60 }", "policies.wide.images_per_min", "greater than or equal to 0"),
        (
            6,
            f"images_per_day = {10**9 + 1}",
            "policies.small.images_per_day",
            "less than or equal to 1000000000",
        ),
        (6, f"requests_per_min = {10**30}", "policies.small.requests_per_min", "less than or equal to"),
        (
            6,
            f"budget_per_month_microusd = {10**15 + 1}",
            "policies.small.budget_per_month_microusd",
            "less than or equal to 1000000000000000",
        ),
        (3, f"images_per_min = {10**400}", "backend.images_per_min", "less than or equal to 1000000000"),
        (14, "wide = 3", "policies.wide", "valid dictionary"),
        (17, 'sales = { policy = "Small" }', "teams.sales.policy", "1 to 40 of a-z"),
        (17, 'sales = { polizy = "small" }', "teams.sales.polizy", "did you mean policy?"),
        (17, 'sales = { policy = "lost" }', "teams.sales.policy", "there is no [policies.lost]"),
        (18, 'design.policy = "lost"', "teams.design.policy", "there is no [policies.lost]"),
        (19, 'design.user_policy = "lost"', "teams.design.user_policy", "there is no [policies.lost]"),
        (19, 'design.owner = "ann"', "teams.design.owner", "there are policy, user_policy, closed"),
        (20, "research.closed = 3", "teams.research.closed", "boolean"),
        (20, '"Re Search".closed = true', "teams.Re Search", "1 to 40 of a-z"),
        (20, f"{'r' * 41}.closed = true", f"teams.{'r' * 41}", "1 to 40 of a-z"),
        (5, "[policies.Small]", "policies.Small", "1 to 40 of a-z"),
        (5, "[policies.none]", "policies.none", ": no policy may be called 'none'"),
    ],
)
def test_a_mistake_in_the_file_names_its_line_and_field(
    load: Load, tmp_path: Path, number: int, line: str, field: str, says: str
) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(with_line(number, line))

    problems = [
        problem
        for problem in refusal(load, GATEWAY_CONFIG=str(path)).splitlines()
        if problem.startswith(f"{path}, line {number}: {field}")
    ]

    assert len(problems) == 1
    assert says in problems[0]


@pytest.mark.parametrize(("number", "line"), [(8, "  2,"), (9, "  3,")])
def test_a_mistake_in_an_array_names_the_line_of_the_element(
    load: Load, tmp_path: Path, number: int, line: str
) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(with_line(number, line))

    message = refusal(load, GATEWAY_CONFIG=str(path))

    assert (
        message
        == f"{path}, line {number}: policies.small.models.{number - 8}: Input should be a valid string"
    )


def test_the_line_is_right_with_line_ends_of_windows_and_text_of_many_lines(
    load: Load, tmp_path: Path
) -> None:
    path = tmp_path / "gateway.toml"
    path.write_bytes(
        b'[moderation]\r\nwords = [\r\n"""\r\n[policies.p]\r\nmax_n = 99\r\n"""\r\n]\r\n'
        b"\r\n[policies.p]\r\nmax_n = 99\r\n"
    )

    assert f"{path}, line 10: policies.p.max_n: " in refusal(load, GATEWAY_CONFIG=str(path))


def test_every_mistake_in_the_file_has_a_line_of_its_own(load: Load, tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(with_line(6, "images_per_day = -1").replace("max_n = 10", "max_n = 11"))

    lines = refusal(load, GATEWAY_CONFIG=str(path)).splitlines()

    assert [line.partition(": ")[0] for line in lines] == [f"{path}, line 6", f"{path}, line 14"]


@pytest.mark.parametrize(
    ("number", "line", "says"),
    [
        (20, "[teams.design]", "('teams', 'design')"),
        (20, 'design.policy = "small"', "overwrite a value"),
        (20, "research.closed = yes", "Invalid value"),
    ],
)
def test_a_team_that_is_declared_twice_and_bad_toml_name_file_and_line(
    load: Load, tmp_path: Path, number: int, line: str, says: str
) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(with_line(number, line))

    message = refusal(load, GATEWAY_CONFIG=str(path))

    assert message.startswith(f"{path}: ")
    assert f"(at line {number}, column " in message
    assert says in message


@pytest.mark.parametrize(
    "url",
    [
        "redis+cluster://:pass@a:7000,b:7001",
        "rediss+sentinel://a:26379,b/mymaster/0?sentinel_password=x",
        "unix:///run/redis.sock",
    ],
)
def test_redis_may_be_one_server_a_cluster_or_behind_sentinels(load: Load, url: str) -> None:
    settings = load(GATEWAY_REDIS_URL=url)

    assert settings.redis_url is not None
    assert settings.redis_url.get_secret_value() == url


@pytest.mark.parametrize(
    "url", ["redis:", "redis://", "redis://?db=1", "unix://", "redis+cluster://", "redis+sentinel:///primary"]
)
def test_a_redis_url_that_leads_nowhere_is_refused(load: Load, url: str) -> None:
    assert "GATEWAY_REDIS_URL" in refusal(load, GATEWAY_REDIS_URL=url)


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        (f"http://:{CANARY}@redis:6379/0", "redis://, rediss://, unix://"),
        (f"redis+other://:{CANARY}@a", "redis+sentinel://"),
        (f"redis://:{CANARY}@redis:port/0", "host:port, with a port of 1 to 65535"),
        (f"redis+sentinel://:{CANARY}@a:26379", "redis+sentinel://host:26379/<name>"),
        (f"redis+cluster://:{CANARY}@a:x", "host:port, with a port of 1 to 65535"),
    ],
)
def test_a_redis_url_of_an_unknown_form_is_refused_with_a_hint(load: Load, url: str, hint: str) -> None:
    settings = load(GATEWAY_REDIS_URL=url)

    with pytest.raises(SettingsError) as refused:
        check_settings(settings)

    assert str(refused.value).startswith("GATEWAY_REDIS_URL: ")
    assert hint in str(refused.value)
    assert CANARY not in str(refused.value)


S3 = {"GATEWAY_STORE_URL": "s3://images/here", "GATEWAY_STORE_ENDPOINT": "http://minio:9000"}


def test_an_s3_store_is_described_by_its_settings(load: Load) -> None:
    assert load().store_options == {}
    assert load(**S3).store_options == {"endpoint": "http://minio:9000"}


def test_the_keys_of_a_store_may_come_from_files_and_are_not_shown(load: Load, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(f"{CANARY}\n")

    settings = load(**S3, GATEWAY_STORE_ACCESS_KEY_ID="key-1", GATEWAY_STORE_SECRET_ACCESS_KEY_FILE=str(path))

    assert settings.store_options["secret_access_key"] == CANARY
    assert CANARY not in settings.model_dump_json()
    assert CANARY not in repr(settings)


def test_the_keys_of_a_store_must_be_set_together(load: Load) -> None:
    assert "GATEWAY_STORE_SECRET_ACCESS_KEY" in refusal(load, **S3, GATEWAY_STORE_ACCESS_KEY_ID="key-1")


def test_nginx_in_front_sends_the_files_of_a_directory_only(load: Load, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(f"{SECRET}\n")

    for place in ({}, {"GATEWAY_STORE_URL": "file:///images"}):
        settings = load(**place, GATEWAY_STORE_FRONT_KEY_FILE=str(path))
        assert settings.store_front_key is not None
        assert settings.store_front_key.get_secret_value() == SECRET
        assert SECRET not in repr(settings)
    refused = refusal(load, **S3, GATEWAY_STORE_FRONT_KEY=SECRET)
    assert "GATEWAY_STORE_FRONT_KEY goes with a directory" in refused
    assert "GATEWAY_STORE_REDIRECT_S" in refused
    assert SECRET not in refused


def test_hosts_to_download_from_are_a_list(load: Load) -> None:
    assert load().trusted_hosts == []
    assert load(GATEWAY_DOWNLOAD_HOSTS=" cdn.corp:8443, ,files.corp").trusted_hosts == [
        "cdn.corp:8443",
        "files.corp",
    ]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("GATEWAY_DOWNLOAD_HOSTS", f"https://{CANARY}/path"),
        ("GATEWAY_STORE_URL", "s3://"),
        ("GATEWAY_STORE_URL", CANARY),
        ("GATEWAY_STORE_URL", f"ftp://{CANARY}/files"),
    ],
)
def test_a_setting_that_cannot_be_opened_is_named_before_the_start(
    load: Load, variable: str, value: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        check_settings(load(**{variable: value}))

    assert variable in str(refused.value)
    assert CANARY not in str(refused.value)


def test_every_fault_of_a_model_is_reported_with_its_remedy(load: Load, tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(
        '[models."my-model"]\nfamily = "gpt-image"\nprompt_limt = 4000\nsizes = { fixed = "auto" }\n'
    )

    with pytest.raises(SettingsError) as refused:
        check_settings(load(GATEWAY_CONFIG=str(path)))

    assert str(refused.value).splitlines() == [
        f"{path}: models.my-model: prompt_limt is no field (did you mean prompt_limit?)",
        f"{path}: models.my-model: released is missing: a date such as 2026-01-31",
        f"{path}: models.my-model: sizes.fixed must be a list, not a string",
    ]


def test_the_example_of_an_own_model_is_accepted(load: Load) -> None:
    settings = load(GATEWAY_CONFIG=str(REPOSITORY / "deploy/models.toml.example"))

    check_settings(settings)

    assert list(settings.file.models) == ["my-model", "dall-e-3"]


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"])
@pytest.mark.parametrize("value", ["sk-abcdefgh\u201d", "a\nb: c"])
def test_characters_that_no_header_can_carry_are_refused_at_the_start(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"{name}: must be one line of ASCII characters"):
        load_settings({"OPENAI_API_KEY": "sk-ours", name: value})
