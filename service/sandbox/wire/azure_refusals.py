"""Refuse a request as Azure does, where it does so in another way than OpenAI.

Owns Azure's envelopes: `code` and `message` alone, and details of its content filter. All else that Azure refuses, such
as bad parameters, has OpenAI's envelope. Texts were captured from Azure OpenAI until July 2026; a comment marks those
that were not.
"""

import math
from collections.abc import Mapping
from typing import Literal

from service.sandbox.wire.error_envelope import ErrorType, Refusal

FilterRefusal = Literal["inner_error", "innererror", "moderation_blocked", "text"]
_SAFETY = "Your request was rejected as a result of our safety system. Your prompt may contain text that is not allowed by our safety system."
_SEVERITIES = ("hate", "self_harm", "sexual", "violence")
_DETECTIONS = ("jailbreak", "profanity")


class AzureRefusal(Refusal):
    """Has an envelope of `code` and `message`, without type and param."""

    def to_envelope(self) -> dict[str, object]:
        return {"error": {"code": self.code, "message": self.message, **self.details}}


def access_denied() -> Refusal:
    message = (
        "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an "
        "active subscription and use a correct regional API endpoint for your resource."
    )
    return AzureRefusal(401, message, code="401")


def resource_not_found() -> Refusal:
    """Refuse an unknown path, and a classic path without `api-version`."""
    return AzureRefusal(404, "Resource not found", code="404")


def version_not_supported() -> Refusal:
    return AzureRefusal(400, "API version not supported", code="BadRequest")


def deployment_not_found() -> Refusal:
    message = (
        "The API deployment for this resource does not exist. If you created the deployment within the last 5 "
        "minutes, please wait a moment and try again."
    )
    return AzureRefusal(404, message, code="DeploymentNotFound")


def call_rate_exceeded(wait_s: float | None) -> Refusal:
    """Refuse a call above the rate; *wait_s* None does not say for how long."""
    hint = "" if wait_s is None else f" Please retry after {max(1, math.ceil(wait_s))} seconds."
    # The name of the operation was not captured for images.
    message = (
        "Requests to the Images_Create Operation under Azure OpenAI API have exceeded call rate limit of your current "
        f"AIServices S0 pricing tier.{hint} Please contact Azure support service if you would like to further "
        "increase the default rate limit."
    )
    return AzureRefusal(429, message, code="429")


def resource_blocked() -> Refusal:
    message = (
        "Your resource has been temporarily blocked because we detected behavior that may violate our content "
        "policy. For more details on Azure OpenAI service content policy, please visit "
        "https://aka.ms/aoaicodeofconduct"
    )
    return AzureRefusal(403, message, code="Forbidden")


def content_filtered(style: FilterRefusal) -> Refusal:
    """Refuse a prompt in one of the four ways that were seen; the first and second name the filter's results."""
    match style:
        case "inner_error":
            refusal = AzureRefusal(400, _SAFETY, code="content_policy_violation")
            refusal.details = {
                "inner_error": _to_inner_error(),
                "type": ErrorType.INVALID_REQUEST.value,
            }
            return refusal
        case "innererror":
            refusal = AzureRefusal(400, _SAFETY, code="content_policy_violation")
            refusal.details = {"param": "prompt", "status": 400, "innererror": _to_inner_error()}
            return refusal
        case "moderation_blocked":
            return Refusal(
                400,
                "Your request was rejected by the safety system. If you believe this is an error, contact us at "
                "Azure support ticket and include the request ID. safety_violations=[violence].",
                kind=ErrorType.IMAGE_USER,
                code="moderation_blocked",
            )
        case "text":
            message = (
                "The response was filtered due to the prompt triggering Azure OpenAI's content management policy. "
                "Please modify your prompt and retry."
            )
            return AzureRefusal(400, message, code="content_filter")


def to_filter_results(*, is_prompt: bool, filtered: str | None = None) -> Mapping[str, object]:
    """Return the results of the content filter; *filtered* is the category that it stopped."""
    found: dict[str, object] = {
        name: {"filtered": name == filtered, "severity": "medium" if name == filtered else "safe"}
        for name in _SEVERITIES
    }
    if is_prompt:
        found |= {name: {"detected": False, "filtered": False} for name in _DETECTIONS}
    return found


def _to_inner_error() -> Mapping[str, object]:
    results = to_filter_results(is_prompt=True, filtered="violence")
    return {"code": "ResponsibleAIPolicyViolation", "content_filter_results": results}
