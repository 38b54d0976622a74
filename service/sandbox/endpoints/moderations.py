"""Answer POST /v1/moderations: flag texts, free of charge.

Owns the JSON of the answer. It flags the same words that orders are refused for.
"""

import secrets

from starlette.responses import Response

from service.sandbox.answers.keys import check_account
from service.sandbox.journal.journaled_requests import JournaledRequest
from service.sandbox.parts import Sandbox
from service.sandbox.wire.error_envelope import empty_array, missing_parameter, unknown_parameter, wrong_type
from service.sandbox.wire.fields import read_optional_text
from service.sandbox.wire.json_bodies import read_object, to_response

_CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)
_FLAGGED = "violence"  # as in `moderation_blocked`
_DEFAULT_MODEL = "omni-moderation-latest"


async def moderate(sandbox: Sandbox, journaled: JournaledRequest) -> Response:
    """Flag one or several strings, each by itself; scripted failures do not apply."""
    fields = await read_object(journaled.request)
    check_account(sandbox, journaled)
    journaled.entry.describe(fields)
    for name in fields:
        if name not in {"input", "model"}:
            raise unknown_parameter(name)
    texts = _read_texts(fields.get("input"))
    journaled.entry.prompt = "\n".join(texts)
    model = read_optional_text(fields, "model") or _DEFAULT_MODEL
    results = [_to_result(is_flagged=journaled.behaviour.is_refused(text)) for text in texts]
    return to_response({"id": f"modr-{secrets.token_hex(16)}", "model": model, "results": results})


def _read_texts(value: object) -> list[str]:
    """Return the strings; unlike the API, the sandbox takes no images here."""
    if value is None:
        raise missing_parameter("input")
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise wrong_type("input", "a string or an array of strings", value)
    if not texts:
        raise empty_array("input")
    return texts


def _to_result(*, is_flagged: bool) -> dict[str, object]:
    flags = {category: is_flagged and category == _FLAGGED for category in _CATEGORIES}
    return {
        "flagged": is_flagged,
        "categories": flags,
        "category_scores": {category: 0.98 if flag else 0.0001 for category, flag in flags.items()},
        "category_applied_input_types": {category: ["text"] for category in _CATEGORIES},
    }
