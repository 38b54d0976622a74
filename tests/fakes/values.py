"""Valid values, each with what a test cares about named and the rest filled in."""

from functools import cache
from importlib.resources import files
from typing import Any

from service.domain.callers import Caller, Policy, Scope
from service.domain.catalog import Catalog
from service.domain.errors import LimitState, RateLimited
from service.domain.failures import Billing, CallFailure, FailureKind
from service.domain.images import (
    CallMade,
    Delivery,
    Image,
    ImageCall,
    InputImage,
    Operation,
    Parameters,
    RawImage,
    Realm,
)
from service.domain.limits import Limit, Resource
from service.domain.models_file import parse_catalog
from service.domain.order import CacheControl, ImageOrder, Origin, Price, SentOrder, Ticket
from service.ports.admission import Ask, Grant, Settlement, Variant
from service.ports.references import Reference

USAGE = {
    "total_tokens": 1806,
    "input_tokens": 50,
    "output_tokens": 1756,
    "input_tokens_details": {"text_tokens": 50, "image_tokens": 0},
}


def builtin_models() -> str:
    """Return the text of the catalogue as it is shipped."""
    return (files("service.domain") / "models.toml").read_text("utf-8")


@cache
def a_catalog() -> Catalog:
    """Return the catalogue as it is shipped."""
    return parse_catalog(builtin_models())


def a_caller(policy: Policy | None = None, **override: Any) -> Caller:
    """Return a caller whose user has *policy*; without one, without limits."""
    given = {"team": "open", "user": "ann", **override}
    scope = Scope(name="user", key=given["user"], policy=policy or Policy())
    return Caller(**{"scopes": (scope,), **given})


def an_order(**override: Any) -> ImageOrder:
    """Return an order of `dall-e-3`, or of the model named *asked_model* in *catalog*."""
    models = override.pop("catalog", a_catalog()).models
    given: dict[str, Any] = {
        "id": "order-1",
        "operation": Operation.GENERATE,
        "asked": models[override.pop("asked_model", "dall-e-3")],
        "prompt": "A lighthouse",
        "n": 1,
        "parameters": {},
        "delivery": Delivery.B64_JSON,
        "caller": a_caller(),
        "deadline_s": 1120.0,
    }
    return ImageOrder(**{**given, **override})


def a_sent_order(**override: Any) -> SentOrder:
    given: dict[str, Any] = {
        "target": a_catalog().models["gpt-image-2.6-flare"],
        "prompt": "A lighthouse",
        "parameters": {"quality": "medium"},
        "images_per_call": 1,
        "output_format": "png",
    }
    return SentOrder(**{**given, **override})


def an_input(role: str = "image", **override: Any) -> InputImage:
    """Return a small square PNG; without alpha, except as a mask or markup."""
    given: dict[str, Any] = {
        "role": role,
        "digest": f"digest of the {role}",
        "format": "png",
        "width": 1024,
        "height": 1024,
        "size_bytes": 1000,
        "has_alpha": role != "image",
        "path": f"/uploads/{role}",
    }
    return InputImage(**{**given, **override})


def a_call(**override: Any) -> ImageCall:
    parameters: Parameters = {"quality": "medium"}
    given: dict[str, Any] = {
        "model": "gpt-image-2.6-flare",
        "prompt": "A lighthouse",
        "n": 1,
        "parameters": parameters,
        "safety_identifier": "hash",
    }
    return ImageCall(**{**given, **override})


def a_call_made(*data: bytes, **override: Any) -> CallMade:
    images = tuple(RawImage(data=each) for each in data or (b"image",))
    return CallMade(**{"images": images, "usage": USAGE, "resolved": {"quality": "medium"}, **override})


def a_failure(**override: Any) -> CallFailure:
    given: dict[str, Any] = {
        "kind": FailureKind.OVERLOADED,
        "billing": Billing.NOT_BILLED,
        "message": "The provider is overloaded.",
    }
    return CallFailure(**{**given, **override})


def a_refusal(**override: Any) -> CallFailure:
    """Return a failure that everybody who orders the same would meet."""
    return a_failure(kind=FailureKind.REFUSED, message="The provider's policy refused this.", **override)


def an_image(digest: str = "d1", **override: Any) -> Image:
    given: dict[str, Any] = {
        "digest": digest,
        "format": "png",
        "width": 1024,
        "height": 1024,
        "size_bytes": 7,
        "created_s": 1,
    }
    return Image(**{**given, **override})


