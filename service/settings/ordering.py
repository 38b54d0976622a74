"""Declare the settings of orders: moderation, the cache, time and amounts."""

from typing import Literal

from pydantic import BaseModel, Field

from service.settings.policies import DefaultPolicy

LONGEST_DEADLINE_S = 3600
"""Largest `GATEWAY_DEADLINE_S`."""


class OrderSettings(BaseModel):
    """The steps of an order, and their bounds."""

    sandbox: bool | None = None
    """If `true`, the sandbox always paints test images; if `false`, never. If unset, it does so only while no provider
    is set, the gateway listens on loopback and `GATEWAY_AUTH` is `open`.
    """

    moderation: Literal["off", "provider", "list"] = "off"
    """Check of prompts before anything is spent: none, the provider's moderation endpoint (that of the first backend
    of kind `openai`), or the words in [`[moderation]`](#moderation).
    """

    cache: Literal["on", "off"] = "on"
    """If `off`, every order is paid for."""
    cache_scope: Literal["user", "team"] = "team"
    """Callers that share cached images: a whole team, or each user alone."""
    cache_ttl_s: int = Field(30 * 86400, ge=60)
    """Seconds during which an equal order finds a cached image."""
    fanout_window_ms: int = Field(1000, ge=0, le=60_000)
    """Milliseconds from a caller's order for one image of a model that makes one a call, within which
    [equal orders](equal-orders.md) of the same caller get different images; with 0 they share one.
    """
    url_ttl_s: int = Field(0, ge=0)
    """Seconds a link works; with 0 it works as long as the image is kept."""

    deadline_s: float = Field(300.0, gt=0, le=LONGEST_DEADLINE_S)
    """Longest duration of an order in seconds; a caller may shorten it with `x-request-timeout-s`."""
    lame_duck_s: float = Field(0.0, ge=0)
    """Seconds in which a stopping gateway still takes orders while its `/readyz` answers 503: longer than load
    balancers need to notice. The image and compose set 8.
    """
    drain_s: float = Field(120.0, ge=0)
    """Seconds a stopping gateway waits for running orders, once it takes no more."""
    max_calls_in_flight: int = Field(64, ge=1)
    """Concurrent calls to the provider; with `[[backends]]`, of each key that sets no `calls_in_flight`."""
    max_calls_waiting: int = Field(1000, ge=10)
    """Most calls that wait for one of them; further orders are refused with 503 `overloaded`."""
    waiting_bytes: int = Field(2**30, ge=2**26)
    """Most bytes of inputs and prompts that waiting calls may hold."""
    default_policy: DefaultPolicy = DefaultPolicy()
    """Limits of a user without a policy."""
    unpriced: Literal["refuse", "count"] = "refuse"
    """Orders for a model without a known price by callers with a budget: refused, or made and counted as unpriced."""
    budgets_without_redis: Literal["refuse", "spend"] = "refuse"
    """Orders by callers with a budget while Redis is unavailable: refused with 503, or made and booked later."""
