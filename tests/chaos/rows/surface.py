"""The API's edges: methods, unknown and null values, files on disk, signatures, and the sandbox's journal."""

import base64
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psutil

from tests.chaos.finding import Finding
from tests.chaos.forms import edit
from tests.chaos.ground import EDITS, OPERATOR, WITH_KEYS, Ground, log_of
from tests.chaos.row import Rows
from tests.contract.published import published
from tests.processes import Gateway, run_gateway

ROWS = Rows([])


@ROWS.add(
    "methods-and-values",
    "every path with a method it lacks; unknown queries and nulls to admin routes; nulls in an order",
    covers="A9",
)
async def methods_and_values(ground: Ground, finding: Finding) -> None:
    provider = await ground.provider()
    gateway = await ground.gateway(provider, **WITH_KEYS)
    document: Mapping[str, Any] = published()
    wrong = []
    for path, operations in document["paths"].items():
        url = gateway.url + path.replace("{", "").replace("}", "")
        answer = await ground.ask("PATCH", url, headers=OPERATOR)
        allowed = {each.strip().lower() for each in answer.headers.get("allow", "").split(",")}
        if answer.status != 405 or not set(operations) <= allowed:
            wrong.append(f"{path} {answer.status} {sorted(allowed)}")
    finding.equal(f"of {len(document['paths'])} paths, without all methods in Allow", wrong, [])

    admin = f"{gateway.url}/admin"
    null_role = {"team": "a", "user": "b", "role": None}
    refused = {
        "an unknown query": await ground.ask("GET", f"{admin}/keys?nonsense=1", headers=OPERATOR),
        "a null role": await ground.post(f"{admin}/keys", json=null_role, headers=OPERATOR),
        "a null cache": await ground.ask(
            "PUT", f"{admin}/policies/p", json={"cache": None}, headers=OPERATOR
        ),
    }
    for name, answer in refused.items():
        finding.equal(name, answer.status, 400)
    made = await ground.post(f"{admin}/keys", json={"team": "a", "user": "b"}, headers=OPERATOR)
    key = {"authorization": f"Bearer {made.json['key']}"}
    nulls: dict[str, Any] = {"n": None, "size": None, "quality": None, "user": None, "response_format": None}
    finding.equal("nulls in an order", (await ground.order(gateway.url, headers=key, **nulls)).code, "200")


@ROWS.add(
    "private-files",
    "modes of what a gateway writes, other spellings of a signature, a malformed form's line in the log",
    covers="A10",
)
async def private_files(ground: Ground, finding: Finding) -> None:
    provider = await ground.provider()
    gateway = await ground.gateway(provider)
    link = (await ground.order(gateway.url)).json["data"][0]["url"]
    await edit(ground, gateway.url)
    finding.equal("open to others", _open_to_others(ground.directory / "gateway"), [])

    finding.equal("its link", (await ground.ask("GET", link)).status, 200)
    signature = parse_qs(urlsplit(link).query)["sig"][0]
    spellings = [each for each in _spellings(signature) if each != signature]
    passed = [
        each for each in spellings if (await ground.ask("GET", link.replace(signature, each))).status == 200
    ]
    finding.equal(f"of {len(spellings)} other spellings of its signature, good", passed, [])

    headers = {"content-type": "multipart/form-data; boundary=b"}
    bad = await ground.post(f"{gateway.url}{EDITS}", data=b"--b\r\nnonsense", headers=headers)
    finding.equal("a malformed form", bad.status, 400)
    warnings = [line for line in _warnings(gateway) if "request_id" not in line]
    finding.equal("warnings of it without a request", warnings, [])


def _open_to_others(directory: Path) -> list[str]:
    """Return the directories and files of callers' content that others on the machine may read."""
    roots = [directory / name for name in ("files", "uploads", "spill", "journal", "secret")]
    paths = [path for root in roots for path in (root, *root.rglob("*")) if path.exists()]
    return [
        f"{path.relative_to(directory)} {stat.S_IMODE(path.stat().st_mode):o}"
        for path in paths
        if path.stat().st_mode & 0o077 and not _is_below_private(path, directory)
    ]


def _is_below_private(path: Path, top: Path) -> bool:
    """Tell if a directory above *path* keeps others out."""
    above = [each for each in path.parents if each != top and top in each.parents]
    return any(not each.stat().st_mode & 0o077 for each in above)


def _spellings(signature: str) -> list[str]:
    """Return texts that decode to the same bytes, or nearly."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    padded = signature + "=" * (-len(signature) % 4)
    meant = base64.urlsafe_b64decode(padded)
    same = [
        signature[:-1] + last
        for last in alphabet
        if base64.urlsafe_b64decode((signature[:-1] + last) + "=" * (-len(signature) % 4)) == meant
    ]
    return [*same, padded, signature + "%3D", signature + "%0A", signature.replace("-", "%2B")]


def _warnings(gateway: Gateway) -> list[str]:
    return [line for line in log_of(gateway).splitlines() if '"warning"' in line and "form" in line]


@ROWS.add(
    "sandbox-journal",
    "a neighbour on the machine asks the built-in sandbox of a gateway with keys for its journal of prompts",
    covers="A10",
)
async def sandbox_journal(ground: Ground, finding: Finding) -> None:
    directory = ground.directory / "gateway"
    settings = {"sandbox": "true", **WITH_KEYS}
    gateway = await ground.enter(lambda: run_gateway(directory, **settings))
    made = await ground.post(f"{gateway.url}/admin/keys", json={"team": "a", "user": "b"}, headers=OPERATOR)
    key = {"authorization": f"Bearer {made.json['key']}"}
    ordered = await ground.order(gateway.url, "a prompt of one caller", headers=key)
    finding.equal("an order", ordered.code, "200")
    ports = _listening_below(gateway)
    finding.at_least("ports of its children", len(ports), 1)
    seen = 0
    for port in ports:
        for path in ("/sandbox/journal", "/sandbox/behaviour"):
            answer = await ground.ask("GET", f"http://127.0.0.1:{port}{path}")
            seen += b"a prompt of one caller" in answer.content or answer.status == 200
    finding.equal("answers to a neighbour without a key", seen, 0)


def _listening_below(gateway: Gateway) -> list[int]:
    children = psutil.Process(gateway.process.pid).children(recursive=True)
    found = [each for child in children for each in child.net_connections(kind="tcp")]
    own = int(gateway.url.rpartition(":")[2])
    return sorted({each.laddr.port for each in found if each.status == "LISTEN"} - {own})
