"""Speak to Azure OpenAI, by deployment in the path (`classic`) or by OpenAI's paths (`v1`).

It has no variations and no moderation endpoint. Edits are forms.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import httpx

from service.adapters.openai.address import BackendAddress
from service.adapters.openai.dialects.dialect import Dialect, list_fields
from service.adapters.openai.error_bodies import find_openai_error
from service.domain.images import ImageCall

_BEFORE_THE_MODEL = (401, 403, 404, 429)


def open_azure(address: BackendAddress) -> Dialect:
    """Return the dialect of the API that the address names."""
    return _Classic(address) if address.api == "classic" else _V1(address)


def find_azure_error(status: int, body: object) -> Mapping[str, Any] | None:
    """Return the error of an envelope, or of `{"statusCode": ..., "message": "..."}`.

    The API management before the model writes the second; its 5xx may come after the call was passed on.
    """
    error = find_openai_error(status, body)
    if error is not None or not isinstance(body, Mapping) or status not in _BEFORE_THE_MODEL:
        return error
    message = body.get("message")
    return {"message": message} if "statusCode" in body and isinstance(message, str) else None


class _V1(Dialect):
    takes_json_edits = False
    always_lists = True
    lacks_version = False

    def __init__(self, address: BackendAddress) -> None:
        super().__init__(address)
        # Azure's portal shows the endpoint with and without the paths that follow it.
        self.base = self.base.removesuffix("/v1").removesuffix("/openai")
        self.reading = replace(self.reading, find_error=find_azure_error)
        self._query = f"?api-version={quote(address.api_version)}" if address.api_version else ""

    @property
    def credentials(self) -> dict[str, str]:
        return {"api-key": self.address.api_key} if self.address.api_key else {}

    def url_of(self, path: str, model: str = "") -> httpx.URL:
        return httpx.URL(f"{self.base}/openai/v1/{path}{self._query}")

    def fields_of(self, call: ImageCall) -> dict[str, Any]:
        return {"model": self.name_of(call.model), **list_fields(call, "user")}


class _Classic(_V1):
    def url_of(self, path: str, model: str = "") -> httpx.URL:
        deployment = f"deployments/{quote(self.name_of(model), safe='')}/" if model else ""
        return httpx.URL(f"{self.base}/openai/{deployment}{path}{self._query}")

    def fields_of(self, call: ImageCall) -> dict[str, Any]:
        # A model in the body breaks gpt-image-2 behind the path of a deployment (BerriAI/litellm#26316, 2026).
        return list_fields(call, "user")
