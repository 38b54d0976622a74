"""Keep the rules that manifests must obey, each with changes that break it.

How to add one: a function in the module of its subject, decorated with `@RULES.add`, that yields a sentence for each
fault; and in `test_rules.py` one change, at least, that it must find.
"""

from collections.abc import Callable, Iterator

from tests.kubernetes.manifests import Manifests

Check = Callable[[Manifests], Iterator[str]]


class Rules:
    """Rules by name."""

    def __init__(self) -> None:
        self.checks: dict[str, Check] = {}

    def add(self, check: Check) -> Check:
        """Keep *check* under the name of its function."""
        self.checks[check.__name__] = check
        return check


RULES = Rules()
