"""Overview: are callers served, and if not, which part is the cause?"""

from deploy.grafana.board import Board
from deploy.grafana.panels import BYTES_PER_S, COUNT, PER_S, PERCENT, SECONDS, bars, graph, number
from deploy.grafana.queries import (
    else_zero,
    highest,
    increase,
    mean,
    of,
    quantile,
    ranked,
    rate,
    share,
    total,
)

_FAILED, _SLOW = "job:imagegw_orders_failed:ratio_rate{}", "job:imagegw_orders_slow:ratio_rate{}"


def _recorded(name: str, window: str) -> str:
    """Select what deploy/prometheus/rules.yml records: it knows no instance."""
    return f'{name.format(window)}{{job=~"$job"}}'


OVERVIEW = Board(
    uid="imagegw-overview",
    title="Image Gateway: overview",
    description="Are callers served within the objectives, and if not, which part is the cause?",
    rows={
        "Are callers served?": [
            number(
                "Do orders succeed?",
                "Share of orders in five minutes that did not fail by a fault of the gateway or its parts; mistakes and "
                "limits of callers are left out. The objective is 99.5 %. Below it, read the next row.",
                f"1 - {else_zero(_recorded(_FAILED, '5m'))}",
                unit=PERCENT,
                warn=0.995,
                bad=0.95,
            ),
            number(
                "Does the budget burn?",
                "Failed orders of the last hour, divided by the 0.5 % that the objective allows. 1 uses the budget up in "
                "30 days, 14.4 in two days.",
                f"{else_zero(_recorded(_FAILED, '1h'))} / 0.005",
                unit=COUNT,
                warn=1,
                bad=14.4,
            ),
            number(
                "Are orders fast enough?",
                "Share of delivered orders in five minutes that took at most 60 s. The objective is 95 %. Below it, see where "
                "the time goes.",
                f"1 - {else_zero(_recorded(_SLOW, '5m'))}",
                unit=PERCENT,
                warn=0.95,
                bad=0.7,
            ),
            number(
                "How many orders end?",
                "All orders, also refused ones.",
                rate("imagegw_orders_total"),
                unit=PER_S,
            ),
            number(
                "How many orders run?",
                "Orders that were accepted and have not ended, in all processes.",
                total("imagegw_in_flight", 'kind="orders"'),
                unit=COUNT,
            ),
            number(
                "Are all gateways there?",
                "Processes that the last scrape reached, of those that GATEWAY_REPLICAS tells. Below 100 %: see the alerts "
                "ImageGatewayDown and ImageGatewayMissing.",
                share(f"sum ({of('up')})", f"max ({of('imagegw_replicas')})"),
                unit=PERCENT,
                warn=1,
                bad=0.75,
            ),
        ],
        "Which part is the cause?": [
            number(
                "Is the provider up?",
                "Share of attempts that made images or were refused for their prompt; 0 while it answers none of many calls. "
                "Below 95 %: its status page, then the row of outcomes in Upstream and bridge.",
                '((max(imagegw_calls_overdue{job=~"$job", instance=~"$instance"}) <= bool 2) or vector(1)) * (1 - '
                + else_zero(
                    share(
                        rate(
                            "imagegw_upstream_attempts_total",
                            'outcome=~"timed_out|broken|overloaded|unreachable|rate_limited|misconfigured|blocked"',
                        ),
                        rate("imagegw_upstream_attempts_total"),
                    )
                )
                + ")",
                unit=PERCENT,
                warn=0.95,
                bad=0.8,
                leads_to="imagegw-upstream",
            ),
            number(
                "Is our key accepted?",
                "Refused: a backend refuses a key, its quota or its account, and no call has succeeded since. Its orders go to "
                "other keys; without one, every order fails until an operator mends the account.",
                highest("imagegw_backend_key_resting", 'reason=~"refused|blocked"'),
                unit=COUNT,
                bad=1,
                words={"0": "accepted", "1": "refused"},
                leads_to="imagegw-upstream",
            ),
            number(
                "Is Redis there?",
                "Away, or it answers with errors: limits are local shares, the cache is not read, budgets refuse, costs wait "
                "in the journal.",
                'min(imagegw_redis_up{job=~"$job", instance=~"$instance"}) * '
                '(1 - max(imagegw_breaker_open{job=~"$job", instance=~"$instance", part="redis"}))',
                unit=COUNT,
                warn=1,
                bad=0.5,
                words={"0": "unusable", "1": "works"},
                leads_to="imagegw-limits",
            ),
            number(
                "Does the store work?",
                "Failing: orders for links are refused with 503 at no cost; base64 still works. Full disk, credentials or "
                "bucket: the log has the likely fix.",
                'max(imagegw_store_failing{job=~"$job", instance=~"$instance"})',
                unit=COUNT,
                bad=1,
                words={"0": "works", "1": "failing"},
                leads_to="imagegw-limits",
            ),
            number(
                "Do costs wait?",
                "Settlements that Redis has not taken. They grow while Redis is away, and must shrink when it is back.",
                'max(imagegw_journal_settlements{job=~"$job", instance=~"$instance"})',
                unit=COUNT,
                warn=1,
                bad=1000,
                leads_to="imagegw-limits",
            ),
            number(
                "How full is the queue?",
                "Waiting calls, of the most that may wait. Near 100 % new orders get 503 `overloaded`.",
                share(total("imagegw_queue_calls"), total("imagegw_queue_limit_calls")),
                unit=PERCENT,
                warn=0.5,
                bad=0.8,
                leads_to="imagegw-limits",
            ),
        ],
        "What do callers get?": [
            graph(
                "How do orders end?",
                "delivered: all images. partial: some. failed: none. refused: none, and no call was tried, so nothing was spent. "
                "abandoned: the caller left.",
                {"{{outcome}}": rate("imagegw_orders_total", by="outcome")},
                unit=PER_S,
                stacked=True,
            ),
            graph(
                "Which errors do callers get?",
                "Orders by error code. overloaded: the queue. backend_misconfigured, backend_blocked: key or account. "
                "upstream_*: the provider. state_unavailable: Redis. store_unavailable: the store.",
                {"{{code}}": rate("imagegw_orders_total", 'code!=""', by="code")},
                unit=PER_S,
                stacked=True,
            ),
            graph(
                "How fast do both error budgets burn?",
                "Share of failed and of slow orders, divided by what the objectives allow (0.5 % and 5 %). Above 14.4 for an "
                "hour, or above 6 for six hours, an alert pages.",
                {
                    "failed, 5 min": f"{_recorded(_FAILED, '5m')} / 0.005",
                    "failed, 1 h": f"{_recorded(_FAILED, '1h')} / 0.005",
                    "failed, 6 h": f"{_recorded(_FAILED, '6h')} / 0.005",
                    "slow, 1 h": f"{_recorded(_SLOW, '1h')} / 0.05",
                },
                unit=COUNT,
                warn=1,
                bad=14.4,
            ),
            bars(
                "Does an error hit one operation, or all?",
                "Orders of the selected time that were not delivered, by operation and code.",
                {
                    "{{operation}} {{code}}": ranked(
                        increase("imagegw_orders_total", 'code!=""', by="operation, code")
                    )
                },
                unit=COUNT,
            ),
        ],
        "Where does the time go?": [
            graph(
                "In which stage do orders spend their time?",
                "Mean seconds of each stage. queue: waits for its turn. begin: limits and cache in Redis. upstream: the "
                "provider. store: writing images.",
                {"{{stage}}": mean("imagegw_order_stage_seconds", by="stage")},
                unit=SECONDS,
                stacked=True,
            ),
            graph(
                "How long does a hit take, and how long a miss?",
                "Half of the orders of each cache outcome take at most this long. A slow hit points at Redis or the store.",
                {"{{cache}}": quantile(0.5, "imagegw_order_duration_seconds", by="cache")},
                unit=SECONDS,
            ),
            graph(
                "How long do 95 % of orders take?",
                "From acceptance to the end, by operation. The objective is 60 s.",
                {"{{operation}}": quantile(0.95, "imagegw_order_duration_seconds", by="operation")},
                unit=SECONDS,
                warn=60,
            ),
            graph(
                "When does the first event of a stream arrive?",
                "Seconds until a streamed order sends its first event.",
                {
                    "half": quantile(0.5, "imagegw_first_event_seconds"),
                    "95 %": quantile(0.95, "imagegw_first_event_seconds"),
                },
                unit=SECONDS,
            ),
        ],
        "What passes through?": [
            graph(
                "Which statuses do requests get?",
                "All routes, also files and usage.",
                {"{{status}}": rate("imagegw_http_requests_total", by="status")},
                unit=PER_S,
                stacked=True,
            ),
            graph(
                "Which route is slow?",
                "95 % of the requests of a route take at most this long, from their head to the last byte of the answer.",
                {"{{route}}": quantile(0.95, "imagegw_http_request_duration_seconds", by="route")},
                unit=SECONDS,
            ),
            graph(
                "How many bytes do callers send and take?",
                "Bodies of requests and answers. Images as base64 are a third larger than files.",
                {
                    "received": rate("imagegw_http_received_bytes_total"),
                    "sent": rate("imagegw_http_sent_bytes_total"),
                },
                unit=BYTES_PER_S,
            ),
            graph(
                "How many calls does an order take?",
                "The mean and the 95 % of calls of an order: 0 is a hit, more than 1 a fan-out.",
                {
                    "mean": mean("imagegw_order_calls"),
                    "95 %": quantile(0.95, "imagegw_order_calls"),
                },
                unit=COUNT,
            ),
        ],
    },
)
