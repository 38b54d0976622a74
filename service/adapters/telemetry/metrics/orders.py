"""Count orders, their images, their cost and the decisions of limits, by team."""

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import get_args

from service.adapters.telemetry.metrics.registry import Registry, exemplar
from service.adapters.telemetry.recorder import Handlers
from service.domain.errors import LimitState
from service.domain.images import Operation, Source
from service.domain.limits import Resource
from service.ports.telemetry import LimitDecided, OrderEnded, OrderOutcome, OrderUnread

_CALLS_BUCKETS = (0, 1, 2, 3, 4, 6, 8, 10)
_STAGE_BUCKETS_S = (0.001, 0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 180, 300, 600)
"""From the time of an ask of Redis."""

MOST_TEAMS = 50
"""Most teams of a process with series of their own, the first to order."""
OTHER = "other"


class OrderMetrics:
    """The metrics of orders."""

    def __init__(self, registry: Registry, *, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._budgets: dict[str, tuple[float, float]] = {}
        self._own_teams: set[str] = set()
        self._orders = registry.counter(
            "imagegw_orders",
            "Orders ended, by outcome, code of the error, source of the images and team.",
            *("operation", "outcome", "code", "cache", "team"),
        )
        self._order_s = registry.histogram(
            "imagegw_order_duration_seconds",
            "From the acceptance of an order to its end.",
            "operation",
            "cache",
        )
        self._stage_s = registry.histogram(
            "imagegw_order_stage_seconds",
            "Time of an order in each stage that it passed.",
            "stage",
            buckets=_STAGE_BUCKETS_S,
        )
        self._calls = registry.histogram("imagegw_order_calls", "Calls of an order.", buckets=_CALLS_BUCKETS)
        self._first_event_s = registry.histogram(
            "imagegw_first_event_seconds",
            "From the acceptance of a streamed order to its first image or stage of one.",
        )
        self._dying = registry.counter(
            "imagegw_dying_model_orders",
            "Orders for a model with a date of shutdown, past or to come.",
            *("model", "team"),
        )
        self._images = registry.counter(
            "imagegw_images_delivered",
            "Images delivered, by asked model and source.",
            *("model", "source", "team"),
        )
        self._made = registry.counter(
            "imagegw_images_made", "Images made, by the model that made them.", "model", "team"
        )
        self._unpriced = registry.counter(
            "imagegw_images_unpriced", "Images made whose price is not in the catalogue.", "model"
        )
        self._unkept = registry.counter(
            "imagegw_images_unkept",
            "Images made that were neither delivered nor stored, as the store failed.",
        )
        self._cost = registry.counter(
            "imagegw_cost_dollars", "Cost of images made, as priced.", "model", "realm", "team"
        )
        self._saved = registry.counter(
            "imagegw_saved_dollars",
            "Price of images that were delivered without being made again.",
            *("source", "realm", "team"),
        )
        self._limits = registry.counter(
            "imagegw_limit_decisions",
            "Admissions: allowed, or refused by a limit of a scope.",
            *("decision", "limit", "scope", "team", "degraded"),
        )
        self._budget_used = registry.gauge(
            "imagegw_team_budget_used_ratio",
            "Share of a team's monthly budget in use, as its last order saw it.",
            "team",
        )
        self._in_flight = registry.gauge(
            "imagegw_in_flight", "Orders running, calls sent, and orders waiting for another's image.", "kind"
        )
        self._begin_at_zero()

    @property
    def handlers(self) -> Handlers:
        """The functions that count facts, by their kind."""
        return {
            OrderEnded: self._count_order,
            OrderUnread: self._count_unread,
            LimitDecided: self._count_decision,
        }

    def expect(self, models: Iterable[str]) -> None:
        """Begin the images without a price of *models* at zero."""
        for model in models:
            self._unpriced.labels(model)

    def watch_in_flight(
        self, *, orders: Callable[[], int], calls: Callable[[], int], waiters: Callable[[], int]
    ) -> None:
        """Show the numbers of running orders, sent calls and orders that wait for another's image."""
        for kind, number in (("orders", orders), ("calls", calls), ("waiters", waiters)):
            self._in_flight.labels(kind).set_function(number)

    def _begin_at_zero(self) -> None:
        for operation in Operation:
            for outcome in get_args(OrderOutcome):
                self._orders.labels(operation, outcome, "", "none", OTHER)
        self._limits.labels("allowed", "", "", OTHER, "false")
        for resource in Resource:
            self._limits.labels("refused", resource, "team", OTHER, "false")

    def _count_order(self, fact: OrderEnded) -> None:
        team, record = self._label_of(fact.team), fact.record
        self._orders.labels(fact.operation, fact.outcome, fact.code, fact.cache, team).inc()
        if fact.is_dying:
            self._dying.labels(fact.asked_model, team).inc()
        if fact.outcome == "refused":
            return
        self._observe_times(fact)
        self._calls.observe(record.calls)
        if record.is_replayed:
            # Counted and paid for with its first answer.
            return
        self._unkept.inc(record.unkept)
        for source in record.sources:
            self._images.labels(fact.asked_model, source, team).inc()
        models = iter([model or fact.sent_model for _, model in record.makers])
        for source, microusd in record.prices:
            if source is Source.MADE:
                self._count_made(fact, team, next(models, fact.sent_model), microusd)
            else:
                self._saved.labels(source, fact.realm, team).inc((microusd or 0) / 1e6)

    def _count_unread(self, fact: OrderUnread) -> None:
        team = self._label_of(fact.team) if fact.team else OTHER
        self._orders.labels(fact.operation, "refused", fact.code, "none", team).inc()

    def _count_made(self, fact: OrderEnded, team: str, model: str, microusd: int | None) -> None:
        self._made.labels(model, team).inc()
        if microusd is None:
            self._unpriced.labels(model).inc()
        else:
            self._cost.labels(model, fact.realm, team).inc(microusd / 1e6)

    def _observe_times(self, fact: OrderEnded) -> None:
        record, trace = fact.record, exemplar()
        self._order_s.labels(fact.operation, fact.cache).observe(record.total_s, trace)
        for stage, spent_s in record.stages_s.items():
            if spent_s:
                self._stage_s.labels(stage).observe(spent_s, trace)
        if fact.is_streamed and record.shown_s is not None:
            self._first_event_s.observe(record.shown_s - record.started_s, trace)

    def _count_decision(self, fact: LimitDecided) -> None:
        team = self._label_of(fact.team)
        self._limits.labels(fact.decision, fact.limit, fact.scope, team, str(fact.degraded).lower()).inc()
        for state in fact.limits:
            if state.resource == Resource.BUDGET_PER_MONTH and state.scope == "team" and team != OTHER:
                self._note_budget(team, state)

    def _note_budget(self, team: str, state: LimitState) -> None:
        if team not in self._budgets:
            self._budget_used.labels(team).set_function(partial(self._budget_of, team))
        self._budgets[team] = (1 - state.remaining / state.limit, self._now_s() + state.reset_s)

    def _budget_of(self, team: str) -> float:
        """Return the share in use, or 0 in a month in which the team has not ordered here."""
        used, until_s = self._budgets[team]
        return used if self._now_s() < until_s else 0.0

    def _label_of(self, team: str) -> str:
        """Return *team* if it is one of the first, else `other`."""
        if team in self._own_teams:
            return team
        if len(self._own_teams) >= MOST_TEAMS:
            return OTHER
        self._own_teams.add(team)
        return team
