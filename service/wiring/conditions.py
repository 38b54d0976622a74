"""Describe the conditions of the parts of a process to operators, each with advice."""

from service.adapters.disks import Disks
from service.adapters.redis.client.troubleshooting import advise_publicly
from service.adapters.storage.store import ObjectStore
from service.adapters.storage.troubleshooting import advise
from service.adapters.telemetry.health import ProviderHealth
from service.adapters.telemetry.parts import PartsWatch
from service.domain.backends import KeyName
from service.domain.conditions import RESTING, Condition, advise_on_clock, join_keys
from service.domain.rests import RULES, Rest
from service.gateway.admission.shared import SharedState
from service.gateway.clock_check import ClockCheck
from service.gateway.queue.queue import CallQueue
from service.wiring.images import Images, store_url
from service.wiring.orders import OrderParts
from service.wiring.process import ProcessContext

_UNTRUSTED = (
    "Five calls in a row ended without a known outcome, at each key that serves some model, and each may have been paid for: one call tries the provider, the next "
    "once that one ends or takes twice its usual time, and other orders get 503. Look at the provider's status page, and at 'provider failed' in the log."
)
_SILENT = (
    "Calls have had no answer for twice as long as such calls take, and no other was answered meanwhile: the provider, or a proxy "
    "before it, accepts them and hangs. Look at the provider's status page; the calls end at their orders' deadlines."
)
_TOLD = (
    "Calls of another gateway were refused with this key, so it rests: look for 'backend key rests' in the logs. One call tries it now "
    "and then."
)
_FULL = (
    "As many calls wait as GATEWAY_MAX_CALLS_WAITING and GATEWAY_WAITING_BYTES allow, and further orders get 503. Raise "
    "GATEWAY_MAX_CALLS_IN_FLIGHT, or calls_in_flight of a key, if the provider takes more, or add a key or a replica."
)
_WAITING = (
    "Calls wait for their turn: orders come faster than the provider answers. If that lasts, raise "
    "GATEWAY_MAX_CALLS_IN_FLIGHT, or calls_in_flight of a key, if the provider takes more, add a key, or lower the limits of callers."
)


def make_watch(
    context: ProcessContext, images: Images, orders: OrderParts, health: ProviderHealth, disks: Disks
) -> PartsWatch:
    """Return the watch of all parts, by their names in `/readyz?verbose`."""
    url = store_url(context.settings)
    return PartsWatch(
        {
            "state": lambda: _state(orders.state),
            "store": lambda: _store(images.home, url),
            "provider": lambda: _provider(health, orders.queue),
            "journal": lambda: orders.journal.condition.shown,
            "queue": lambda: _queue(orders.queue),
            "clock": lambda: _clock(context.check),
            "disk": lambda: disks.shown,
        },
        clock=context.clock,
        telemetry=context.telemetry,
    )


def _state(state: SharedState) -> Condition:
    trouble = state.trouble
    if trouble is None:
        return Condition(word="ok")
    return Condition(word="degraded", advice=advise_publicly(trouble))


def _store(store: ObjectStore, url: str) -> Condition:
    trouble = store.trouble
    return Condition(word="ok") if trouble is None else Condition(word="failing", advice=advise(trouble, url))


def _provider(health: ProviderHealth, queue: CallQueue) -> Condition:
    """Return the condition by those of all keys."""
    rests: dict[KeyName, list[Rest]] = {}
    for rest in queue.routing.resting():
        rests.setdefault(rest.name.key, []).append(rest)
    silent = {key.name for key in queue.overdue}
    names = [key.name for key in queue.routing.keys]
    return join_keys(
        {
            str(name): _key(health.condition_of(name), is_silent=name in silent, rests=rests.get(name, []))
            for name in names
        }
    )


def _key(condition: Condition, *, is_silent: bool, rests: list[Rest]) -> Condition:
    """Return the *condition* of a key after its last calls that ended, or that none ends, or that it rests."""
    if condition.word not in ("ok", "unknown"):
        return condition
    if is_silent:
        return Condition(word="silent", advice=_SILENT)
    if any(RULES[rest.reason].is_wide for rest in rests):
        return Condition(word="refused", advice=_TOLD)
    if rests:
        pauses = [f"{rest.name.model} ({rest.reason.value}, another {rest.left_s:.0f} s)" for rest in rests]
        return Condition(word=RESTING, advice=f"It gets no calls of {', '.join(pauses)}.")
    return condition


def _clock(check: ClockCheck) -> Condition:
    return (
        Condition(word="off", advice=advise_on_clock(check.skew_s)) if check.is_off else Condition(word="ok")
    )


def _queue(queue: CallQueue) -> Condition:
    if queue.routing.is_untrusted:
        return Condition(word="untrusted", advice=_UNTRUSTED)
    if queue.is_full:
        return Condition(word="full", advice=_FULL)
    return Condition(word="waiting", advice=_WAITING) if queue.length else Condition(word="ok")
