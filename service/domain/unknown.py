"""Refuse unknown names, and name the known one that is nearest."""

from collections.abc import Iterable
from difflib import get_close_matches

from service.domain.errors import InvalidOrder

LONGEST_SHOWN = 100
"""Characters of a caller's name or value that a refusal repeats."""


def find_nearest(name: str, known: Iterable[str], *, likeness: float = 0.6) -> str | None:
    """Return the one of the *known* names that *name* may be meant for: at least as like as *likeness*, 1 if equal."""
    return next(iter(get_close_matches(name[:LONGEST_SHOWN], list(known), 1, likeness)), None)


def ask_for_nearest(name: str, known: Iterable[str]) -> str:
    """Return a question with the nearest of the *known* names, or an empty text."""
    nearest = find_nearest(name, known)
    return f" Did you mean '{nearest}'?" if nearest else ""


def unknown_parameter(name: str, known: Iterable[str] = (), otherwise: str = "") -> InvalidOrder:
    """Return the refusal of an unknown parameter; it ends with the nearest of the *known* names, or *otherwise*."""
    shown = name[:LONGEST_SHOWN]
    hint = ask_for_nearest(name, known) or otherwise
    return InvalidOrder(f"Unknown parameter: '{shown}'.{hint}", param=shown, code="unknown_parameter")
