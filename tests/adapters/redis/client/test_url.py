"""Valid and invalid forms of `GATEWAY_REDIS_URL`."""

from typing import Any

import pytest
from redis.asyncio import Redis, SSLConnection, UnixDomainSocketConnection

from service.adapters.redis.client.client import open_client
from service.adapters.redis.client.url import SCHEMES, parse_redis_url

SECRET = "p@ss:w/rd,"
QUOTED = "p%40ss%3Aw%2Frd%2C"


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("redis://:p@h:1/2", {"password": "p", "host": "h", "port": 1, "db": 2}),
        (
            "rediss://u:p@h",
            {"username": "u", "password": "p", "host": "h", "connection_class": SSLConnection},
        ),
        ("unix:///run/s?db=3", {"path": "/run/s", "db": 3, "connection_class": UnixDomainSocketConnection}),
    ],
)
def test_one_server(url: str, options: dict[str, Any]) -> None:
    where = parse_redis_url(url)

    assert (where.kind, where.options) == ("server", options)


def test_several_sentinels_and_the_name_of_the_primary() -> None:
    where = parse_redis_url(f"redis+sentinel://u:{QUOTED}@a:1,b,[::1]:3/my%20images/4?socket_timeout=2")

    assert (where.kind, where.primary) == ("sentinel", "my images")
    assert where.addresses == (("a", 1), ("b", 26379), ("::1", 3))
    assert where.options == {"username": "u", "password": SECRET, "db": 4, "socket_timeout": 2.0}


def test_sentinels_do_not_get_the_servers_password() -> None:
    where = parse_redis_url(f"rediss+sentinel://:{QUOTED}@a/images?sentinel_password=other&ssl_ca_certs=ca")

    tls = {"connection_class": SSLConnection, "ssl_ca_certs": "ca"}
    assert where.sentinel_options == tls | {"password": "other"}
    assert where.options == tls | {"password": SECRET}


def test_several_servers_of_a_cluster() -> None:
    where = parse_redis_url(f"rediss+cluster://u:{QUOTED}@a:1,b/0?ssl_check_hostname=no")

    assert (where.kind, where.addresses) == ("cluster", (("a", 1), ("b", 6379)))
    assert where.options.pop("db") == 0
    assert where.options == {
        "username": "u",
        "password": SECRET,
        "ssl_check_hostname": False,
        "connection_class": SSLConnection,
    }


@pytest.mark.parametrize(
    "url",
    [
        f"http://:{SECRET}@h",
        f"redis+sentinel://:{QUOTED}@h",
        f"redis+sentinel://:{QUOTED}@h/",
        f"redis+cluster://:{QUOTED}@h/1",
        f"redis://:{QUOTED}@h?sockettimeout=1",
        f"redis+cluster://:{QUOTED}@h?sockettimeout=1",
        f"redis+sentinel://:{QUOTED}@h/images?sockettimeout=1",
        f"redis://:{QUOTED}@h:port",
        f"redis+cluster://:{QUOTED}@127.0.0.1:99999,h",
        f"redis+cluster://:{QUOTED}@a:1,b:x",
        f"redis+sentinel://a:1,b:{QUOTED}/images",
        f"redis+cluster://[{QUOTED}",
    ],
)
def test_an_unusable_url_is_refused_without_quoting_its_secret(url: str) -> None:
    with pytest.raises(
        ValueError, match=r"Redis URL|takes no database|names the primary|cannot be read"
    ) as refusal:
        open_client(url, timeout_s=1, connections=1)

    assert SECRET not in str(refusal.value)
    assert QUOTED not in str(refusal.value)


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_every_scheme_opens_the_same_class_of_client(scheme: str) -> None:
    client = open_client(
        f"{scheme}://localhost/images" if "sentinel" in scheme else f"{scheme}://localhost",
        timeout_s=1,
        connections=1,
    )

    assert isinstance(client, Redis)
    await client.aclose()
