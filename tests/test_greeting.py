"""Check the greeting of a gateway: places and commands, without secrets."""

from pathlib import Path

import pytest

from service.adapters.storage.troubleshooting import advise, place_of
from service.serve.greeting import write_greeting
from service.settings.environment import load_settings
from service.wiring.process import BackingServices

SECRET = "0123456789abcdef"


def greeting(metrics_port: int | None = None, /, **variables: str) -> str:
    backing = BackingServices(
        redis_url="",
        sandbox_url=None,
        public_url="http://here",
        secrets=(SECRET,),
        metrics_port=metrics_port,
    )
    return write_greeting(load_settings({"GATEWAY_SANDBOX": "true", **variables}), backing)


def test_the_greeting_has_the_places_of_files_and_secrets(tmp_path: Path) -> None:
    local = greeting(GATEWAY_DATA_DIR=str(tmp_path))
    remote = greeting(
        GATEWAY_DATA_DIR=str(tmp_path),
        GATEWAY_SECRETS=SECRET,
        GATEWAY_STORE_URL="s3://pictures/shop",
        GATEWAY_STORE_ENDPOINT="http://minio:9000",
    )

    assert f"images in {tmp_path}/files, secret in {tmp_path}/secret" in local
    assert "images in s3://pictures/shop at http://minio:9000, secrets from GATEWAY_SECRETS" in remote
    assert str(tmp_path) not in remote
    assert SECRET not in local + remote


def test_the_greeting_has_the_place_of_metrics() -> None:
    assert "metrics  http://here/metrics\n" in greeting()
    assert "metrics  port 9090, /metrics\n" in greeting(9090)


def test_a_place_has_no_credentials() -> None:
    assert place_of("s3://key:canary@pictures/shop?sig=canary#canary", {}) == "s3://pictures/shop"


@pytest.mark.parametrize("reason", ["denied", "missing", "timeout", "other"])
def test_advice_names_a_setting(reason: str) -> None:
    assert "GATEWAY_STORE_" in advise(reason, "s3://pictures")
    assert "GATEWAY_STORE_ENDPOINT" not in advise(reason, "file:///pictures")


def test_with_keys_the_greeting_shows_how_to_create_and_use_one() -> None:
    told = greeting(GATEWAY_AUTH="keys")

    key, order = (
        next(line for line in told.splitlines() if line.startswith(name)) for name in ("  key", "  try")
    )
    assert key.startswith("  key      KEY=$(GATEWAY_AUTH=keys ")
    assert key.endswith("keys create --team demo --user me)")
    assert '-H "Authorization: Bearer $KEY"' in order


def test_secrets_that_a_command_needs_are_named_and_not_shown() -> None:
    told = greeting(GATEWAY_AUTH="keys", GATEWAY_REDIS_URL=f"redis://:{SECRET}@there", GATEWAY_SECRETS=SECRET)

    assert "create keys with the same GATEWAY_REDIS_URL and GATEWAY_SECRETS" in told
    assert SECRET not in told


def test_with_tokens_the_greeting_shows_a_token_and_no_key() -> None:
    issuer = {"ISSUER": "https://issuer", "AUDIENCE": "images", "JWKS": "https://issuer/keys"}
    told = greeting(GATEWAY_AUTH="jwt", **{f"GATEWAY_JWT__{name}": value for name, value in issuer.items()})

    assert "keys create" not in told
    assert "Bearer $TOKEN" in told
