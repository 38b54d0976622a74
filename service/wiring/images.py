"""Build the image store, its references, retention, links and the image workers.

Failure behaviour: open. With an unusable store the process starts, and refuses requests that
need it until it works.
"""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from service.adapters.disks import Disks, measure
from service.adapters.identity.secrets import derive_key
from service.adapters.imaging.images import WorkerImages
from service.adapters.imaging.turns import Turns
from service.adapters.journal.journal import SqliteJournal
from service.adapters.redis.leases import RedisSweepLease
from service.adapters.redis.references import RedisReferences
from service.adapters.storage.links import SignedLinks
from service.adapters.storage.objects import FOLDER
from service.adapters.storage.opening import directory_of
from service.adapters.storage.spill import SpillingStore
from service.adapters.storage.store import ObjectStore
from service.adapters.storage.troubleshooting import advise, place_of
from service.gateway.admission.breaker import Breaker
from service.gateway.admission.held_bytes import ByteBudget
from service.gateway.images.disposal import Disposal, SweepTurn
from service.gateway.images.ownership import Ownership
from service.gateway.images.retention import Retention, Rules
from service.http.front import StoreFront
from service.http.services import Budgets
from service.http.uploads import sweep
from service.settings.ordering import LONGEST_DEADLINE_S
from service.settings.variables import Settings
from service.wiring.accounts import make_registry
from service.wiring.process import ProcessContext

_LONGEST_ORDER_S = 2.0 * LONGEST_DEADLINE_S
"""Age above which a file belongs to no running order; twice the deadline, as an upload takes time, too."""
_PROBE_PAUSE_S = 5.0
_PAUSES_WHILE_USABLE = 12
"""Probes of a usable store: one small write a minute."""

ESTIMATES_AT_ONCE = 4
"""Estimates that a process works on: an order waits for these and for no others."""
MOST_WAITING_ESTIMATES = 256
MOST_WAITING_ESTIMATES_OF_ONE = 16
"""A page has one, and many people may share an address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """The store, the references to its images, and the workers that process images.

    *spill* wraps a remote store *home*, and holds images that wait for it.
    """

    home: ObjectStore
    spill: SpillingStore | None
    references: RedisReferences
    imaging: WorkerImages

    @property
    def store(self) -> ObjectStore | SpillingStore:
        return self.spill or self.home


async def open_images(context: ProcessContext, stack: AsyncExitStack) -> Images:
    """Open the store and probe it; *stack* stops the workers."""
    settings = context.settings
    url, options = store_url(settings), settings.store_options
    place = place_of(url, options)
    home = ObjectStore(
        url,
        options=options,
        telemetry=context.telemetry,
        explain=lambda reason: {"store": place, "advice": advise(reason, url)},
    )
    await home.probe()
    spill = _open_spill(context, home)
    imaging = WorkerImages(telemetry=context.telemetry)
    stack.push_async_callback(imaging.aclose)
    references = RedisReferences(context.redis, clock=context.clock, timeout_s=settings.redis_timeout_s)
    return Images(home=home, spill=spill, references=references, imaging=imaging)


async def watch_store(store: ObjectStore) -> None:
    """Probe *store* regularly, to notice a failure or recovery before the next order."""
    pauses = 0
    while True:
        await asyncio.sleep(_PROBE_PAUSE_S)
        pauses += 1
        if store.is_failing or pauses >= _PAUSES_WHILE_USABLE:
            pauses = 0
            await store.probe()


def make_front(settings: Settings, images: Images) -> StoreFront | None:
    """Return the nginx that sends stored images, if there is one; only a directory has it, and so no spill."""
    key = settings.store_front_key
    return None if key is None else StoreFront(images.home, key.get_secret_value().encode())


def make_ownership(context: ProcessContext, images: Images, journal: SqliteJournal) -> Ownership:
    return Ownership(
        references=images.references,
        unsettled=journal,
        audit=make_registry(context),
        clock=context.clock,
        telemetry=context.telemetry,
        circuit=Breaker(context.clock),
    )


def make_retention(context: ProcessContext, images: Images) -> Retention:
    settings = context.settings
    turns = RedisSweepLease(context.redis, process=context.name, timeout_s=settings.redis_timeout_s)
    turn = SweepTurn(turns=turns, check=context.check, sweep_s=settings.sweep_s)
    disposal = Disposal(
        inventory=images.references,
        leftovers=images.references,
        listing=images.store,
        cleaner=images.store,
        turns=turns,
        turn=turn,
        clock=context.clock,
        telemetry=context.telemetry,
    )
    return Retention(
        known=images.references,
        references=images.references,
        inventory=images.references,
        disposal=disposal,
        turn=turn,
        clock=context.clock,
        telemetry=context.telemetry,
        rules=Rules(
            longest_s=settings.retention_s, most_bytes=settings.retention_bytes, least_s=settings.deadline_s
        ),
    )


def make_links(context: ProcessContext) -> SignedLinks:
    """Return the links, signed with the newest secret; links of older secrets stay valid."""
    return SignedLinks(
        public_url=context.backing.public_url,
        keys=[derive_key(each, "image-link") for each in context.backing.secrets],
        ttl_s=context.settings.url_ttl_s,
        clock=context.clock,
    )


def open_uploads(settings: Settings) -> Path:
    """Return the directory of uploads, without files of killed processes."""
    directory = settings.data_dir / "uploads"
    sweep(directory, _LONGEST_ORDER_S)
    return directory


def stored_directories(settings: Settings) -> list[Path]:
    """Return the directories that earlier versions left for all to read."""
    kept = [settings.data_dir / name for name in ("files", "uploads", "spill", "outbox")]
    own = directory_of(settings.store_url) if settings.store_url else None
    return kept if own is None else [*kept, own / FOLDER]


def make_disks(settings: Settings) -> Disks:
    """Return the disks of this process: those of its data directory, and of a store elsewhere that is a directory."""
    store = directory_of(store_url(settings))
    places = {"data": settings.data_dir}
    if store is not None and not store.is_relative_to(settings.data_dir.resolve()):
        places["store"] = store
    return Disks(places)


def make_budgets(context: ProcessContext) -> Budgets:
    """Return the bounds of the bytes of requests in this process, and of its estimates."""
    settings = context.settings
    return Budgets(
        memory=ByteBudget(
            "memory",
            most_bytes=settings.body_bytes,
            share=settings.caller_share,
            telemetry=context.telemetry,
        ),
        disk=ByteBudget(
            "disk",
            most_bytes=settings.upload_bytes,
            share=settings.caller_share,
            telemetry=context.telemetry,
            spare_bytes=lambda: measure(settings.data_dir).spare_bytes,
        ),
        estimates=Turns(
            ESTIMATES_AT_ONCE,
            most_waiting=MOST_WAITING_ESTIMATES,
            most_of_one=MOST_WAITING_ESTIMATES_OF_ONE,
        ),
    )


def _open_spill(context: ProcessContext, home: ObjectStore) -> SpillingStore | None:
    """Return *home* with a spill if it is remote; a local spill would be on the same disk."""
    directory = context.settings.data_dir.resolve() / "spill"
    if urlsplit(store_url(context.settings)).scheme == "file":
        return None
    return SpillingStore(home, spill=ObjectStore(directory.as_uri()), telemetry=context.telemetry)


def store_url(settings: Settings) -> str:
    """Return the URL of the image store: that of the settings, or of a directory under `GATEWAY_DATA_DIR`."""
    return settings.store_url or (settings.data_dir.resolve() / "files").as_uri()
