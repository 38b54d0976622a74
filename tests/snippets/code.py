"""Write orders as code, and run the code as a person would: in a folder with the files that it reads."""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.snippets.orders import Order

_WRITER = Path(__file__).with_name("write.mjs")
_NAMES = {"curl": "order.sh", "python": "order.py", "node": "order.mjs", "java": "Order.java"}
_COMMANDS = {"curl": ["sh"], "python": [sys.executable], "node": ["node"], "java": ["java"]}
_RUN_S = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """An order as code: *texts* by language, and the files that it reads by name."""

    texts: dict[str, str]
    files: dict[str, bytes]


def write_code(orders: Sequence[Order], *, base: str, needs_key: bool) -> list[Code]:
    """Return the code of each order."""
    given: dict[str, Any] = {
        "orders": [order.described() for order in orders],
        "base": base,
        "needsKey": needs_key,
    }
    done = subprocess.run(
        ["node", str(_WRITER)],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [
        Code(
            texts=written["texts"],
            files={
                name: content for (_, name), content in zip(written["files"], order.contents(), strict=True)
            },
        )
        for order, written in zip(orders, json.loads(done.stdout), strict=True)
    ]


def run_code(
    code: Code, language: str, directory: Path, *, key: str | None, command: Sequence[str] = ()
) -> list[str]:
    """Run the code in *directory* and return the links that it prints; *command* replaces the interpreter.

    The environment has nothing but the key and the search path: no UTF-8, which old systems do not have.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in code.files.items():
        (directory / name).write_bytes(content)
    file = directory / _NAMES[language]
    file.write_text(code.texts[language], "utf-8")
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "no_proxy": "*"}
    if key is not None:
        environment["GATEWAY_KEY"] = key
    done = subprocess.run(
        [*(command or _COMMANDS[language]), file.name],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=_RUN_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    links = re.findall(r'https?://[^"\s]+', done.stdout)
    assert links, done.stdout
    return links
