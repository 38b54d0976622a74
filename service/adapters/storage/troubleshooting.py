"""Advise operators whose image store fails: one sentence for each reason.

The advice names the place of the store, and never a key.
"""

from collections.abc import Mapping
from urllib.parse import urlsplit

_DIRECTORY = (
    "Is there room on the disk, and may the gateway's user write into the directory of GATEWAY_STORE_URL "
    "(unset: files in GATEWAY_DATA_DIR)?"
)
_REMOTE = {
    "denied": "The credentials are refused: check GATEWAY_STORE_ACCESS_KEY_ID and GATEWAY_STORE_SECRET_ACCESS_KEY "
    "(unset: AWS_*, GOOGLE_* or AZURE_*), and that they may read and write there. Some servers also say so of a bucket that does not exist.",
    "missing": "There is no such bucket: make it, or check GATEWAY_STORE_URL, GATEWAY_STORE_ENDPOINT and "
    "GATEWAY_STORE_REGION.",
    "timeout": "It does not answer in time: is it up, and do GATEWAY_STORE_ENDPOINT and GATEWAY_STORE_REGION name "
    "the right one?",
}
_OTHER = (
    "Is it up, do GATEWAY_STORE_URL, GATEWAY_STORE_ENDPOINT and GATEWAY_STORE_REGION name the right one, and are "
    "there credentials for it?"
)


def advise(reason: str, url: str) -> str:
    """Return the advice for *reason*, of a `StoreFailed`, at the store *url*."""
    return _DIRECTORY if url.startswith("file:") else _REMOTE.get(reason, _OTHER)


def place_of(url: str, options: Mapping[str, str]) -> str:
    """Return the place of the store, for people."""
    parts = urlsplit(url)
    place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    return f"{place} at {options['endpoint']}" if "endpoint" in options else place
