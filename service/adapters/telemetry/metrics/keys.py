"""Show the keys of backends that rest and their calls in flight; count their attempts, their rests, and calls that cross."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client import Counter
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from service.adapters.telemetry.metrics.provider import ENDS
from service.adapters.telemetry.metrics.registry import Registry
from service.adapters.telemetry.recorder import Handlers
from service.domain.backends import KeyName
from service.domain.rests import RULES, Rest, RestName, RestReason
from service.ports.telemetry import AttemptMade, CallCrossed, KeyRested


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedKey:
    """A key of a backend with at most *most_calls* at once; *in_flight* returns their number."""

    name: KeyName
    in_flight: Callable[[], int]
    most_calls: int


class KeyMetrics:
    """The metrics of the keys of all backends."""

    def __init__(self, registry: Registry) -> None:
        self._resting = _RestingKeys()
        registry.collectors.register(self._resting)
        self._rests = registry.counter(
            "imagegw_backend_key_rests",
            "Rests of a backend's key that this process began, by reason.",
            *("backend", "key", "reason"),
        )
        self._attempts = registry.counter(
            "imagegw_backend_key_attempts",
            "Attempts of calls with a backend's key, by outcome.",
            *("backend", "key", "outcome"),
        )
        self._in_flight = registry.gauge(
            "imagegw_backend_key_calls", "Calls that have a place at a backend's key.", "backend", "key"
        )
        self._limit = registry.gauge(
            "imagegw_backend_key_calls_limit",
            "Most calls at once of this process with a backend's key.",
            *("backend", "key"),
        )
        self._crossed = registry.counter(
            "imagegw_calls_crossed",
            "Calls that failed at no cost at a key of a backend, and went on at another key.",
            *("backend", "to"),
        )
        self._by_end: dict[tuple[str, str, str], Counter] = {}

    @property
    def handlers(self) -> Handlers:
        """The functions that count facts, by their kind."""
        return {
            AttemptMade: self._count_attempt,
            KeyRested: self._count_rest,
            CallCrossed: lambda fact: self._crossed.labels(fact.left.backend, fact.to.backend).inc(),
        }

    def watch(self, keys: Sequence[WatchedKey], resting: Callable[[], Iterable[Rest]]) -> None:
        """Show *keys* and those of them that are *resting*; their events begin at zero."""
        self._resting.watch([key.name for key in keys], resting)
        for key in keys:
            name = (key.name.backend, key.name.key)
            self._in_flight.labels(*name).set_function(key.in_flight)
            self._limit.labels(*name).set(key.most_calls)
            for reason in RestReason:
                self._rests.labels(*name, reason)
            for outcome in dict.fromkeys(outcome for outcome, _ in ENDS):
                self._by_end[*name, str(outcome)] = self._attempts.labels(*name, outcome)
            for other in keys:
                if other is not key:
                    self._crossed.labels(key.name.backend, other.name.backend)

    def _count_attempt(self, fact: AttemptMade) -> None:
        counter = self._by_end.get((fact.backend, fact.key, fact.outcome))
        (counter or self._attempts.labels(fact.backend, fact.key, fact.outcome)).inc()

    def _count_rest(self, fact: KeyRested) -> None:
        name = fact.rest.name.key
        self._rests.labels(name.backend, name.key, fact.rest.reason).inc()


class _RestingKeys(Collector):
    """Collects the rests of each scrape. Those of keys for all models begin at 0, the others once a key has rested."""

    _labelnames = ("backend", "key", "model", "reason")

    def __init__(self) -> None:
        self._resting: Callable[[], Iterable[Rest]] = lambda: ()
        self._shown: set[tuple[str, str, str, str]] = set()

    def watch(self, keys: Sequence[KeyName], resting: Callable[[], Iterable[Rest]]) -> None:
        self._resting = resting
        self._shown = {
            _labels_of(RestName(name), reason)
            for name in keys
            for reason, rule in RULES.items()
            if rule.is_wide
        }

    def describe(self) -> Iterator[GaugeMetricFamily]:
        yield GaugeMetricFamily(
            "imagegw_backend_key_resting",
            "1 while a backend's key gets no calls of a model, or of any if that is empty, or one call tries it.",
            labels=self._labelnames,
        )

    def collect(self) -> Iterator[GaugeMetricFamily]:
        found = {_labels_of(rest.name, rest.reason) for rest in self._resting()}
        self._shown |= found
        for family in self.describe():
            for labels in sorted(self._shown):
                family.add_metric(labels, float(labels in found))
            yield family


def _labels_of(name: RestName, reason: RestReason) -> tuple[str, str, str, str]:
    return name.key.backend, name.key.key, name.model, reason.value
