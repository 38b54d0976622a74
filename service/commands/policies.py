"""`image-gateway policies`: list, set and remove policies."""

from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

import typer

from service.commands.console import explain, fail, make_group
from service.commands.state import WHO, with_opened, with_state
from service.commands.table import show_table
from service.domain.callers import Policy
from service.domain.limits import LIMITS, LimitKind, Unit
from service.gateway.accounts.administration import Administration
from service.gateway.accounts.usage import Usage
from service.settings.variables import Settings
from service.wiring.catalog import checked_models
from service.wiring.commands import open_administration
from service.wiring.process import BackingServices

app = make_group("Named sets of limits, for users, keys and teams.")

_Name = Annotated[str, typer.Argument(help="The policy.")]
_Amount = Annotated[int | None, typer.Option(help="0: no such limit.", min=0)]
_Dollars = Annotated[str | None, typer.Option(help="US dollars, such as 25 or 0.50; 0: no such limit.")]


@app.command("list")
def list_policies() -> None:
    """List policies, those of the configuration file too.

    Example: `image-gateway policies list`
    """

    async def read(administration: Administration, _: Usage) -> list[tuple[object, ...]]:
        policies = (await administration.reader.read()).policies
        names = await administration.reader.declared_names()
        return [(*_row(policies[name]), names.has(policies[name])) for name in sorted(policies)]

    columns = ("policy", *(kind.column for kind in LIMITS))
    rest = ("models", "max n", "max size", "cache", "in the file")
    show_table(columns + rest, with_state(read))


@app.command("set")
def set_policy(  # noqa: PLR0913, PLR0917 - one parameter an option
    name: _Name,
    requests_per_min: _Amount = None,
    images_per_min: _Amount = None,
    images_per_day: _Amount = None,
    images_in_flight: _Amount = None,
    budget_per_month: _Dollars = None,
    models: Annotated[
        str | None, typer.Option(help="Models that may be asked for, comma-separated; '': all.")
    ] = None,
    max_n: Annotated[int | None, typer.Option(help="Images in one order; 0: no such limit.", min=0)] = None,
    max_size: Annotated[
        str | None, typer.Option(help="As many pixels at most as 1536x1024 has; '': no such limit.")
    ] = None,
    cache: Annotated[bool | None, typer.Option(help="Whether orders read and fill the cache.")] = None,
    cache_scope: Annotated[
        str | None, typer.Option(help="Who shares what is cached: user or team; '': as the gateway says.")
    ] = None,
) -> None:
    """Make a policy, or change what is given. In force everywhere within a second.

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
    }
    changes = {field: value for field, value in changes.items() if value is not None}
    if cache_scope is not None:
        changes["cache_scope"] = cache_scope or None

    async def change(administration: Administration, _: Usage) -> None:
        known = (await administration.reader.read()).policies
        await administration.put_policy(WHO, replace(known.get(name, Policy(name=name)), **changes))

    with_opened(_open_with_models, lambda opened: change(*opened))
    explain(f"Policy {name} is in force. Give it to a team: image-gateway teams set TEAM --policy {name}")


@app.command()
def remove(name: _Name) -> None:
    """Remove a policy that no team and no key is under.

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
        ", ".join(policy.models) or "all",
        policy.max_n or None,
        policy.max_size or None,
        scope if policy.caches else "off",
    )


def _cell(kind: LimitKind, amount: int) -> Decimal | int | None:
    if kind.unit is Unit.MICROUSD and amount:
        return Decimal(amount) / 1_000_000
    return amount or None


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
