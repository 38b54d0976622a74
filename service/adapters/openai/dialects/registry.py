"""List the kinds of backends, and the dialect of each.

How to add one: a module beside `azure.py` with what differs from `Dialect`, a line in `DIALECTS`, and a row of
`KINDS` in `tests/adapters/openai/test_dialects.py`, which demands one for each kind.
"""

from collections.abc import Callable, Mapping

from service.adapters.openai.address import BackendAddress
from service.adapters.openai.dialects.azure import open_azure
from service.adapters.openai.dialects.compatible import CompatibleDialect
from service.adapters.openai.dialects.dialect import Dialect

DIALECTS: Mapping[str, Callable[[BackendAddress], Dialect]] = {
    "openai": Dialect,
    "azure": open_azure,
    "openai-compatible": CompatibleDialect,
}


def open_dialect(address: BackendAddress) -> Dialect:
    """Return the dialect of *address*."""
    return DIALECTS[address.kind](address)
