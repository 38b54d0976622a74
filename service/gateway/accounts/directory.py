"""Read the policies and teams in force: declared in the configuration file, or made by admins.

A declaration takes precedence over a stored one of the same name.
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

    *declared* and *models* are known in this process; a command may run without the gateway's
    file and reads its names from *declarations*.
    """

    book: CallerBook
    known: KnownTeams
    declarations: Declarations
    declared: Directory
    models: frozenset[str]

    async def read(self) -> Directory:
        """Return all current policies and teams; raises `StateUnavailable`."""
        made = await self.book.read_directory()
        return Directory(
            policies={**made.policies, **self.declared.policies},
            teams={**made.teams, **self.declared.teams},
        )

    async def declared_names(self) -> DeclaredNames:
        """Return the names in the configuration file, which admins cannot change; raises `StateUnavailable`."""
        here = DeclaredNames(
            policies=frozenset(self.declared.policies),
            teams=frozenset(self.declared.teams),
            models=self.models,
        )
        return here.joined(await self.declarations.read_declared())

    async def teams(self) -> list[Team]:
        """Return every team, including those known only from orders or from the gateway's file.

        Raises:
            StateUnavailable: they cannot be read now.
        """
        known = (await self.read()).teams
        names = {*known, *await self.known.teams(), *(await self.declared_names()).teams}
        return [known.get(name) or Team(name=name) for name in sorted(names)]


def check_policy_exists(name: str | None, policies: Collection[str], *, param: str) -> None:
    """Raise `NotFound` if a policy is named and is none of *policies*."""
    if name is not None and name not in policies:
        known = ", ".join(sorted(policies)) or "none yet"
        raise NotFound(f"There is no policy '{name[:100]}' (parameter '{param}'). Policies: {known}.")


def enumerate_names(names: Sequence[str], most: int = 5) -> str:
    """Return the first *most* names for a message, and the number of the others."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
