"""Sign and check the gateway's links to stored images; a link that cannot be checked is refused."""

from typing import Protocol


class Links(Protocol):
    """The gateway's own links to stored images."""

    def sign(self, team: str, name: str) -> str:
        """Return the absolute URL of *name* for *team*, with its expiry and signature."""

    def check(self, name: str, query: str) -> str:
        """Return the team that the query string of *name* was signed for; raises `LinkExpired` or `LinkRefused`."""
