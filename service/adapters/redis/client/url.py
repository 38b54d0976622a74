"""Parse `GATEWAY_REDIS_URL`: one server, a primary behind sentinels, or a cluster.

No URL library reads several hosts separated by commas, so each host is parsed as a URL of its own;
user, password, TLS options and database mean the same everywhere. Error messages never quote the
URL: it may hold a password.
"""

from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import unquote

from redis.asyncio.connection import parse_url

Address = tuple[str, int]
Kind = Literal["server", "sentinel", "cluster"]

_KINDS: dict[str, Kind] = {
    "redis": "server",
    "rediss": "server",
    "unix": "server",
    "redis+sentinel": "sentinel",
    "rediss+sentinel": "sentinel",
    "redis+cluster": "cluster",
    "rediss+cluster": "cluster",
}
SCHEMES = tuple(_KINDS)
_PORTS = {"server": 6379, "sentinel": 26379, "cluster": 6379}


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisUrl:
    """The addresses and options of a connection.

    *options* are redis-py's for a connection, without host and port unless the kind is "server".
    *sentinel_options* are those for the sentinels, and *primary* is the name they know.
    """

    kind: Kind
    addresses: tuple[Address, ...] = ()
    options: dict[str, Any] = field(repr=False)  # with passwords
    sentinel_options: dict[str, Any] = field(repr=False)
    primary: str = ""


def parse_redis_url(url: str) -> RedisUrl:
    """Parse *url*.

    Raises:
        ValueError: its scheme is not in `SCHEMES`, or a part is missing or must not be there.
    """
    scheme, _, rest = url.partition("://")
    kind = _KINDS.get(scheme)
    if kind is None:
        raise ValueError(f"A Redis URL begins with one of {', '.join(f'{name}://' for name in SCHEMES)}.")
    if kind == "server":
        return RedisUrl(kind=kind, options=_read(url), sentinel_options={})
    place, _, query = rest.partition("?")
    authority, _, path = place.partition("/")
    credentials, _, hosts = authority.rpartition("@")
    primary, _, database = path.partition("/") if kind == "sentinel" else ("", "", path)
    if kind == "sentinel" and not primary:
        raise ValueError(f"{scheme}:// names the primary after the hosts: {scheme}://host:26379/<name>.")
    if kind == "cluster" and database.strip("/") not in {"", "0"}:
        raise ValueError(f"{scheme}:// takes no database: a cluster has only one.")
    single = scheme.partition("+")[0]
    read: list[dict[str, Any]] = [
        _read(f"{single}://{credentials}@{host}/{database}?{query}") for host in hosts.split(",")
    ]
    addresses = tuple((each.pop("host", "localhost"), each.pop("port", _PORTS[kind])) for each in read)
    options = read[0]
    return RedisUrl(
        kind=kind,
        addresses=addresses,
        sentinel_options=_take_sentinel_options(options),
        options=options,
        primary=unquote(primary),
    )


def places_of(url: str) -> str:
    """Return the hosts and ports in *url*, or its path, for people; never credentials."""
    where = parse_redis_url(url)
    if where.kind != "server":
        return ", ".join(_place(host, port) for host, port in where.addresses)
    path = where.options.get("path")
    if path is not None:
        return str(path)
    return _place(where.options.get("host", "localhost"), where.options.get("port", _PORTS["server"]))


def _place(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _read(url: str) -> dict[str, Any]:
    try:
        return dict(parse_url(url))
    except ValueError:
        # The original message quotes the unreadable part, which may belong to a password.
        raise ValueError(
            "A host, port, database or option in it cannot be read: it is host:port, with a port of 1 to 65535, "
            "and '%40', '%2F' and '%2C' stand for '@', '/' and ',' in a password."
        ) from None


def _take_sentinel_options(options: dict[str, Any]) -> dict[str, Any]:
    """Move the sentinels' options out of *options*; they have their own user, and share TLS with the servers."""
    own = {
        name: options.pop(f"sentinel_{name}")
        for name in ("username", "password")
        if f"sentinel_{name}" in options
    }
    theirs = {
        name: value
        for name, value in options.items()
        if name.startswith(("ssl_", "socket_")) or name == "connection_class"
    }
    return theirs | own
