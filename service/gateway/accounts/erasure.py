"""Erase a person: their keys, their images, and their name in every ledger.

Failure behaviour: closed. An erasure that ends in `StateUnavailable` is to be repeated.
"""

from dataclasses import dataclass

from service.gateway.accounts.audit import Act, AuditTrail
from service.gateway.accounts.directory import DirectoryReader
from service.gateway.accounts.identify import Callers
from service.ports.accounts import KeyRegistrar
from service.ports.ledger import LedgerEraser
from service.ports.references import ReferenceListing, References
from service.ports.telemetry import ImageForgotten, Telemetry


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """The result of erasing *user*, a hash: revoked *keys*, and changed *entries* of ledgers, limits and pools."""

    user: str
    keys: int
    entries: int

    @property
    def found_anything(self) -> bool:
        """Tell if the gateway had any data of that person."""
        return bool(self.keys or self.entries)


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """The use case behind `image-gateway purge` and its route."""

    callers: Callers
    reader: DirectoryReader
    keys: KeyRegistrar
    ledger: LedgerEraser
    listing: ReferenceListing
    references: References
    trail: AuditTrail
    telemetry: Telemetry

    async def erase(self, who: str, person: str) -> Erased:
        """Erase *person*, a name or a hash.

        A running order still books under the hash: once it has finished, erase again to be sure.

        Raises:
            InvalidOrder: *person* is neither a name nor a hash.
        """
        user = self.callers.hash_of(person)
        await self.trail.note(who, Act.ERASE_PERSON, user)
        revoked, changed = 0, 0
        for team in await self.reader.teams():
            for key in await self.keys.list_keys(team.name):
                if self.callers.person(key.user) == user:
                    revoked += await self.keys.revoke_key(team.name, key.id) is not None
            changed += await self._forget_images(team.name, user)
            changed += await self.ledger.erase(team.name, user)
        await self.ledger.compact()
        await self.callers.take_effect()
        return Erased(user=user, keys=revoked, entries=changed)

    async def _forget_images(self, team: str, user: str) -> int:
        """Forget the images *user* ordered, whose references name the user."""
        forgotten = 0
        async for reference in self.listing.scan(team):
            if reference.user == user and await self.references.forget(team, reference.name):
                self.telemetry.record(ImageForgotten(reason="erased"))
                forgotten += 1
        return forgotten
