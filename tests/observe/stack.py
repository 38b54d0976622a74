"""Give dashboards and alerts something to show: two gateways that share a Valkey and a store, and a Prometheus.

Owns the backends, the teams and their policies, and the moods of the provider; what is ordered is `orders.py`'s.
"""

import asyncio
import random
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tests.chaos.disks import Disk, run_disk
from tests.chaos.ground import METRICS_KEY, WITH_KEYS, Ground
from tests.chaos.provider import Call, Provider
from tests.chaos.row import NotTried
from tests.observe.expressions import RULES
from tests.observe.prometheus import Prometheus, run_prometheus
from tests.processes import Gateway, Valkey, run_valkey

TEAMS = ("studio", "shop", "research", "press")
_DISK_MIB = 64
_CONFIG = """
[[backends]]
name = "openai"
url = "{url}"
keys = [{{ name = "main", key = "sk-main" }}]

[[backends]]
name = "spare"
url = "{url}"
models = ["gpt-image-2.6-sunburst"]
keys = [{{ key = "sk-spare", calls_in_flight = 4 }}]

[policies.budgeted]
budget_per_month_microusd = 40_000_000

[policies.small]
images_per_min = 60

[teams.studio]
policy = "budgeted"

[teams.shop]
policy = "small"
"""
_SETTINGS: dict[str, Any] = WITH_KEYS | {
    "secrets": "a-secret-all-replicas-share",
    "replicas": 2,
    "redis_timeout_s": 0.5,
    "sweep_s": 2,
    "max_calls_in_flight": 12,
    "max_calls_waiting": 40,
    "default_policy__images_per_min": 0,
}


@dataclass(slots=True)
class Moods:
    """The provider's temper: its usual time for a call, the share that it limits, and whether it knows our key."""

    typical_s: float = 0.4
    limited: float = 0.02
    is_key_revoked: bool = False
    dice: random.Random = field(default_factory=lambda: random.Random(11))

    async def act(self, call: Call) -> None:
        """Answer a call as the mood is."""
        if self.is_key_revoked:
            await call.fail(401, "invalid_api_key")
            return
        await asyncio.sleep(self.typical_s * self.dice.lognormvariate(0, 0.5))
        luck = self.dice.random()
        if luck < self.limited:
            await call.fail(429, "rate_limit_exceeded")
        elif luck > 0.99:
            await call.fail(400, "moderation_blocked")
        elif call.fields.get("stream"):
            await call.begin_stream()
            await call.complete()
            await call.write(b"data: [DONE]\n\n")
        else:
            await call.paint()


@dataclass(slots=True)
class Stack:
    """All servers; *callers* has a ground with a key for each team, *disk* is the store's or None."""

    ground: Ground
    provider: Provider
    moods: Moods
    valkey: Valkey
    gateways: list[Gateway]
    disk: Disk | None
    callers: dict[str, Ground]
    prometheus: Prometheus


async def open_stack(ground: Ground, *, config: str = "", **settings: object) -> Stack:
    """Start everything; *config* is added to the configuration file, *settings* are those of both gateways.

    The store is on a small disk of its own where mounting is allowed.
    """
    moods = Moods()
    provider = await ground.provider(moods.act)
    try:
        disk = await ground.enter(lambda: run_disk(ground.directory / "store", mib=_DISK_MIB))
    except NotTried:
        disk = None
    valkey = await ground.enter(partial(run_valkey, port=0))
    file = ground.directory / "gateway.toml"
    file.write_text(_CONFIG.format(url=provider.url) + config, "utf-8")
    given = _SETTINGS | {
        "config": file,
        "redis_url": valkey.url,
        "store_url": (ground.directory / "store" / "files").as_uri(),
    }
    gateways = [await ground.gateway(provider, f"gateway-{i}", **(given | settings)) for i in range(2)]
    url = await ground.enter(
        lambda: run_prometheus(
            ground.directory / "prometheus",
            [gateway.url for gateway in gateways],
            key=METRICS_KEY,
            rules=RULES,
        )
    )
    callers = {team: await ground.caller(gateways[0], team) for team in TEAMS}
    return Stack(ground, provider, moods, valkey, gateways, disk, callers, Prometheus(url, ground.session))
