"""Build the document that the application publishes, without a server."""

from functools import cache
from typing import Any

from service.app import create_app
from service.settings.variables import Settings
from service.wiring.process import BackingServices

PATH = "openapi/openapi.yaml"


@cache
def published() -> dict[str, Any]:
    """Return the document; do not change it."""
    backing = BackingServices(redis_url="", sandbox_url=None, public_url="", secrets=("",))
    return create_app(Settings.model_construct(), backing).openapi()
