"""Name the persons behind hashes and key ids, as far as their keys tell.

The ledger and the audit know persons by hashes alone. Who runs commands holds the secret of these hashes, and may list
the keys with the names in them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from service.commands.table import Cell
from service.gateway.accounts.administration import Administration

_MARK = re.compile(r"\b(?:[0-9a-f]{32}|key_[0-9a-f]+)\b")


@dataclass(frozen=True, slots=True)
class People:
    """The users that have keys: *names* by their hash, and by the id of each key."""

    names: Mapping[str, str]

    def beside(self, text: str) -> Cell:
        """Return the cell of *text*: on a terminal the name stands behind each hash and key id in it."""
        return Cell(text, text, _MARK.sub(self._with_name, text))

    def name_of(self, mark: str) -> str | None:
        """Return the name behind a hash or key id; None if no key tells it."""
        return self.names.get(mark)

    def _with_name(self, mark: re.Match[str]) -> str:
        name = self.name_of(mark[0])
        return f"{mark[0]} ({name})" if name else mark[0]


async def read_people(administration: Administration) -> People:
    """Return the users that have keys now."""
    names = {}
    for key in await administration.keys.list():
        names[key.id] = key.user
        names[administration.callers.person(key.user)] = key.user
    return People(names)
