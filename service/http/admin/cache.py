"""`/admin/cache`: count and purge stored images."""

import math
import re
from typing import Literal

from fastapi import Request
from pydantic import BaseModel, Field

from service.domain.errors import InvalidOrder
from service.gateway.images.purge import Purged, Selection, TeamStats
from service.http.admin.envelopes import Listing
from service.http.admin.requests import make_router, name_of_admin
from service.http.query import parameter, read_choice, read_query
from service.http.services import services_of

MOST_PURGED = 10_000
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)

router = make_router()


class TeamCache(BaseModel):
    """The stored images of one team."""

    object: Literal["team_cache"] = "team_cache"
    team: str
    images: int
    size_bytes: int
    variants: int = Field(description="Images in the cache, which equal orders receive.")
    oldest: int | None = Field(
        description="Time of the oldest image, in seconds since 1970; null without images."
    )
    models: dict[str, int] = Field(description="Number of images by the model that made them, largest first.")


class TeamCacheList(Listing[TeamCache]):
    """The stored images of every team. An image that two teams share counts for both."""


class PurgeResult(BaseModel):
    """The images purged, or matched by a dry run."""

    object: Literal["purge"] = "purge"
    images: int
    size_bytes: int
    dry_run: bool
    has_more: bool = Field(
        description=f"More images match: a request purges at most {MOST_PURGED}. Send it again."
    )


_PURGE_PARAMETERS = (
    parameter("team", "Only images of this team."),
    parameter(
        "user", "Only images of this user: a name, as in keys and tokens, or the hash that usage shows."
    ),
    parameter("model", "Only images that were ordered from or made by this model."),
    parameter("fingerprint", "Only images of the order with this fingerprint, as `/info` shows it."),
    parameter(
        "older_than_s",
        "Only images older than this, in seconds; 0 means any age.",
        type="number",
        minimum=0,
    ),
    parameter("dry_run", "True counts the images and purges none.", type="boolean"),
)
_PURGE_NAMES = {each["name"] for each in _PURGE_PARAMETERS}


@router.get(
    "/cache",
    operation_id="adminGetCacheStats",
    summary="Count the stored images of each team",
    openapi_extra={"parameters": [_PURGE_PARAMETERS[0]]},
)
async def get_cache_stats(request: Request) -> TeamCacheList:
    """Count all images; with many of them, the answer takes seconds."""
    team = read_query(request, {"team"}).get("team")
    stats = await services_of(request.scope).images.purging.stats(team)
    return TeamCacheList(data=[_describe(each) for each in stats])


@router.delete(
    "/cache",
    operation_id="adminPurgeCache",
    summary="Purge the images that match all given filters",
    openapi_extra={"parameters": list(_PURGE_PARAMETERS)},
)
async def purge_cache(request: Request) -> PurgeResult:
    """Remove images from the cache; their links answer 410. Files are deleted once no team keeps them."""
    services = services_of(request.scope)
    query = read_query(request, _PURGE_NAMES)
    selection = Selection(
        team=query.get("team"),
        user=services.accounts.administration.callers.hash_of(query["user"]) if "user" in query else None,
        model=query.get("model"),
        fingerprint=query.get("fingerprint"),
        older_than_s=_read_age(query),
    )
    if read_choice(query, "dry_run", ("true", "false")) == "true":
        return _answer(await services.images.purging.select(selection), dry_run=True)
    purged = await services.images.purging.purge(name_of_admin(request), selection, most=MOST_PURGED)
    return _answer(purged, dry_run=False)


def _describe(stats: TeamStats) -> TeamCache:
    return TeamCache(
        team=stats.team,
        images=stats.images,
        size_bytes=stats.size_bytes,
        variants=stats.variants,
        oldest=stats.oldest_s,
        models=dict(stats.models.most_common()),
    )


def _answer(purged: Purged, *, dry_run: bool) -> PurgeResult:
    return PurgeResult(
        images=purged.images,
        size_bytes=purged.size_bytes,
        dry_run=dry_run,
        has_more=not purged.is_complete,
    )


def _read_age(query: dict[str, str]) -> float | None:
    text = query.get("older_than_s")
    if text is None:
        return None
    age_s = float(text) if _NUMBER.fullmatch(text) else math.inf
    if age_s == math.inf:
        raise InvalidOrder("Invalid 'older_than_s': it must be seconds, such as 86400.", param="older_than_s")
    return age_s
