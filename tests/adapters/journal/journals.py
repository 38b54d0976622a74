"""Open journals, and make settlements for them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from service.adapters.clock import SystemClock
from service.adapters.journal.journal import SqliteJournal
from service.adapters.process_names import ProcessNames
from service.domain.images import Image, Realm
from service.domain.limits import Limit, Resource
from service.ports.admission import Settlement
from service.ports.clock import Clock
from tests.fakes.values import a_settlement, a_ticket

LEASE_S = 30.0
IMAGE = Image(
    digest="ab" * 32,
    format="png",
    width=1024,
    height=1024,
    size_bytes=7,
    created_s=1,
    revised_prompt="a \N{EAGLE}",
    usage={"output_tokens": 5, "input_tokens_details": {"text_tokens": 1}},
    resolved={"size": "1024x1024"},
    cost_microusd=None,
)


def settlement(order_id: str = "order", part: str = "0.0", **fields: Any) -> Settlement:
    ticket = a_ticket(
        id=order_id,
        model="gpt-image-2",
        realm=Realm.LIVE,
        pool=None,
        limits=(Limit(resource=Resource.IMAGES, scope="user", key="ann", amount=5),),
    )
    outcome: dict[str, Any] = {"made": ((3, IMAGE), (None, IMAGE)), "forgotten": ((1, "cd"),)}
    return a_settlement(ticket=ticket, part=part, **{**outcome, **fields})


@asynccontextmanager
async def open_journal(
    directory: Path, clock: Clock | None = None, names: ProcessNames | None = None
) -> AsyncIterator[SqliteJournal]:
    """Open the journal of the data directory *directory* for the process of *names*, or one without a lock."""
    names = names or ProcessNames(directory / "processes", uuid4().hex)
    journal = SqliteJournal(
        directory / "journal",
        old=directory / "outbox",
        clock=clock or SystemClock(),
        lease_s=LEASE_S,
        process=names.name,
        is_alive=names.is_alive,
    )
    await journal.open()
    try:
        yield journal
    finally:
        await journal.close()


def file_of(directory: Path) -> Path:
    """Return the file of that journal."""
    return directory / "journal" / "settlements.sqlite3"
