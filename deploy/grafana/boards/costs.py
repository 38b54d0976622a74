"""Cost and teams: who pays, what the cache saves, whose budget ends."""

from deploy.grafana.board import Board
from deploy.grafana.panels import COUNT, DOLLARS, PER_S, PERCENT, bars, graph, number
from deploy.grafana.queries import else_zero, highest, increase, ranked, rate, share

_TEAM = 'team=~"$team"'
_REALM = 'realm=~"$realm"'

COSTS = Board(
    uid="imagegw-costs",
    title="Image Gateway: cost and teams",
    description="Who pays how much, what do the cache and equal orders save, and whose budget ends?",
    variables={
        "team": 'label_values(imagegw_orders_total{job=~"$job"}, team)',
        "realm": 'label_values(imagegw_cost_dollars_total{job=~"$job"}, realm)',
    },
    rows={
        "What does it cost?": [
            number(
                "What did images cost?",
                "Dollars of the selected time, teams and realm, by the catalogue's prices. The ledger (`/admin/usage`) has the "
                "exact sums. The realm `sandbox` costs nothing.",
                else_zero(increase("imagegw_cost_dollars_total", _TEAM, _REALM)),
                unit=DOLLARS,
            ),
            number(
                "What was saved?",
                "What the images would have cost that came from the cache, or from another order at the same time.",
                else_zero(increase("imagegw_saved_dollars_total", _TEAM, _REALM)),
                unit=DOLLARS,
            ),
            number(
                "Which share is saved?",
                "Saved dollars, of saved and spent ones.",
                else_zero(
                    share(
                        increase("imagegw_saved_dollars_total", _TEAM, _REALM),
                        f"({increase('imagegw_saved_dollars_total', _TEAM, _REALM)} + "
                        f"{increase('imagegw_cost_dollars_total', _TEAM, _REALM)})",
                    )
                ),
                unit=PERCENT,
            ),
            number(
                "How many images?",
                "Images of the selected time, made or not.",
                else_zero(increase("imagegw_images_delivered_total", _TEAM)),
                unit=COUNT,
            ),
            number(
                "How many were paid?",
                "Images that the provider made in the selected time.",
                else_zero(increase("imagegw_images_made_total", _TEAM)),
                unit=COUNT,
            ),
            number(
                "How many lack a price?",
                "Paid for, yet booked at no cost, because the catalogue has no price. Add it to the models file.",
                else_zero(increase("imagegw_images_unpriced_total")),
                unit=COUNT,
                warn=1,
            ),
        ],
        "Who pays?": [
            bars(
                "What did each team pay?",
                "Dollars of the selected time. Teams beyond the first 50 of a process are `other`.",
                {"{{team}}": ranked(increase("imagegw_cost_dollars_total", _TEAM, _REALM, by="team"))},
                unit=DOLLARS,
            ),
            bars(
                "What did each team save?",
                "What a team's images would have cost without the cache (hit) or equal orders (coalesced).",
                {
                    "{{team}} {{source}}": ranked(
                        increase("imagegw_saved_dollars_total", _TEAM, _REALM, by="team, source")
                    )
                },
                unit=DOLLARS,
            ),
            graph(
                "What does an hour cost, by team?",
                "The present rate in dollars an hour. A step without a release is worth a question to the team.",
                {
                    "{{team}}": f"3600 * {rate('imagegw_cost_dollars_total', _TEAM, _REALM, by='team')}",
                },
                unit=DOLLARS,
                stacked=True,
            ),
            graph(
                "What does an hour cost, by model?",
                "The present rate in dollars an hour, by the model that was sent.",
                {
                    "{{model}}": f"3600 * {rate('imagegw_cost_dollars_total', _TEAM, _REALM, by='model')}",
                },
                unit=DOLLARS,
                stacked=True,
            ),
        ],
        "Whose budget ends?": [
            bars(
                "How much of its budget has each team used?",
                "Share of the team's month, as its last order saw it. At 100 % its orders get 429 `insufficient_quota` until the "
                "month ends, or an admin raises the policy. Teams without a budget are not shown.",
                {"{{team}}": ranked(highest("imagegw_team_budget_used_ratio", _TEAM, by="team"))},
                unit=PERCENT,
                warn=0.8,
                bad=1,
                most=1,
                none="no budgets",
            ),
            bars(
                "Which images have no price?",
                "Paid for without a price in the catalogue: neither the ledger nor a budget counts them.",
                {"{{model}}": ranked(increase("imagegw_images_unpriced_total", by="model"))},
                unit=COUNT,
                warn=1,
            ),
        ],
        "What do teams order?": [
            graph(
                "How many orders does each team send?",
                "All orders, also refused ones.",
                {"{{team}}": rate("imagegw_orders_total", _TEAM, by="team")},
                unit=PER_S,
                stacked=True,
            ),
            graph(
                "Which share of a team's orders is not delivered?",
                "One team alone: its limits, prompts or parameters (see the codes). All teams: a part of the gateway.",
                {
                    "{{team}}": share(
                        rate("imagegw_orders_total", _TEAM, 'outcome!="delivered"', by="team"),
                        rate("imagegw_orders_total", _TEAM, by="team"),
                    )
                },
                unit=PERCENT,
                warn=0.2,
                bad=0.5,
                most=1,
            ),
            graph(
                "Where do delivered images come from?",
                "made: paid for. hit: from the cache. coalesced: from an equal order at the same time.",
                {"{{source}}": rate("imagegw_images_delivered_total", _TEAM, by="source")},
                unit=PER_S,
                stacked=True,
            ),
            bars(
                "Which codes does each team get?",
                "Orders of the selected time that were not delivered. rate_limit_exceeded and insufficient_quota are limits.",
                {
                    "{{team}} {{code}}": ranked(
                        increase("imagegw_orders_total", _TEAM, 'code!=""', by="team, code")
                    )
                },
                unit=COUNT,
            ),
        ],
    },
)
