"""Release what dead processes of the same data directory held, so that equal orders need not wait for their leases."""

import asyncio

from service.domain.errors import StateUnavailable
from service.ports.admission import AbandonedOrders
from service.ports.processes import Predecessors

_PAUSE_S = 1.0


async def release_predecessors(predecessors: Predecessors, orders: AbandonedOrders) -> None:
    """Release the orders of each predecessor; tried until Redis answers."""
    for name in predecessors.names():
        while await _fails(name, orders):  # noqa: ASYNC110 - a server that is back sends no event
            await asyncio.sleep(_PAUSE_S)
        predecessors.forget(name)


async def _fails(name: str, orders: AbandonedOrders) -> bool:
    try:
        await orders.release(name)
    except StateUnavailable as error:
        # A key of the wrong type concerns one team, whose leases lapse.
        return not error.is_about_keys
    return False
