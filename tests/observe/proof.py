"""Find the expressions that have no data, and the metrics that nothing reads, on a Prometheus after a run."""

import asyncio
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tests.observe.expressions import Expression, expressions_of_panels, expressions_of_rules, rules
from tests.observe.prometheus import Prometheus
from tests.observe.selectors import selectors_of

_RATE_S = 10
"""The resolution of graphs: some scrapes."""
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Run:
    """The time in which the stack was under orders, in the Unix time of its Prometheus."""

    prometheus: Prometheus
    from_s: float
    to_s: float

    async def has_data(self, text: str) -> bool:
        """Tell if an expression had a value, other than NaN, at any time of the run."""
        step_s = max(1, (self.to_s - self.from_s) // 200)
        series = await self.prometheus.ask_range(text, from_s=self.from_s, to_s=self.to_s, step_s=step_s)
        return any(not math.isnan(float(value)) for each in series for _, value in each["values"])

    async def without_data(self, texts: Iterable[tuple[str, str]]) -> list[str]:
        """Return the names of the expressions that had no value; *texts* are names and expressions."""
        slots = asyncio.Semaphore(_AT_ONCE)

        async def ask(name: str, text: str) -> str:
            async with slots:
                return "" if await self.has_data(text) else name

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(ask(name, text)) for name, text in texts]
        return [task.result() for task in tasks if task.result()]

    async def panels_without_data(self) -> dict[str, tuple[int, list[str]]]:
        """Return, for each dashboard, how many queries it has, and those without data."""
        found: dict[str, list[Expression]] = {}
        for expression in expressions_of_panels():
            found.setdefault(expression.place.partition(":")[0], []).append(expression)
        return {
            dashboard: (
                len(queries),
                await self.without_data((each.place, self._fill(each)) for each in queries),
            )
            for dashboard, queries in found.items()
        }

    async def records_without_data(self) -> tuple[int, list[str]]:
        names = [rule["record"] for rule in rules() if "record" in rule]
        return len(names), await self.without_data((name, name) for name in names)

    async def selectors_without_data(self) -> tuple[int, list[str]]:
        """Return how many selectors the rules have, without those of a balancer, and those that matched no series."""
        selectors = sorted(
            each
            for each in {each for rule in expressions_of_rules() for each in selectors_of(rule.text)}
            if "haproxy" not in each
        )
        return len(selectors), await self.without_data((each, each) for each in selectors)

    async def metrics_in_no_panel(self) -> list[str]:
        """Return the exported metrics that neither a panel nor a rule reads."""
        read = {
            re.sub(r"_(bucket|count|sum)$", "", re.split(r"\{", selector)[0])
            for each in (*expressions_of_panels(), *expressions_of_rules())
            for selector in selectors_of(self._fill(each))
        }
        names = await self.prometheus.ask(
            'group by (__name__) (last_over_time({__name__=~"(imagegw|process)_.+"}[1h]))', at_s=self.to_s
        )
        exported = {re.sub(r"_(bucket|count|sum)$", "", each["metric"]["__name__"]) for each in names}
        return sorted(exported - read)

    def _fill(self, expression: Expression) -> str:
        return expression.fill_in(
            __rate_interval=f"{_RATE_S}s", __range=f"{math.ceil(self.to_s - self.from_s)}s"
        )


@dataclass(slots=True)
class Alarms:
    """The alerts whose expression held at some time, and annotations that could not be written."""

    held: dict[str, str]
    broken: set[str]

    def note(self, alerts: Iterable[dict[str, Any]]) -> None:
        for alert in alerts:
            name = alert["labels"]["alertname"]
            firing = "firing" in (alert["state"], self.held.get(name))
            self.held[name] = "firing" if firing else "pending"
            if any(
                "error expanding" in text or "<no value>" in text for text in alert["annotations"].values()
            ):
                self.broken.add(name)
