"""List the faults that a review found in November 2026, each to be tried by at least one row.

How to add one: a line here, and its name in the `covers` of a row; `python -m tests.chaos` names those without a row.
"""

from collections.abc import Mapping

FAULTS: Mapping[str, str] = {
    "P1": "an order cut off after sending invites a repeat that is paid again",
    "P2": "a partial failure promises a cheap repeat although no image is kept",
    "P3": "bookings of paid images are lost on a full disk",
    "P4": "an outage of Redis longer than a lease frees limits of running orders",
    "P5": "calls of unknown outcome count against no limit of their caller",
    "P6": "a Redis that refuses changes is not told as an outage",
    "P7": "a stream that lingers or breaks after its image loses it",
    "P8": "equal orders fail one after the other",
    "P9": "a stopping gateway leaves claims, holds and slots behind",
    "P10": "the orientation of a photo is ignored beside a mask",
    "P11": "the ledger is wrong for usage of zeros, dead links, late settlements and text tokens",
    "P12": "compositing loses transparency, quality, colour profile or the mask's depth",
    "P13": "an upload on a full disk crashes its request",
    "P14": "the cost of a claim grows with the number of claims",
    "P15": "odd answers lose paid images or crash, a hanging store outlasts the deadline, a closed team still acts",
    "P16": "gateways with unlike secrets on one Redis multiply limits",
    "A1": "overload buys images that are delivered to no caller",
    "A2": "one caller's uploads stop edits and cached images for all",
    "A3": "callers that hang up in the queue are made and charged",
    "A4": "web pages of other sites spend through an open gateway",
    "A5": "bodies in memory are bounded one by one, not in sum",
    "A6": "an order cut off by a second signal invites a repeat",
    "A7": "one caller's unfinished uploads fill the disk for all",
    "A8": "memory stays at its highest mark",
    "A9": "the API refuses methods and values unlike its document",
    "A10": "files, signatures, the sandbox's journal and large forms are less guarded than they could be",
}
