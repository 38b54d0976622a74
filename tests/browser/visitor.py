"""Watch what goes wrong on a page of a browser, and look for what keeps people out."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from tests.processes import REPOSITORY

if TYPE_CHECKING:
    from playwright.sync_api import ConsoleMessage, Page

AXE = REPOSITORY / ".venv-lint/node_modules/axe-core/axe.min.js"
_REFUSED = "Failed to load resource: "
"""Chromium's own line for each answer above 399 and each request without an answer; no page can prevent it."""


_OFFLINE = "net::ERR_INTERNET_DISCONNECTED"
"""A browser asks for the icon of a page again whenever it likes, also while a test has it offline."""


class Faults:
    """The errors of a page: those it logs, those it does not catch, and its own files that it does not get."""

    def __init__(self, page: Page) -> None:
        self.found: list[str] = []
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.found.append(str(error)))

    def _note(self, message: ConsoleMessage) -> None:
        if message.type not in ("error", "warning"):
            return
        is_of_page = "/web/" in message.location["url"] and _OFFLINE not in message.text
        is_of_a_request = message.text.startswith(_REFUSED) and not is_of_page
        if not is_of_a_request:
            self.found.append(f"{message.text} ({message.location['url']})")


def barriers(page: Page, *rules: str) -> list[str]:
    """Return what axe-core finds on the page as it is now: a line a rule, with the elements that break it.

    *rules* are the only ones to look at; without any, all are.
    """
    page.evaluate(_axe())
    options: dict[str, Any] = {"resultTypes": ["violations"], **({"runOnly": list(rules)} if rules else {})}
    found: dict[str, Any] = page.evaluate("(options) => axe.run(document, options)", options)
    return [
        f"{rule['id']}: {rule['help']}: " + "; ".join(str(node["html"]) for node in rule["nodes"])
        for rule in found["violations"]
    ]


@cache
def _axe() -> str:
    # Its last expression has no value that could be sent.
    return f"{AXE.read_text('utf-8')}\n;undefined"