def a_variant(index: int = 0, **override: Any) -> Variant:
    return Variant(**{"index": index, "image": an_image(f"d{index}"), "age_s": 60.0, **override})


def a_limit(**override: Any) -> Limit:
    return Limit(**{"resource": Resource.REQUESTS, "scope": "user", "key": "ann", "amount": 10, **override})


def a_limit_state(**override: Any) -> LimitState:
    given = {"resource": "images", "scope": "user", "limit": 10, "remaining": 0, "reset_s": 6.0}
    return LimitState(**{**given, **override})


def a_rate_limit(**override: Any) -> RateLimited:
    return RateLimited(a_limit_state(**override), retry_after_s=6.0, limits=())


def a_ticket(policy: Policy | None = None, **override: Any) -> Ticket:
    """Return the ticket of an order of *team* and *user*; it counts against *scopes*, pairs of name and key."""
    if "scopes" in override:
        override["scopes"] = tuple(
            Scope(name=name, key=key, policy=Policy()) for name, key in override["scopes"]
        )
    caller = a_caller(policy, **_taken(override, "team", "user", "scopes", "key_id"))
    given: dict[str, Any] = {
        "id": "order-1",
        "caller": caller,
        "model": "gpt-image-2.6-flare",
        "realm": Realm.SANDBOX,
        "pool": "pool",
        "limits": (),
        "price": Price(override.pop("weight", 1), override.pop("estimate_microusd", 0)),
        "origin": an_origin(),
    }
    return Ticket(**{**given, **override})


_OF_TICKETS = (
    *("id", "team", "user", "scopes", "key_id", "model", "realm", "pool", "limits", "weight"),
    *("estimate_microusd", "origin", "idempotency", "fans_out", "safety_identifier"),
)


def _taken(given: dict[str, Any], *names: str) -> dict[str, Any]:
    """Take the values of *names* out of *given*."""
    return {name: given.pop(name) for name in names if name in given}


def scopes_of(ticket: Ticket) -> tuple[tuple[str, str], ...]:
    """Return the names and keys of the scopes that an order counts against."""
    return tuple((scope.name, scope.key) for scope in ticket.caller.scopes)


def an_ask(**override: Any) -> Ask:
    """Return an ask; values of its ticket may be given, too, and those of its cache as *fresh* and *only_ready*."""
    ticket = override.pop("ticket", None) or a_ticket(**_taken(override, *_OF_TICKETS))
    cache = CacheControl(
        reuse=not override.pop("fresh", False),
        only_if_cached=override.pop("only_ready", False),
        max_age_s=override.pop("max_age_s", None),
    )
    given: dict[str, Any] = {"ticket": ticket, "round": 0, "n": 1, "cache": cache}
    given.update(override)
    return Ask(**{"fence": f"{ticket.id}.{given['round']}", **given})


def a_grant(**override: Any) -> Grant:
    return Grant(**{"ready": (), "mine": (), "awaited": (), "limits": (), **override})


def an_origin(**override: Any) -> Origin:
    given: dict[str, Any] = {
        "asked_model": "dall-e-3",
        "operation": Operation.GENERATE,
        "fingerprint": "f" * 32,
    }
    return Origin(**{**given, **override})


def a_settlement(**override: Any) -> Settlement:
    """Return a settlement; values of its ticket may be given, too."""
    ticket = override.pop("ticket", None) or a_ticket(**_taken(override, *_OF_TICKETS))
    return Settlement(**{"ticket": ticket, "part": "0.0", "fence": f"{ticket.id}.0", **override})


def a_reference(name: str = "ab" * 32 + ".png", **override: Any) -> Reference:
    given: dict[str, Any] = {
        "name": name,
        "team": "open",
        "user": "ann",
        "asked_model": "dall-e-3",
        "sent_model": "gpt-image-2.6-flare",
        "answered_model": None,
        "realm": "live",
        "operation": "generate",
        "fingerprint": "f" * 32,
        "parents": (),
        "credentials": "none",
        "created_s": 1_700_000_000,
        "size_bytes": 1000,
        "width": 1024,
        "height": 1024,
        "cost_microusd": 4000,
        "is_brief": False,
    }
    return Reference(**{**given, **override})
