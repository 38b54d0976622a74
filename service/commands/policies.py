"""`image-gateway policies`: list, set and remove policies."""

from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

import typer

from service.commands.console import explain, fail, make_group
from service.commands.state import WHO, with_opened, with_state
from service.commands.table import AsJson, Cell, Column, show_table
from service.domain.callers import Policy
from service.domain.limits import LIMITS, LimitKind, Unit
from service.gateway.accounts.administration import Administration
from service.gateway.accounts.usage import Usage
from service.settings.variables import Settings
from service.wiring.catalog import checked_models
from service.wiring.commands import open_administration
from service.wiring.process import BackingServices

app = make_group("List, set and remove policies: named sets of limits for users, keys and teams.")

_Name = Annotated[str, typer.Argument(help="Name of the policy.")]


def _limit(amount: str) -> Any:
    """Return an option that sets or removes a limit on *amount*."""
    return typer.Option(help=f"{amount}; 0 removes the limit.", min=0)


@app.command("list")
def list_policies(as_json: AsJson = False) -> None:
    """List policies, including those of the configuration file.

    Example: `image-gateway policies list`
    """

    async def read(administration: Administration, _: Usage) -> list[tuple[object, ...]]:
        policies = (await administration.reader.read()).policies
        names = await administration.reader.declared_names()
        return [(*_row(policies[name]), names.has(policies[name])) for name in sorted(policies)]

    columns: tuple[str | Column, ...] = (
        Column("policy", "name"),
        *(Column(kind.column, kind.name) for kind in LIMITS),
        "models",
        Column("max n", "max_n"),
        Column("max size", "max_size"),
        "cache",
        Column("", "cache_scope"),
        Column("equal orders", "equal_orders"),
        Column("in the file", "declared"),
    )
    show_table(columns, with_state(read), as_json=as_json)


@app.command("set")
def set_policy(  # noqa: PLR0913, PLR0917 - one parameter an option
    name: _Name,
    requests_per_min: Annotated[int | None, _limit("Requests a minute")] = None,
    images_per_min: Annotated[int | None, _limit("Images a minute")] = None,
    images_per_day: Annotated[int | None, _limit("Images a day (UTC)")] = None,
    images_in_flight: Annotated[int | None, _limit("Images being made at the same time")] = None,
    budget_per_month: Annotated[
        str | None,
        typer.Option(help="US dollars a month (UTC), such as 25 or 0.50; 0 removes the limit."),
    ] = None,
    models: Annotated[
        str | None, typer.Option(help="Models that may be ordered, comma-separated; '' allows all.")
    ] = None,
    max_n: Annotated[int | None, _limit("Images in one order")] = None,
    max_size: Annotated[
        str | None, typer.Option(help="Largest image, such as 1536x1024; '' removes the limit.")
    ] = None,
    cache: Annotated[bool | None, typer.Option(help="Let orders use the cache, or not.")] = None,
    cache_scope: Annotated[
        str | None, typer.Option(help="Callers that share cached images: user or team; '' for the default.")
    ] = None,
    equal_orders: Annotated[
        str | None, typer.Option(help="Images of equal orders sent at once: differ or share.")
    ] = None,
) -> None:
    """Create a policy, or change the given limits of one. All gateways apply it within a second.

    Limits that are not given stay as they are; a new policy begins without any.

    Example: `image-gateway policies set careful --images-per-day 50 --budget-per-month 25 --models dall-e-3`
    """
    changes: dict[str, Any] = {
        "requests_per_min": requests_per_min,
        "images_per_min": images_per_min,
        "images_per_day": images_per_day,
        "images_in_flight": images_in_flight,
        "budget_per_month_microusd": _read_dollars("--budget-per-month", budget_per_month),
        "models": None if models is None else tuple(part.strip() for part in models.split(",") if part),
        "max_n": max_n,
        "max_size": max_size,
        "caches": cache,
        "equal_orders": equal_orders,
    }
    changes = {field: value for field, value in changes.items() if value is not None}
    if cache_scope is not None:
        changes["cache_scope"] = cache_scope or None

    async def change(administration: Administration, _: Usage) -> None:
        known = (await administration.reader.read()).policies
        await administration.put_policy(WHO, replace(known.get(name, Policy(name=name)), **changes))

    with_opened(_open_with_models, lambda opened: change(*opened))
    explain(f"Policy {name} is saved. Give it to a team: image-gateway teams set TEAM --policy {name}")


@app.command()
def remove(name: _Name) -> None:
    """Remove a policy that no team and no key uses.

    Example: `image-gateway policies remove careful`
    """
    with_state(lambda administration, _: administration.remove_policy(WHO, name))
    explain(f"Policy {name} is removed.")


def _open_with_models(
    settings: Settings, backing: BackingServices
) -> AbstractAsyncContextManager[tuple[Administration, Usage]]:
    return open_administration(settings, backing, models=checked_models(settings))


def _row(policy: Policy) -> tuple[object, ...]:
    scope = f"on, by {policy.cache_scope}" if policy.cache_scope else "on"
    return (
        policy.name,
        *(_cell(kind, policy.amount_of(kind)) for kind in LIMITS),
        Cell(", ".join(policy.models) or "all", policy.models),
        Cell(policy.max_n or None, policy.max_n),
        policy.max_size,
        Cell(scope if policy.caches else "off", policy.caches),
        policy.cache_scope,
        policy.equal_orders,
    )


def _cell(kind: LimitKind, amount: int) -> Cell:
    """Return the cell of a limit: empty in the table if it is not set, and 0 in JSON as in HTTP."""
    if kind.unit is Unit.MICROUSD and amount:
        return Cell(Decimal(amount) / 1_000_000, amount)
    return Cell(amount or None, amount)


def _read_dollars(option: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        microusd = Decimal(text) * 1_000_000
        is_whole = microusd >= 0 and microusd == int(microusd)
    except (InvalidOperation, ValueError, OverflowError):
        is_whole, microusd = False, Decimal(0)
    if not is_whole:
        fail(f"{option} '{text}': write US dollars such as 25 or 0.50.")
    return int(microusd)
