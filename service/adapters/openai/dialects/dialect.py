"""Speak the OpenAI Images API as OpenAI does: the base of every dialect. A kind of server that deviates overrides that."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx

from service.adapters.openai import wire
from service.adapters.openai.address import BackendAddress
from service.adapters.openai.error_bodies import find_any_error, find_openai_error
from service.adapters.openai.failures import ALL_ROWS, ROWS, Reading, classify_answer
from service.domain.failures import CallFailure
from service.domain.images import ImageCall, Operation

_VERSION = re.compile(r"v\d\w*")


class Dialect:
    """Turns calls into requests to one server, and reads its answers."""

    takes_json_edits = True
    """An edit with `moderation` is JSON: the form has no such field (API reference, 2026-11)."""
    read_images = staticmethod(wire.decode_answer)
    """Reads a 200 for a number of asked images; raises `wire.NotUnderstood`."""
    always_lists = False
    """It has `GET /models`, so that a 404 means a wrong address."""

    def __init__(self, address: BackendAddress) -> None:
        self.address = address
        self.base = address.url.rstrip("/")
        takes_any = address.errors == "any"
        self.reading = Reading(
            find_error=find_any_error if takes_any else find_openai_error,
            rows=ALL_ROWS if takes_any else ROWS,
            answers_for_itself=address.answers_for_itself,
        )

    @property
    def headers(self) -> dict[str, str]:
        """The headers of every request: those of the operator, and those that authenticate the gateway."""
        return {
            "accept": "application/json",
            "user-agent": "image-gateway",
            **{name.lower(): value for name, value in self.address.headers.items()},
            # Images do not compress, and a compressed answer could be a bomb.
            "accept-encoding": "identity",
            **self.credentials,
        }

    @property
    def credentials(self) -> dict[str, str]:
        """The headers that authenticate the gateway."""
        address = self.address
        named = {
            "authorization": address.api_key and f"Bearer {address.api_key}",
            "openai-organization": address.organization,
            "openai-project": address.project,
        }
        return {name: value for name, value in named.items() if value}

    @property
    def lacks_version(self) -> bool:
        """Tell if the base URL has no segment like `v1`, which is then the likely reason for a 404."""
        return not any(_VERSION.fullmatch(segment) for segment in urlsplit(self.base).path.split("/"))

    def name_of(self, model: str) -> str:
        """Return the name there of a model of the catalogue."""
        served = (self.address.models or {}).get(model)
        return served.name if served else model

    def url_of(self, path: str, model: str = "") -> httpx.URL:
        """Return the address of *path*, such as `images/edits`; an order's is for *model*, as the catalogue names it."""
        return httpx.URL(f"{self.base}/{path}")

    def fields_of(self, call: ImageCall) -> dict[str, Any]:
        """Return the fields of the body of *call*, but for its files.

        Models that take `response_format` are older than `safety_identifier` (SDK changelog, 2026-10-16).
        """
        identifier = "user" if "response_format" in call.parameters else "safety_identifier"
        return {"model": self.name_of(call.model), **list_fields(call, identifier)}

    def read_failure(self, status: int, headers: Mapping[str, str], body: bytes | bytearray) -> CallFailure:
        """Classify any other answer."""
        return classify_answer(status, headers, wire.decode_json(body), self.reading)


def list_fields(call: ImageCall, identifier: str) -> dict[str, Any]:
    """Return the fields of *call* but for its model, with its caller as *identifier*."""
    streaming = {"stream": True, "partial_images": call.partial_images} if call.partial_images else {}
    return {
        # Variations never took one, and refuse it.
        **({} if call.operation is Operation.VARY else {"prompt": call.prompt}),
        "n": call.n,
        **call.parameters,
        **streaming,
        identifier: call.safety_identifier,
    }
