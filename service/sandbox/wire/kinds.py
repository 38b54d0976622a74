"""Name the kinds of server that the sandbox imitates, and read the key of a request as each does.

Owns the name of a key: the start of its hash, as the journal and the behaviour of single keys have it.
"""

import hashlib
import re
import secrets
from enum import StrEnum
from uuid import uuid4

from starlette.requests import Request

_NAME_DIGITS = 16
_HASH = re.compile(r"[0-9a-f]{16}|[0-9a-f]{64}")


class Kind(StrEnum):
    """OpenAI itself, a resource of Azure, or a server with the paths of OpenAI and ways of its own."""

    OPENAI = "openai"
    AZURE = "azure"
    COMPATIBLE = "compatible"


def read_key(request: Request, kind: Kind) -> str:
    """Return the bearer token, on Azure also the `api-key`; empty if there is none."""
    if kind is Kind.AZURE and (key := request.headers.get("api-key", "").strip()):
        return key
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def name_key(key: str) -> str:
    """Return 16 hex digits of the SHA-256 of a key."""
    return hashlib.sha256(key.encode()).hexdigest()[:_NAME_DIGITS]


def find_key_name(text: str) -> str:
    """Return the name of a key that is given by its value, its SHA-256 in hex or the first 16 digits of that."""
    return text[:_NAME_DIGITS] if _HASH.fullmatch(text) else name_key(text)


def make_request_id(kind: Kind) -> str:
    return str(uuid4()) if kind is Kind.AZURE else f"req_{secrets.token_hex(16)}"


def to_answer_headers(kind: Kind, request_id: str) -> dict[str, str]:
    """Return the headers of every answer."""
    if kind is Kind.AZURE:
        return {
            "apim-request-id": request_id,
            "x-ms-region": "Sandbox Central",
            "x-ms-request-id": request_id,
            "x-request-id": request_id,
        }
    return {"x-request-id": request_id, "openai-version": "2020-10-01"}
