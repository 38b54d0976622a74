"""Write PromQL for panels: every selector takes the dashboard's job and instance, every rate its interval."""

from collections.abc import Sequence

_SELECTED = ('job=~"$job"', 'instance=~"$instance"')


def of(metric: str, *matchers: str) -> str:
    """Select the series of *metric* that the dashboard's variables and *matchers* leave."""
    return f"{metric}{{{', '.join((*_SELECTED, *matchers))}}}"


def rate(metric: str, *matchers: str, by: str = "") -> str:
    """Sum what a counter grows by in a second; *by* lists labels."""
    return f"{_sum(by)} (rate({of(metric, *matchers)}[$__rate_interval]))"


def increase(metric: str, *matchers: str, by: str = "", over: str = "$__range") -> str:
    """Sum what a counter grew by in the dashboard's time range, or *over* another."""
    return f"{_sum(by)} (increase({of(metric, *matchers)}[{over}]))"


def total(metric: str, *matchers: str, by: str = "") -> str:
    """Sum a gauge over all processes."""
    return f"{_sum(by)} ({of(metric, *matchers)})"


def highest(metric: str, *matchers: str, by: str = "") -> str:
    """Return the highest value of a gauge that each process counts for all."""
    return f"max{f' by ({by})' if by else ''} ({of(metric, *matchers)})"


def share(part: str, whole: str) -> str:
    """Divide, and return nothing instead of NaN while the whole is zero."""
    return f"{part} / ({whole} > 0)"


def else_zero(expression: str) -> str:
    """Return 0 where the expression has no series yet a gateway answers Prometheus, and nothing where none does."""
    return f"({expression} or on () 0 * (sum ({of('up')}) > 0))"


def ranked(expression: str) -> str:
    """Return the series above zero, the largest first."""
    return f"sort_desc({expression} > 0)"


def quantile(rank: float, histogram: str, *matchers: str, by: str = "") -> str:
    """Estimate a quantile of what a histogram observed."""
    buckets = rate(f"{histogram}_bucket", *matchers, by=", ".join(filter(None, ("le", by))))
    return f"histogram_quantile({rank}, {buckets})"


def mean(histogram: str, *matchers: str, by: str = "") -> str:
    """Return the mean of what a histogram observed."""
    return share(*(rate(f"{histogram}_{part}", *matchers, by=by) for part in ("sum", "count")))


def either(*expressions: str) -> str:
    """Return the series of the first expression, and those that only a later one has."""
    return " or ".join(expressions)


def match(label: str, values: str | Sequence[str]) -> str:
    """Return a matcher of *label* with one of *values*."""
    return f'{label}=~"{values if isinstance(values, str) else "|".join(values)}"'


def _sum(by: str) -> str:
    return f"sum by ({by})" if by else "sum"
