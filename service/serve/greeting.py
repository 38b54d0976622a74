"""What the supervisor tells a person once it serves."""

from service.adapters.store_advice import place_of
from service.settings.variables import Settings
from service.wiring.ground import Surroundings

_AUTH = {
    "open": "anybody who reaches this port (GATEWAY_AUTH=open)",
    "keys": "with an API key (GATEWAY_AUTH=keys); make one: image-gateway keys create --team TEAM --user USER",
    "jwt": "with a token of GATEWAY_JWT__ISSUER (GATEWAY_AUTH=jwt)",
    "keys,jwt": "with an API key or a token of GATEWAY_JWT__ISSUER (GATEWAY_AUTH=keys,jwt)",
}


def write_greeting(settings: Settings, surroundings: Surroundings) -> str:
    """Return where it is, what it works with, and what to try first."""
    url = surroundings.public_url
    backend = (
        "sandbox (painted test pictures; set OPENAI_API_KEY for real ones)"
        if surroundings.sandbox_url
        else settings.provider_url
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
    credentials = "" if settings.is_open else "-H 'Authorization: Bearer YOUR_KEY' "
    return f"""Image Gateway is ready at {url}
  backend  {backend}
  state    {state}, pictures in {files}, {secrets}
  callers  {_AUTH[settings.auth]}
  page     {url}/      docs  {url}/docs      metrics  {url}/metrics
  try      curl {url}/v1/images/generations {credentials}-H 'Content-Type: application/json' \\
             -d '{{"model": "dall-e-3", "prompt": "a white siamese cat", "n": 2}}'"""
