"""Name the route that a path belongs to, for requests that are refused before they are routed.

A closed set, as logs and metrics need: a path of no route is `other`.
"""

import re
from collections.abc import Iterable

from starlette.routing import BaseRoute, Route

OTHER = "other"


class Templates:
    """The templates of *routes*, and *others*: a look-up for most paths, and an expression for each template with a parameter."""

    def __init__(self, routes: Iterable[BaseRoute], *others: str) -> None:
        known = {route.path: route.path_regex for route in routes if isinstance(route, Route)}
        self._plain = frozenset([*(path for path in known if "{" not in path), *others])
        self._with_parameters: list[tuple[re.Pattern[str], str]] = [
            (pattern, path) for path, pattern in known.items() if path not in self._plain
        ]

    def find(self, path: str) -> str:
        """Return the template of *path*, whatever the method, or `other`."""
        if path in self._plain:
            return path
        for pattern, template in self._with_parameters:
            if pattern.fullmatch(path):
                return template
        return OTHER
