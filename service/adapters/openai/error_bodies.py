"""Find the error object in the body of a failed answer, in the shapes that servers give it. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

FindError = Callable[[int, object], Mapping[str, Any] | None]
"""Takes the status and the decoded body; returns an error with a `message`, or None if the answer is not a complete one."""
_MOST_FAULTS = 5
_MOST_STEPS = 16


def find_openai_error(status: int, body: object) -> Mapping[str, Any] | None:
    """Return the `error` of an OpenAI envelope."""
    error = body.get("error") if isinstance(body, Mapping) else None
    return error if isinstance(error, Mapping) and isinstance(error.get("message"), str) else None


def find_any_error(status: int, body: object) -> Mapping[str, Any] | None:
    """Return the error of any JSON body: an envelope, `{"error": "text"}`, `{"detail": ...}` or another one.

    Without a text of its own it has one that names the status.
    """
    if body is None:
        return None
    error = find_openai_error(status, body)
    if error is not None:
        return error
    fields = body if isinstance(body, Mapping) else {}
    for found in (fields.get("error"), fields.get("detail"), body):
        if isinstance(found, str):
            return {"message": found}
        if isinstance(found, Mapping) and isinstance(found.get("message"), str):
            return {name: found.get(name) for name in ("message", "type", "param", "code")}
        if isinstance(found, Sequence) and (
            faults := [each for each in found[:_MOST_FAULTS] if _is_fault(each)]
        ):
            return _join_faults(faults)
    return {"message": f"The image provider answered {status}."}


def _is_fault(entry: object) -> bool:
    return isinstance(entry, str) or (isinstance(entry, Mapping) and isinstance(entry.get("msg"), str))


def _join_faults(faults: Sequence[str | Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return a list of faults as one error: texts, or what FastAPI finds in a request, without the values that it quotes."""
    texts = [each if isinstance(each, str) else f"{_place_of(each)}: {each['msg']}" for each in faults]
    first = faults[0]
    return {
        "message": "; ".join(texts),
        "param": None if isinstance(first, str) else _place_of(first),
    }


def _place_of(fault: Mapping[str, Any]) -> str:
    place = fault.get("loc")
    steps = place[:_MOST_STEPS] if isinstance(place, Sequence) and not isinstance(place, str) else ()
    return ".".join(str(each) for each in steps if isinstance(each, str | int) and each != "body") or "body"
