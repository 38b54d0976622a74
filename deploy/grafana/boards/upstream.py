"""Upstream and bridge: does the provider answer, what does it refuse, which model ends next?"""

from deploy.grafana.board import Board
from deploy.grafana.panels import COUNT, PER_S, PERCENT, SECONDS, bars, graph, number
from deploy.grafana.queries import else_zero, increase, mean, quantile, ranked, rate, share, total

_ATTEMPTS = "imagegw_upstream_attempts_total"
_DURATION = "imagegw_upstream_attempt_duration_seconds"
_WORDS = {"0": "no", "1": "yes"}

UPSTREAM = Board(
    uid="imagegw-upstream",
    title="Image Gateway: upstream and bridge",
    description="Does the provider answer, what does it refuse, and which model ends next?",
    rows={
        "Is it the key, the account, or the provider?": [
            number(
                "Is our key refused?",
                "Attempts of five minutes that ended as misconfigured: key, quota or billing. No order can succeed. "
                "`/readyz?verbose` says which; mend the account or GATEWAY's OPENAI_API_KEY.",
                else_zero(increase(_ATTEMPTS, 'outcome="misconfigured"', over="5m") + " > bool 0"),
                unit=COUNT,
                bad=1,
                words=_WORDS,
            ),
            number(
                "Is the account blocked?",
                "Attempts of five minutes that ended as blocked: the provider stopped the account, perhaps for prompts of some "
                "callers. Write to its support; find the team by its refused prompts.",
                else_zero(increase(_ATTEMPTS, 'outcome="blocked"', over="5m") + " > bool 0"),
                unit=COUNT,
                bad=1,
                words=_WORDS,
            ),
            number(
                "Are prompts refused?",
                "Attempts that the provider's policy refused: the callers' prompts, not the account.",
                else_zero(share(rate(_ATTEMPTS, 'outcome="refused"'), rate(_ATTEMPTS))),
                unit=PERCENT,
                warn=0.1,
                bad=0.3,
            ),
            number(
                "Is the breaker open?",
                "Yes: five attempts in a row ended without a known outcome. New orders get 503 `overloaded` until one succeeds.",
                'max(imagegw_breaker_open{part="provider", job=~"$job", instance=~"$instance"})',
                unit=COUNT,
                bad=1,
                words=_WORDS,
            ),
            number(
                "How many are retries?",
                "Attempts after the first. The budget allows 10 %.",
                else_zero(share(rate("imagegw_upstream_retries_total"), rate(_ATTEMPTS))),
                unit=PERCENT,
                warn=0.05,
                bad=0.1,
            ),
            number(
                "How many may be lost?",
                "Attempts of the selected time without a known outcome. They count for callers at their estimated price.",
                else_zero(increase(_ATTEMPTS, 'billing="unknown"')),
                unit=COUNT,
                warn=1,
            ),
        ],
        "How do attempts end?": [
            graph(
                "How do attempts end?",
                "made: an image. refused: the prompt. misconfigured: our key or quota. model_missing: the account lacks the model. blocked: our account. rate_limited, "
                "overloaded, unreachable: not billed, retried. timed_out, broken: perhaps billed, never retried.",
                {"{{outcome}}": rate(_ATTEMPTS, by="outcome")},
                unit=PER_S,
                stacked=True,
            ),
            graph(
                "Is it one model, or all?",
                "Share of the attempts of a model that made nothing. One model alone: its name, its shutdown, or its load.",
                {
                    "{{model}}": share(
                        rate(_ATTEMPTS, 'outcome!="made"', by="model"), rate(_ATTEMPTS, by="model")
                    )
                },
                unit=PERCENT,
                warn=0.05,
                bad=0.2,
                most=1,
            ),
            graph(
                "Are attempts billed?",
                "unknown: sent, and no usable answer came. Compare them with the provider's invoice.",
                {"{{billing}}": rate(_ATTEMPTS, by="billing")},
                unit=PER_S,
                stacked=True,
            ),
            graph(
                "How many calls run at the provider?",
                "Calls sent and not answered, beside the most that may run (GATEWAY_MAX_CALLS_IN_FLIGHT).",
                {
                    "calls": total("imagegw_in_flight", 'kind="calls"'),
                    "limit": total("imagegw_in_flight_limit", 'kind="calls"'),
                },
                unit=COUNT,
            ),
        ],
        "How long does the provider take?": [
            graph(
                "How long does a model take?",
                "Half, and 95 %, of the attempts that made images take at most this long.",
                {
                    "{{model}} half": quantile(0.5, _DURATION, 'outcome="made"', by="model"),
                    "{{model}} 95 %": quantile(0.95, _DURATION, 'outcome="made"', by="model"),
                },
                unit=SECONDS,
            ),
            graph(
                "How long do failures take?",
                "Mean seconds of an attempt by its outcome. timed_out near the deadline: the provider hangs.",
                {"{{outcome}}": mean(_DURATION, by="outcome")},
                unit=SECONDS,
            ),
        ],
        "Which model ends next?": [
            bars(
                "How many days does a model have left?",
                "Days to its shutdown at the provider; then the bridge serves it by a current model. Models that have ended are "
                "left out. Tell the teams of the next panel.",
                {
                    "{{model}}": 'sort(min by (model) (imagegw_model_remaining_seconds{job=~"$job", instance=~"$instance"}) / 86400 > 0)'
                },
                unit="d",
                warn=30,
                bad=7,
                most=90,
                none="none ends",
            ),
            bars(
                "Who still asks for a model with an end?",
                "Orders of the selected time for models with a shutdown date, past or to come, by team.",
                {
                    "{{model}} {{team}}": ranked(
                        increase("imagegw_dying_model_orders_total", by="model, team")
                    )
                },
                unit=COUNT,
                warn=1,
            ),
            graph(
                "Which models do callers ask for?",
                "Delivered images by the asked model.",
                {"{{model}}": rate("imagegw_images_delivered_total", by="model")},
                unit=PER_S,
                stacked=True,
            ),
            graph(
                "Which models are sent?",
                "Images made by the model that was sent: the bridge replaces models that have ended.",
                {"{{model}}": rate("imagegw_images_made_total", by="model")},
                unit=PER_S,
                stacked=True,
            ),
        ],
    },
)
