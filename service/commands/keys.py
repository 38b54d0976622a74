"""`image-gateway keys`: create, list and revoke API keys."""

import re
import sys
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated

import typer

from service.commands.console import explain, fail, make_group, show_day, show_instant
from service.commands.settings import read_settings
from service.commands.state import WHO, with_state
from service.commands.table import show_table
from service.domain.administration import LATEST_S
from service.domain.callers import ApiKey, Role
from service.gateway.accounts.administration import Administration
from service.gateway.accounts.keys import NewKey
from service.gateway.accounts.usage import Usage

app = make_group("Make, list and revoke API keys.")

_LIFETIME = re.compile(r"([1-9][0-9]{0,4})d")


@app.command()
def create(
    team: Annotated[str, typer.Option(help="Whose costs these are; made if it is not there.")],
    user: Annotated[str, typer.Option(help="Whose key it is: a person, or a service.")],
    role: Annotated[
        Role, typer.Option(help="user orders; service orders for named end users; admin administers.")
    ] = Role.USER,
    policy: Annotated[str | None, typer.Option(help="Limits this key beside its user and team.")] = None,
    expires: Annotated[
        str | None, typer.Option(help="A lifetime such as 90d, or a day such as 2027-01-31.")
    ] = None,
) -> None:
    """Make a key. It is printed this once and cannot be read again.

    Example: `KEY=$(image-gateway keys create --team shop --user anna --expires 90d)`
    """
    new = NewKey(team=team, user=user, role=role, policy=policy, expires_s=_read_expiry(expires))

    async def make(administration: Administration, _: Usage) -> tuple[ApiKey, str, bool]:
        known = {
            *(await administration.reader.read()).teams,
            *(await administration.reader.declared_names()).teams,
        }
        return *await administration.keys.create(WHO, new), team not in known

    key, token, is_new_team = with_state(make)
    if is_new_team:
        explain(f"note: there was no team {team}: it was made, without a policy. Is it spelt as you meant?")
    auth = read_settings().auth
    if "keys" not in auth:
        explain(f"warning: GATEWAY_AUTH is {auth} here: a gateway that runs so takes no keys; it needs keys")
    until = f"until {show_instant(key.expires_s)}" if key.expires_s else "until it is revoked"
    explain(
        f"Key {key.id} of {key.user} in team {key.team} is good {until}. It is shown this once:\n"
        f"send it as 'Authorization: Bearer ...'. Revoke it: image-gateway keys revoke {key.team} {key.id}"
    )
    typer.echo(token)


@app.command("list")
def list_keys(
    team: Annotated[str | None, typer.Option(help="Only this team's; all unless given.")] = None,
) -> None:
    """List keys, oldest first. The keys themselves are not kept and cannot be listed.

    The secret is `lost` where GATEWAY_SECRETS no longer lists the one that a key was made with: it is refused.

    Example: `image-gateway keys list --team shop`
    """

    async def look(administration: Administration, _: Usage) -> list[tuple[ApiKey, bool | None]]:
        keys = await administration.keys.list(team)
        return [(key, administration.keys.has_its_secret(key)) for key in keys]

    keys = with_state(look)
    # A terminal has room for days.
    show = show_day if sys.stdout.isatty() else show_instant
    show_table(
        ("id", "team", "user", "role", "policy", "key", "created", "expires", "secret"),
        [
            (
                key.id,
                key.team,
                key.user,
                key.role,
                key.policy,
                key.hint,
                show(key.created_s),
                show(key.expires_s) or "never",
                {True: "listed", False: "lost", None: None}[has_secret],
            )
            for key, has_secret in keys
        ],
    )


@app.command()
def revoke(
    team: Annotated[str, typer.Argument(help="The team of the key.")],
    key_id: Annotated[
        str, typer.Argument(help="Its id, as `keys list` shows it, or how no other id of the team begins.")
    ],
) -> None:
    """Revoke a key: its orders are refused from this moment on, everything else within a second.

    Of its id, the beginning will do, from 4 characters after `key_` on, if no other key of the team has it.

    Example: `image-gateway keys revoke shop key_0123`
    """

    async def take(administration: Administration, _: Usage) -> ApiKey:
        key = await administration.keys.find(team, key_id)
        return await administration.keys.revoke(WHO, team, key.id)

    key = with_state(take)
    explain(f"Key {key.id} ({key.hint}) of {key.user} is revoked.")


def _read_expiry(text: str | None) -> int:
    if text is None:
        return 0
    now = datetime.now(UTC)
    lifetime = _LIFETIME.fullmatch(text)
    try:
        # A day lasts until its end.
        expires = (
            now + timedelta(days=int(lifetime[1]))
            if lifetime
            else datetime.combine(date.fromisoformat(text), time(), UTC) + timedelta(days=1)
        )
    except ValueError:
        fail(f"--expires '{text}': write a lifetime such as 90d, or a day such as 2027-01-31.")
    except OverflowError:
        expires = datetime.max.replace(tzinfo=UTC)
    if expires <= now:
        fail(f"--expires {text}: that day is over. Write one in the future, or a lifetime such as 90d.")
    if expires.timestamp() > LATEST_S:
        fail(
            f"--expires {text}: a key may last until 2100 at most. Leave --expires out for one without an end."
        )
    return int(expires.timestamp())
