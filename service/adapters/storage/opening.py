"""Open an image store by the scheme of its URL: a directory, S3, GCS or Azure; sends nothing.

How to add one: its scheme in `SCHEMES`, which obstore must know, its options in `service/settings/images.py`, and
its form in the description of `GATEWAY_STORE_URL` there, which `tests/adapters/storage/test_store.py` asks for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from obstore import store as obstore_stores

from service.adapters.storage.failures import FAILURES

SCHEMES = ("file", "s3", "gs", "az")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreTimeouts:
    """Seconds to connect, for a request with its body, for an operation of several requests, and for a probe."""

    connect_s: float = 2.0
    request_s: float = 10.0
    operation_s: float = 20.0
    probe_s: float = 3.0


def directory_of(url: str) -> Path | None:
    """Return the directory of a `file://` URL, None for any other; raises `ValueError` for an unknown scheme."""
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        raise ValueError(f"must be a URL that starts with {', '.join(f'{name}://' for name in SCHEMES)}")
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def open_remote(url: str, options: Mapping[str, str], timeouts: StoreTimeouts) -> obstore_stores.ObjectStore:
    """Return a client of a remote store; raises `ValueError` if *url* and *options* describe none."""
    # The keys depend on the scheme; obstore checks them.
    config: Any = dict(options)
    try:
        return obstore_stores.from_url(
            url,
            config=config,
            client_options={
                "connect_timeout": timedelta(seconds=timeouts.connect_s),
                "timeout": timedelta(seconds=timeouts.request_s),
                # The scheme of the endpoint decides; without one it is https.
                "allow_http": True,
            },
            retry_config={
                "max_retries": 2,
                "backoff": {
                    "init_backoff": timedelta(milliseconds=100),
                    "max_backoff": timedelta(seconds=1),
                    "base": 2,
                },
                # A request that timed out is not retried.
                "retry_timeout": timedelta(seconds=timeouts.request_s / 2),
            },
        )
    except FAILURES as error:
        raise ValueError("The URL or the options of the image store describe no store.") from error
