"""`image-gateway keys`: create, list and revoke API keys."""

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated

import typer

from service.commands.console import explain, fail, make_group, show_instant
from service.commands.settings import read_settings
from service.commands.state import WHO, with_state
from service.commands.table import AsJson, Cell, Column, instant, print_json, record_of, show_table
from service.domain.administration import LATEST_S
from service.domain.callers import ApiKey, Role
from service.gateway.accounts.administration import Administration
from service.gateway.accounts.keys import NewKey
from service.gateway.accounts.usage import Usage

app = make_group("Create, list and revoke API keys.")

_COLUMNS = (
    "id",
    "team",
    "user",
    "role",
    "policy",
    Column("key", "hint"),
    Column("created", "created_at"),
    Column("expires", "expires_at"),
    Column("secret", "secret_listed"),
)
_LIFETIME = re.compile(r"([1-9][0-9]{0,4})d")


@app.command()
def create(
    team: Annotated[str, typer.Option(help="Team that pays for the orders; created if new.")],
    user: Annotated[str, typer.Option(help="Owner of the key: a person or a service.")],
    role: Annotated[
        Role,
        typer.Option(help="user: orders images. service: orders for end users. admin: also uses /admin."),
    ] = Role.USER,
    policy: Annotated[
        str | None, typer.Option(help="Policy for this key, in addition to those of its user and team.")
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option(help="Lifetime such as 90d, or last day such as 2027-01-31; never by default."),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print a JSON object: the key, its id, and all that `keys list` shows."),
    ] = False,
) -> None:
    """Create a key and print it. It is shown only once.

    The key alone goes to standard output, so a shell can store it in a variable.

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
        explain(f"note: there was no team {team}; created it without a policy. Check the spelling.")
    auth = read_settings().auth
    if "keys" not in auth:
        explain(
            f"warning: GATEWAY_AUTH is {auth} here; a gateway accepts API keys only with GATEWAY_AUTH=keys or keys,jwt"
        )
    until = f"until {show_instant(key.expires_s)}" if key.expires_s else "until it is revoked"
    explain(
        f"Key {key.id} of {key.user} in team {key.team} is valid {until}. It is shown only once.\n"
        f"Send it as 'Authorization: Bearer ...'. Revoke it: image-gateway keys revoke {key.team} {key.id}"
    )
    if as_json:
        print_json({"key": token, **record_of(_COLUMNS, _row(key, has_secret=True))})
    else:
        typer.echo(token)


@app.command("list")
def list_keys(
    team: Annotated[str | None, typer.Option(help="Only keys of this team.")] = None,
    as_json: AsJson = False,
) -> None:
    """List keys, oldest first. Keys are stored as hashes, so only their last characters are shown.

    If `secret` is `lost`, the gateway refuses the key: GATEWAY_SECRETS no longer has the secret it was created with.

    Example: `image-gateway keys list --team shop`
    """

    async def look(administration: Administration, _: Usage) -> list[tuple[ApiKey, bool | None]]:
        keys = await administration.keys.list(team)
        return [(key, administration.keys.has_its_secret(key)) for key in keys]

    show_table(_COLUMNS, [_row(*found) for found in with_state(look)], as_json=as_json)


def _row(key: ApiKey, has_secret: bool | None) -> tuple[object, ...]:
    return (
        key.id,
        key.team,
        key.user,
        key.role,
        key.policy,
        key.hint,
        instant(key.created_s),
        instant(key.expires_s, absent="never"),
        Cell({True: "listed", False: "lost", None: None}[has_secret], has_secret),
    )


@app.command()
def revoke(
    team: Annotated[str, typer.Argument(help="Team of the key.")],
    key_id: Annotated[
        str, typer.Argument(help="Id of the key, from `keys list`, or a unique beginning of it.")
    ],
) -> None:
    """Revoke a key: its orders are refused at once, its other requests within a second.

    The beginning of the id is enough, `key_` and at least 4 characters, if it is unique in the team.

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
        fail(f"--expires {text}: that day is over. Write a later one, or a lifetime such as 90d.")
    if expires.timestamp() > LATEST_S:
        fail(
            f"--expires {text}: a key may last until 2100 at most. Omit --expires for a key that never expires."
        )
    return int(expires.timestamp())
