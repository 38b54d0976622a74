"""POST /v1/moderations: the service's own opinion of a text, asked for by itself and free of charge.

Owns the shape of the answer. The words that are flagged are those that orders are refused for.
"""

import secrets

from starlette.responses import Response

from service.sandbox.fields import read_optional_text
from service.sandbox.refusals import empty_array, missing_parameter, unknown_parameter, wrong_type
from service.sandbox.replies import read_object, to_response
from service.sandbox.visits import Visit

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
_FLAGGED = "violence"  # the same that `moderation_blocked` names
_DEFAULT_MODEL = "omni-moderation-latest"


async def moderate(visit: Visit) -> Response:
    """Judge a string, or several, each by itself; scripted failures are for orders and do not apply."""
    fields = await read_object(visit.request)
    visit.entry.describe(fields)
    for name in fields:
        if name not in {"input", "model"}:
            raise unknown_parameter(name)
    texts = _read_texts(fields.get("input"))
    visit.entry.prompt = "\n".join(texts)
    model = read_optional_text(fields, "model") or _DEFAULT_MODEL
    results = [_to_result(is_flagged=visit.sandbox.conduct.is_refused(text)) for text in texts]
    return to_response({"id": f"modr-{secrets.token_hex(16)}", "model": model, "results": results})


def _read_texts(value: object) -> list[str]:
    """Return what is to be judged; of the richer inputs the API takes, with pictures, there are none here."""
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
