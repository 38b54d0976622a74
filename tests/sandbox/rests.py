"""Find calls to a key that rested, in the journal of a sandbox."""

from collections.abc import Sequence
from typing import Any

Entry = dict[str, Any]


def calls_while_resting(entries: Sequence[Entry]) -> list[tuple[Entry, Entry]]:
    """Return pairs of an answer that asked a key for a wait, and a call with the same key that began before its end.

    Calls that began before the answer was ready are none of its business. Instants are monotonic, so entries of several
    sandboxes of one machine may be mixed.
    """
    return [
        (asked, call)
        for asked in entries
        if asked["retry_at_monotonic_s"] is not None and asked["finished_monotonic_s"] is not None
        for call in entries
        if call["key_sha256"] == asked["key_sha256"]
        and asked["finished_monotonic_s"] < call["started_monotonic_s"] < asked["retry_at_monotonic_s"]
    ]
