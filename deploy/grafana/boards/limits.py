"""Limits, queue and Redis: who is refused, what waits, which part of the gateway is short of something."""

from deploy.grafana.board import Board
from deploy.grafana.panels import BYTES, COUNT, PER_S, PERCENT, SECONDS, bars, graph, number
from deploy.grafana.queries import highest, increase, of, quantile, ranked, rate, share, total

_DECISIONS = "imagegw_limit_decisions_total"

LIMITS = Board(
    uid="imagegw-limits",
    title="Image Gateway: limits, queue and Redis",
    description="Who is refused by which limit, what waits, and is a part of the gateway short of something?",
    rows={
        "Who is refused?": [
            bars(
                "Who is refused, by which limit?",
                "Refusals of the selected time by team, limit and scope: a user's or key's limit concerns one caller, a team's all of "
                "its callers. budget_unknown, idempotency: Redis is away. Raise the policy, or ask the team to slow down.",
                {
                    "{{team}} {{limit}} {{scope}}": ranked(
                        increase(_DECISIONS, 'decision="refused"', by="team, limit, scope")
                    )
                },
                unit=COUNT,
            ),
            graph(
                "Which share of a team's orders do limits refuse?",
                "One team alone is throttled: its limits. All teams: the default policy, or local shares without Redis.",
                {
                    "{{team}}": share(
                        rate(_DECISIONS, 'decision="refused"', by="team"), rate(_DECISIONS, by="team")
                    )
                },
                unit=PERCENT,
                warn=0.1,
                bad=0.5,
                most=1,
            ),
            graph(
                "Are limits decided without Redis?",
                "Decisions by local shares (true) while Redis is away. Shares are stricter: expect refusals.",
                {"degraded: {{degraded}}": rate(_DECISIONS, by="degraded")},
                unit=PER_S,
                stacked=True,
            ),
            graph(
                "Are bodies refused for lack of room?",
                "body: too large (413). caller: that caller sends too much at once. total, disk: the gateway is full, see "
                "GATEWAY_BODY_BYTES and the disk.",
                {"{{place}} {{reason}}": rate("imagegw_bodies_refused_total", by="place, reason")},
                unit=PER_S,
            ),
        ],
        "What waits?": [
            graph(
                "How full is the queue?",
                "Calls that wait for their turn, beside the most that may wait (GATEWAY_MAX_CALLS_WAITING). Full for minutes: the "
                "provider is slow, or GATEWAY_MAX_CALLS_IN_FLIGHT too small.",
                {
                    "waiting": total("imagegw_queue_calls"),
                    "limit": total("imagegw_queue_limit_calls"),
                },
                unit=COUNT,
            ),
            graph(
                "How long do calls wait?",
                "Of the calls that had to wait.",
                {
                    "half": quantile(0.5, "imagegw_queue_wait_seconds"),
                    "95 %": quantile(0.95, "imagegw_queue_wait_seconds"),
                },
                unit=SECONDS,
            ),
            graph(
                "Why does the queue refuse?",
                "full: too many wait. late: the wait is longer than the order's time. slow: the provider is. hurried: its caller allows less than 60 s. untrusted: it is "
                "tried one call at a time.",
                {"{{reason}}": rate("imagegw_queue_refusals_total", by="reason")},
                unit=PER_S,
                stacked=True,
            ),
            graph(
                "What runs?",
                "orders: accepted and not ended. calls: sent to the provider. waiters: wait for another order's image.",
                {"{{kind}}": total("imagegw_in_flight", by="kind")},
                unit=COUNT,
            ),
        ],
        "Does Redis work?": [
            graph(
                "Is Redis there, and trusted?",
                "up: the last request was answered, also with an error. Breaker open: it is away, or answers only errors, and is spared.",
                {
                    "up: {{instance}}": of("imagegw_redis_up"),
                    "breaker open: {{instance}}": of("imagegw_breaker_open", 'part="redis"'),
                },
                unit=COUNT,
                most=1,
            ),
            graph(
                "How long do requests to Redis take?",
                "95 % of the requests of an operation. Above 50 ms: its CPU, a slow command, or the network.",
                {"{{operation}}": quantile(0.95, "imagegw_redis_request_seconds", by="operation")},
                unit=SECONDS,
                warn=0.05,
                bad=0.5,
            ),
            graph(
                "Why do operations on shared state fail?",
                "timeout, connection: Redis is away. oom, readonly, misconf: it takes no changes. auth, no_permission: credentials.",
                {"{{operation}} {{reason}}": rate("imagegw_state_failures_total", by="operation, reason")},
                unit=PER_S,
            ),
            graph(
                "How long was each part away?",
                "Share of the time that a part was away, by process.",
                {
                    "{{part}} {{instance}}": rate("imagegw_degraded_seconds_total", by="part, instance"),
                },
                unit=PERCENT,
                most=1,
                bad=0.5,
            ),
            graph(
                "Does the journal grow?",
                "Settlements that Redis has not taken. Processes of one data directory count the same.",
                {"waiting": highest("imagegw_journal_settlements")},
                unit=COUNT,
                warn=1,
                width=6,
            ),
            graph(
                "How long do costs wait?",
                "Seconds since the journal was last empty. Long while Redis is there: the log says why `replay` fails.",
                {"{{instance}}": of("imagegw_journal_oldest_seconds")},
                unit=SECONDS,
                warn=300,
                width=6,
            ),
            graph(
                "Can the journal be written?",
                "failing: no image is made while Redis is away as well. low: the disk is full, the journal lives on its reserve.",
                {
                    "failing": highest("imagegw_journal_failing"),
                    "low": highest("imagegw_journal_low"),
                },
                unit=COUNT,
                most=1,
                bad=1,
                width=6,
            ),
            graph(
                "Which admin acts were there?",
                "Acts over HTTP: a change of a policy or key explains new refusals.",
                {"{{act}}": increase("imagegw_admin_acts_total", by="act", over="$__rate_interval")},
                unit=COUNT,
                width=6,
            ),
        ],
        "Does the store work?": [
            graph(
                "Does the store fail?",
                "1: the last use or check failed, and orders for links get 503.",
                {"{{instance}}": of("imagegw_store_failing")},
                unit=COUNT,
                most=1,
                bad=1,
                width=8,
            ),
            graph(
                "Why does the store fail?",
                "denied: credentials. missing: the bucket or directory. timeout: it hangs. other: often a full disk; see the log.",
                {"{{reason}}": rate("imagegw_store_failures_total", by="reason")},
                unit=PER_S,
                width=8,
            ),
            graph(
                "How long do requests to the store take?",
                "95 % of the requests of an operation.",
                {"{{operation}}": quantile(0.95, "imagegw_store_request_seconds", by="operation")},
                unit=SECONDS,
                width=8,
            ),
            graph(
                "How many bytes are kept?",
                "Size of the images that teams refer to; GATEWAY_RETENTION_BYTES bounds it.",
                {"kept": highest("imagegw_kept_bytes")},
                unit=BYTES,
                width=8,
            ),
            graph(
                "Do paid images wait for the store?",
                "Images in the spill of a process. They must go when the store is back; a full spill loses images.",
                {"{{instance}}": of("imagegw_spill_images")},
                unit=COUNT,
                warn=1,
                width=8,
            ),
            graph(
                "Are images lost or unfinished?",
                "spill refused: it was full, paid and lost. not kept: paid and lost, too, as the store failed. lost: a stored file "
                "is missing. provider: delivered in the provider's size. caller: an input cannot be decoded.",
                {
                    "spill {{outcome}}": increase(
                        "imagegw_images_spilled_total",
                        'outcome="refused"',
                        by="outcome",
                        over="$__rate_interval",
                    ),
                    "not kept": increase("imagegw_images_unkept_total", over="$__rate_interval"),
                    "{{reason}}": increase(
                        "imagegw_images_forgotten_total",
                        'reason="lost"',
                        by="reason",
                        over="$__rate_interval",
                    ),
                    "{{origin}} {{reason}}": increase(
                        "imagegw_images_unprocessed_total", by="origin, reason", over="$__rate_interval"
                    ),
                },
                unit=COUNT,
                bad=1,
                width=8,
            ),
        ],
        "Is a process short of something?": [
            graph(
                "How much memory does a process use?",
                "Resident memory. It must level off; see GATEWAY_BODY_BYTES for its largest part.",
                {"{{instance}}": of("process_resident_memory_bytes")},
                unit=BYTES,
                width=8,
            ),
            graph(
                "How much CPU does a process use?",
                "One process uses at most one core, and image workers others. Near 100 %: add replicas.",
                {"{{instance}}": rate("process_cpu_seconds_total", by="instance")},
                unit=PERCENT,
                warn=0.7,
                bad=0.9,
                width=8,
            ),
            graph(
                "Does the event loop lag?",
                "99 % of the samples are late by at most this. Above 100 ms all callers wait: CPU, or a bug that blocks.",
                {"{{instance}}": quantile(0.99, "imagegw_event_loop_lag_seconds", by="instance")},
                unit=SECONDS,
                warn=0.1,
                bad=0.5,
                width=8,
            ),
            graph(
                "How many of its files are open?",
                "Of the most that the system gives it (`ulimit -n`). Sockets count.",
                {"{{instance}}": f"{of('process_open_fds')} / {of('process_max_fds')}"},
                unit=PERCENT,
                warn=0.6,
                bad=0.8,
                width=6,
            ),
            graph(
                "How many bytes of requests are held?",
                "memory: bodies, bounded by GATEWAY_BODY_BYTES. disk: uploads, bounded by GATEWAY_UPLOAD_BYTES.",
                {"{{place}}": total("imagegw_request_bytes", by="place")},
                unit=BYTES,
                width=6,
            ),
            graph(
                "How much room do the disks have?",
                "data: of the data directory; with less than 256 MiB, or an eighth of a smaller disk, edits get 503 disk_full. store: "
                "of a store that is a directory elsewhere.",
                {"{{place}} {{instance}}": total("imagegw_disk_free_bytes", by="place, instance")},
                unit=BYTES,
                width=6,
            ),
            graph(
                "Did the gateway crash on an order?",
                "Ended by a bug: report it with the log's `crashed` lines.",
                {"{{where}}": increase("imagegw_order_crashes_total", by="where", over="$__rate_interval")},
                unit=COUNT,
                bad=1,
                width=6,
            ),
            number(
                "When was a restart?",
                "Time since its start. Shorter than your last release: it restarted by itself.",
                f"time() - max({of('process_start_time_seconds')})",
                unit=SECONDS,
            ),
            bars(
                "Which versions run?",
                "Processes by version and revision. More than one outside of a rollout: a replica was forgotten.",
                {
                    "{{version}} {{revision}}": ranked(
                        f"count by (version, revision) ({of('imagegw_build_info')})"
                    )
                },
                unit=COUNT,
                width=20,
            ),
        ],
    },
)
