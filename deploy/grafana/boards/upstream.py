"""Upstream and bridge: does the provider answer, what does it refuse, which model ends next?"""

from deploy.grafana.board import Board
from deploy.grafana.panels import COUNT, PER_S, PERCENT, SECONDS, bars, graph, number
from deploy.grafana.queries import else_zero, highest, increase, mean, quantile, ranked, rate, share, total

_ATTEMPTS = "imagegw_upstream_attempts_total"
_RESTING = "imagegw_backend_key_resting"
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
                "A backend refuses a key, its quota or its permissions, and no call has succeeded since. Other keys carry its load; "
                "without one, no order can succeed. *Which keys rest?* and `/readyz?verbose` say which; mend the account or the key.",
                highest(_RESTING, 'reason="refused"'),
                unit=COUNT,
                bad=1,
                words=_WORDS,
            ),
            number(
                "Is the account blocked?",
                "The provider stopped the account of a key, perhaps for prompts of some callers, and no call has succeeded since. "
                "Write to its support; find the team by its refused prompts.",
                highest(_RESTING, 'reason="blocked"'),
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
                "Yes: five attempts in a row ended without a known outcome, at every key that serves some model. New orders get 503 `overloaded` until one succeeds.",
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
                "Calls sent and not answered, beside the most that may run: the sum of the bounds of all keys "
                "(`calls_in_flight`, or GATEWAY_MAX_CALLS_IN_FLIGHT).",
                {
                    "calls": total("imagegw_in_flight", 'kind="calls"'),
                    "limit": total("imagegw_in_flight_limit", 'kind="calls"'),
                },
                unit=COUNT,
            ),
        ],
        "Which key carries the load?": [
            bars(
                "Which keys rest?",
                "Keys of backends that get no calls, of one model or of any if none is named, and why. throttled: the backend asked for "
                "a pause. failing, unanswered: it is down. refused, blocked, missing: mend the key, the account or its models. "
                "One call tries a key after its rest, and ends it once it is answered.",
                {
                    "{{reason}}: {{backend}}/{{key}} {{model}}": ranked(
                        highest(_RESTING, by="backend, key, model, reason")
                    )
                },
                unit=COUNT,
                warn=1,
                most=1,
                none="none rests",
            ),
            graph(
                "How many calls has each key?",
                "Calls with a place at a key, beside the most that it may have in all processes (`calls_in_flight`). At its limit, "
                "calls go to keys of a higher number of priority, or wait: raise it if the account takes more, or add a key.",
                {
                    "{{backend}}/{{key}}": total("imagegw_backend_key_calls", by="backend, key"),
                    "{{backend}}/{{key}} limit": total("imagegw_backend_key_calls_limit", by="backend, key"),
                },
                unit=COUNT,
            ),
            graph(
                "How do attempts end at each key?",
                "Attempts by key and outcome. A key of a higher number of priority that makes images: those before it rest, or are full.",
                {
                    "{{backend}}/{{key}} {{outcome}}": rate(
                        "imagegw_backend_key_attempts_total", by="backend, key, outcome"
                    )
                    + " > 0"
                },
                unit=PER_S,
                stacked=True,
                width=8,
            ),
            graph(
                "How often do keys rest?",
                "Rests that began or became longer, by key and reason. throttled again and again: lower `images_per_min` of the key, or ask "
                "the provider for more.",
                {
                    "{{backend}}/{{key}} {{reason}}": rate(
                        "imagegw_backend_key_rests_total", by="backend, key, reason"
                    )
                    + " > 0"
                },
                unit=PER_S,
                stacked=True,
                width=8,
            ),
            graph(
                "How many calls cross?",
                "Calls that failed at one key at no cost, and went on at once at another: callers notice nothing. Many: "
                "*Which keys rest?* says why.",
                {"{{backend}} to {{to}}": rate("imagegw_calls_crossed_total", by="backend, to")},
                unit=PER_S,
                stacked=True,
                width=8,
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
