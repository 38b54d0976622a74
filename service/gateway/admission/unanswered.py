"""Go on after an ask without an answer, which Redis may have granted all the same."""

from service.ports.admission import Ask, Grant, Settlement


def wait_on(ask: Ask) -> Grant | None:
    """Return a grant that keeps *ask* waiting for images of others, or None: silence is no reason to buy them."""
    awaited = tuple(index for index in ask.awaiting if index >= 0)
    return Grant(ready=(), mine=(), awaited=awaited, limits=(), degraded=True) if awaited else None


def give_up(ask: Ask) -> Settlement:
    """Return the settlement that gives up any grant of Redis for *ask*."""
    return Settlement(
        ticket=ask.ticket,
        part=f"{ask.round}.unheard",
        fence=ask.fence,
        released=(-1,),
        # An order that goes on keeps its key.
        is_last=opens_key(ask),
    )


def opens_key(ask: Ask) -> bool:
    """Tell if *ask* is the first of an order with an `Idempotency-Key`."""
    return ask.ticket.idempotency is not None and ask.round == 0
