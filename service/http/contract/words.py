"""Say what the fields of answers and of admin bodies mean, once for all components that have them.

A model may describe a field itself (`Field(description=...)`), which counts more. How to add one: a row; a test names the
fields without words.
"""

from collections.abc import Mapping
from typing import Any

from service.domain.limits import LIMITS, LimitKind, Window

_MEANINGS: Mapping[str, str] = {
    # Every kind of answer
    "object": "Kind of this object.",
    "data": "The entries.",
    "id": "Its id.",
    "status": "The state in one word.",
    "type": "Kind of this event.",
    "message": "What is wrong, and what would be right.",
    "param": "The field at fault.",
    "code": "The failure by its name, for programs.",
    "deleted": "True: it is gone.",
    # Accounts
    "team": "Name of the team.",
    "user": "Keyed hash of the user.",
    "policy": "Name of the policy; null for none.",
    "user_policy": "Policy for each user of the team; null for none.",
    "role": "Rights of the key: to order, to order for named users, to administer.",
    "hint": "Start and last four characters of the key, to recognize it.",
    "created_at": "Seconds since 1970.",
    "expires_at": "Seconds since 1970; null for never.",
    "closed": "A closed team may order nothing.",
    "declared": "True: the configuration file declares it, and it cannot be changed here.",
    "models": "Models that may be ordered; empty allows all.",
    "max_n": "Most images of one order; 0 sets no limit.",
    "max_size": "Largest image in pixels, such as `1536x1024`; empty sets no limit.",
    "cache": "If false, orders neither read nor fill the cache.",
    "cache_scope": "Who shares cached images: `user` each for themselves, `team` all of a team; null leaves it to `GATEWAY_CACHE_SCOPE`.",
    "equal_orders": "Equal orders for one image each that a caller sends at once: `differ` or `share` its images.",
    "keys_revoked": "Number of keys that were revoked.",
    "entries_changed": "Number of sums that lost the name.",
    "at": "Seconds since 1970.",
    "who": "Id of the admin's key, `bootstrap` for `GATEWAY_ADMIN_KEY`, or `command line`.",
    "act": "What was done, such as `create_key`.",
    "target": "What it was done to.",
    "details": "What has changed.",
    # Usage
    "day": "Day in UTC.",
    "model": "The model that was sent to the provider: the successor of a retired one.",
    "realm": "`live`, or `sandbox` for test images.",
    "outcome": "`made`, or `unknown` where the provider may have billed without an answer.",
    "images": "Number of images.",
    "microusd": "Cost in millionths of a US dollar, without the unpriced images.",
    "unpriced": "Number of images whose price is unknown.",
    "first_day": "First day of the sums.",
    "last_day": "Last day of the sums.",
    "totals": "Sums of all days and models.",
    "limits": "State of each limit.",
    "policies": "Policies that limit the caller.",
    "scope": "Whose it is: `user`, `key` or `team`.",
    "unit": "Unit of the amounts: `requests`, `images` or `microusd`.",
    "limit": "Most of the unit that the limit allows.",
    "used": "Part of the limit that is used, or held for orders that run.",
    "remaining": "Part of the limit that is left.",
    "resets_at": "Instant at which the whole limit is free again; null for images in flight.",
    # Images
    "operation": "How it was made: `generate`, `edit` or `vary`.",
    "size_bytes": "Size in bytes.",
    "width": "Width in pixels.",
    "height": "Height in pixels.",
    "asked": "The model that the caller named.",
    "sent": "The model that the gateway asked.",
    "answered": "The model that the provider named, if it did.",
    "size": "Width and height in pixels, such as `1024x1024`.",
    "quality": "Quality, such as `high`.",
    "background": "`transparent`, `opaque` or `auto`.",
    "output_format": "Format of the file, such as `png`.",
    "text_tokens": "Tokens of text.",
    "image_tokens": "Tokens of images.",
    "total_tokens": "All tokens.",
    "input_tokens": "Tokens of the prompt and of images that were sent.",
    "output_tokens": "Tokens of the images that were made.",
    "dry_run": "True: nothing was purged.",
    # Operations
    "owned_by": "The first backend that makes its images; `openai` if the gateway has only one provider.",
    "advice": "What an operator may do.",
    "since": "When the condition began.",
}
_IN_COMPONENT: Mapping[tuple[str, str], str] = {
    ("CreatedKey", "key"): "The key; no other answer shows it.",
    ("CreatedKey", "user"): "Owner of the key.",
    ("Estimate", "model"): "The model that the order names.",
    ("Estimate", "sent_model"): "The model that would make the images.",
    ("Estimate", "n"): "Number of images.",
    (
        "Estimate",
        "microusd",
    ): "Highest expected price of the order in millionths of a US dollar, if no image is cached; null if unknown.",
    ("Estimate", "weight"): "Number of images that the order counts for against limits.",
    (
        "Estimate",
        "refused_by",
    ): "The failure that the order would meet now, as far as reading tells; absent if none.",
    ("Key", "user"): "Owner of the key.",
    ("Model", "id"): "Name of the model.",
    ("ImagesResponse", "data"): "The images, in the order of their making.",
    ("PartialError", "type"): "Kind of the failure.",
    ("Usage", "key"): "Hint of the key that asks; null for tokens.",
    ("Usage", "models"): "Models that the caller may order.",
    ("Usage", "max_n"): "Most images of one order; null for no limit.",
    ("Usage", "max_size"): "Largest image in pixels; null for no limit.",
    ("ImageInfo", "name"): "Name of the file: its SHA-256 and the ending of its format.",
    ("PolicyEntry", "name"): "Name of the policy.",
    ("TeamEntry", "name"): "Name of the team.",
    ("UsageLimit", "name"): "Name of the limit, as in policies.",
    ("UsagePolicy", "policy"): "Name of the policy: `default` for that of the gateway, `none` for no policy.",
    ("UsageRow", "backend"): "Backend that made the images; empty if unknown.",
    ("UsageRow", "user"): "Keyed hash of the user, `anonymous` or `erased`.",
}
_WINDOWS: Mapping[Window, str] = {
    Window.MINUTE: "a minute",
    Window.DAY: "a day (UTC)",
    Window.MONTH: "a month (UTC)",
    Window.HELD: "at once",
}


def add_words(component: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Return *schema* with a description of each property that has none; references have that of their target."""
    if "properties" not in schema:
        return schema
    described = {
        name: each if "description" in each or "$ref" in each else {**each, **_say(component, name)}
        for name, each in schema["properties"].items()
    }
    return {**schema, "properties": described}


def _say(component: str, name: str) -> dict[str, str]:
    limits = {kind.name: kind for kind in LIMITS}
    if name in limits:
        return {"description": _say_limit(limits[name])}
    words = _IN_COMPONENT.get((component, name)) or _MEANINGS.get(name)
    return {"description": words} if words else {}


def _say_limit(kind: LimitKind) -> str:
    unit = "millionths of a US dollar" if kind.unit == "microusd" else kind.unit.value
    return f"Most {unit} {_WINDOWS[kind.window]}; 0 sets no limit."
