"""Read the policies and teams in force: declared in the configuration file, or stored by admins.

A declaration takes precedence over a stored entry of the same name.
Failure behaviour: closed, `StateUnavailable`.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from service.domain.callers import DeclaredNames, Directory, Team
from service.domain.errors import NotFound
from service.ports.accounts import CallerBook, KnownTeams
from service.ports.processes import Declarations


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryReader:
    """Reads policies and teams.

    *declared* and *models* are those of this process's file; a command may run without the gateway's
    file, and reads its names from *declarations*.
    """

    book: CallerBook
    known: KnownTeams
    declarations: Declarations
    declared: Directory
    models: frozenset[str]

    async def read(self) -> Directory:
        """Return all current policies and teams."""
        return (await self.book.read_directory()).under(self.declared)

    async def declared_names(self) -> DeclaredNames:
        """Return the names in the configuration file, which admins cannot change."""
        here = DeclaredNames(
            policies=frozenset(self.declared.policies),
            teams=frozenset(self.declared.teams),
            models=self.models,
        )
        return here.joined(await self.declarations.read_declared())

    async def teams(self) -> list[Team]:
        """Return every team, including those known only from orders or from the gateway's file."""
        known = (await self.read()).teams
        names = {*known, *await self.known.teams(), *(await self.declared_names()).teams}
        return [known.get(name) or Team(name=name) for name in sorted(names)]


def check_policy_exists(name: str | None, policies: Collection[str], *, param: str) -> None:
    """Raise `NotFound` for a *name* that is not among *policies*."""
    if name is not None and name not in policies:
        known = ", ".join(sorted(policies)) or "none yet"
        raise NotFound(f"There is no policy '{name[:100]}' (parameter '{param}'). Policies: {known}.")


def enumerate_names(names: Sequence[str], most: int = 5) -> str:
    """Return the first *most* names and the number of the others, for a message."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
