"""Write the greeting of a started gateway: its address, its services and first commands."""

from service.adapters.storage.troubleshooting import place_of
from service.serve.program import command_on
from service.settings.variables import Settings
from service.wiring.process import BackingServices

_AUTH = {
    "open": "everyone who reaches this port (GATEWAY_AUTH=open)",
    "keys": "with an API key (GATEWAY_AUTH=keys)",
    "jwt": "with a token of GATEWAY_JWT__ISSUER (GATEWAY_AUTH=jwt)",
    "keys,jwt": "with an API key or a token of GATEWAY_JWT__ISSUER (GATEWAY_AUTH=keys,jwt)",
}


def write_greeting(settings: Settings, backing: BackingServices) -> str:
    """Return the gateway's address, the services it uses, and first commands."""
    url = backing.public_url
    backend = (
        "sandbox (free test images; set OPENAI_API_KEY for real ones)"
        if backing.sandbox_url
        else ", ".join(f"{each.name} ({each.url})" for each in settings.file.backends)
        or settings.provider_url
    )
    state = "embedded Valkey" if settings.redis_url is None else "GATEWAY_REDIS_URL"
    files = (
        f"{settings.data_dir}/files"
        if settings.store_url is None
        else place_of(settings.store_url, settings.store_options)
    )
    secrets = (
        f"secret in {settings.data_dir}/secret"
        if settings.secrets is None
        else "secrets from GATEWAY_SECRETS"
    )
    metrics = f"{url}/metrics" if backing.metrics_port is None else f"port {backing.metrics_port}, /metrics"
    return f"""Image Gateway is ready at {url}
  backend  {backend}
  state    {state}, images in {files}, {secrets}
  callers  {_write_callers(settings)}
  page     {url}/      docs  {url}/docs      metrics  {metrics}
{_write_key(settings)}  try      curl {url}/v1/images/generations {_credentials(settings)}-H 'Content-Type: application/json' \\
             -d '{{"model": "dall-e-3", "prompt": "a white siamese cat", "n": 2}}'"""


def _credentials(settings: Settings) -> str:
    if settings.is_open:
        return ""
    return f'-H "Authorization: Bearer ${"KEY" if "keys" in settings.auth else "TOKEN"}" '


def _write_key(settings: Settings) -> str:
    """Return the line that gets credentials, if callers need any."""
    if settings.is_open:
        return ""
    if "keys" not in settings.auth:
        return "  token    TOKEN='a token of your identity provider'\n"
    return f"  key      KEY=$({command_on(settings, 'keys create --team demo --user me')})\n"


def _write_callers(settings: Settings) -> str:
    hidden = {"GATEWAY_REDIS_URL": settings.redis_url, "GATEWAY_SECRETS": settings.secrets}
    names = " and ".join(name for name, value in hidden.items() if value is not None)
    where = f"; create keys with the same {names}" if names and "keys" in settings.auth else ""
    return f"{_AUTH[settings.auth]}{where}"
