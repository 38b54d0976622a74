"""Refuse a request with the error envelope of OpenAI.

Owns the envelope and the refusals that several rules share. Does not decide when to refuse.
Texts, types and codes were captured from OpenAI's Images API until November 2026; a comment marks those that
were not.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum


class ErrorType(StrEnum):
    """The `type` of an envelope."""

    INVALID_REQUEST = "invalid_request_error"
    IMAGE_USER = "image_generation_user_error"
    BILLING = "billing_limit_user_error"
    QUOTA = "insufficient_quota"
    REQUESTS = "requests"
    RATE_LIMIT = "rate_limit_error"
    OVERLOADED = "service_unavailable_error"
    SERVER = "server_error"


class Cause(StrEnum):
    """The reason to refuse a key, for the journal: callers see only what the imitated server says."""

    ACCOUNT = "account"
    MISSING_MODEL = "missing_model"
    RATE_LIMIT = "rate_limit"
    THROTTLE = "throttle"


class Refusal(Exception):
    """Ends a request with the error envelope as its answer; *retry_after_s* is the wait that it asks for."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: ErrorType = ErrorType.INVALID_REQUEST,
        param: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.param = param
        self.code = code
        self.headers: dict[str, str] = {}
        self.details: Mapping[str, object] = {}
        self.cause: Cause | None = None
        self.retry_after_s: float | None = None

    def to_envelope(self) -> dict[str, object]:
        """Return the JSON body; extra members such as `moderation_details` come last."""
        error = {
            "message": self.message,
            "type": self.kind.value,
            "param": self.param,
            "code": self.code,
            **self.details,
        }
        return {"error": error}


# The codes for missing values, wrong types and exceeded ranges come from OpenAI's other endpoints; of the image
# endpoints only `string_above_max_length` was captured.


def missing_parameter(name: str) -> Refusal:
    message = f"Missing required parameter: '{name}'."
    return Refusal(400, message, param=name, code="missing_required_parameter")


def wrong_type(name: str, expected: str, value: object) -> Refusal:
    names = {bool: "a boolean", int: "an integer", float: "a decimal", str: "a string", list: "an array"}
    found = names.get(type(value), "an object")
    message = f"Invalid type for '{name}': expected {expected}, but got {found} instead."
    return Refusal(400, message, param=name, code="invalid_type")


def empty_array(name: str) -> Refusal:
    message = f"Invalid '{name}': empty array. Expected an array with minimum length 1, but got an empty array instead."
    return Refusal(400, message, param=name, code="empty_array")


def array_too_long(name: str, longest: int, found: int) -> Refusal:
    message = (
        f"Invalid '{name}': array too long. Expected an array with maximum length {longest}, "
        f"but got an array with length {found} instead."
    )
    return Refusal(400, message, param=name, code="array_above_max_length")


def unsupported_value(name: str, value: object, supported: Sequence[str]) -> Refusal:
    """Refuse a value outside a closed list."""
    quoted = [f"'{one}'" for one in supported]
    listed = quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])}, and {quoted[-1]}"
    message = f"Invalid value: '{value}'. Supported values are: {listed}."
    return Refusal(400, message, param=name, code="invalid_value")


def unknown_parameter(name: str) -> Refusal:
    return Refusal(400, f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")


def unknown_path(method: str, path: str) -> Refusal:
    return Refusal(404, f"Invalid URL ({method} {path})")


def unsupported_parameter(name: str, model: str) -> Refusal:
    """Refuse a parameter that other models take: captured only for `input_fidelity` with gpt-image-2."""
    return Refusal(
        400,
        f"The model '{model}' does not support the '{name}' parameter.",
        kind=ErrorType.IMAGE_USER,
        param=name,
        code=f"invalid_{name}_model",
    )


def unknown_model(model: str) -> Refusal:
    """Refuse a model that is unknown or retired: the image endpoints answer 400, not 404."""
    return Refusal(
        400,
        f"The model '{model}' does not exist.",
        kind=ErrorType.IMAGE_USER,
        param="model",
        code="invalid_value",
    )


def missing_model(model: str) -> Refusal:
    """Refuse to describe a model: `/v1/models` answers 404."""
    return Refusal(
        404,
        f"The model '{model}' does not exist or you do not have access to it.",
        param="model",
        code="model_not_found",
    )


def wrong_media_type(found: str) -> Refusal:
    return Refusal(400, f"Invalid Content-Type header ({found}), expected multipart/form-data.")


def missing_key() -> Refusal:
    return Refusal(
        401,
        "You didn't provide an API key. You need to provide your API key in an Authorization header "
        "using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
    )


def moderation_blocked(*, is_dalle: bool) -> Refusal:
    """Refuse a prompt for its content, with the text of the model's generation."""
    if is_dalle:
        return Refusal(
            400,
            "Your request was rejected as a result of our safety system. Your prompt may contain text that "
            "is not allowed by our safety system.",
            code="content_policy_violation",
        )
    refusal = Refusal(
        400,
        "Your request was rejected by the safety system. If you believe this is an error, contact us at "
        "help.sandbox.invalid and include the request ID. safety_violations=[violence].",
        kind=ErrorType.IMAGE_USER,
        code="moderation_blocked",
    )
    refusal.details = {"moderation_details": {"moderation_stage": "input", "categories": ["violence"]}}
    return refusal
