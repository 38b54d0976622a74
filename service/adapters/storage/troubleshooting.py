"""Turn failures of the image store into advice for operators, one text for each reason; it names no key."""

from collections.abc import Mapping
from urllib.parse import urlsplit

_DIRECTORY = (
    "Is there room on the disk, and may the gateway's user write into the directory of GATEWAY_STORE_URL "
    "(unset: files in GATEWAY_DATA_DIR)?"
)
_FILES = (
    "The gateway has as many files and connections open as the system allows it: raise that limit (ulimit -n, LimitNOFILE, "
    "nofile). The store is not at fault."
)
_REMOTE = {
    "denied": "The credentials are refused: check GATEWAY_STORE_ACCESS_KEY_ID and GATEWAY_STORE_SECRET_ACCESS_KEY "
    "(unset: AWS_*, GOOGLE_* or AZURE_*), and that they may read and write there. Some servers answer the same for a "
    "missing bucket.",
    "missing": "There is no such bucket: create it, or check GATEWAY_STORE_URL, GATEWAY_STORE_ENDPOINT and "
    "GATEWAY_STORE_REGION.",
    "timeout": "It does not answer in time: is it up, and do GATEWAY_STORE_ENDPOINT and GATEWAY_STORE_REGION name "
    "the right server?",
}
_OTHER = (
    "Is it up, do GATEWAY_STORE_URL, GATEWAY_STORE_ENDPOINT and GATEWAY_STORE_REGION name the right server, and are "
    "there credentials for it?"
)


def advise(reason: str, url: str) -> str:
    """Return advice on a `StoreFailed` with *reason* at the store *url*."""
    if reason == "files":
        return _FILES
    return _DIRECTORY if url.startswith("file:") else _REMOTE.get(reason, _OTHER)


def place_of(url: str, options: Mapping[str, str]) -> str:
    """Return the store's URL and endpoint for people, without credentials."""
    parts = urlsplit(url)
    place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    return f"{place} at {options['endpoint']}" if "endpoint" in options else place
