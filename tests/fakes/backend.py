"""A backend that answers by script."""

import asyncio
from collections import deque

from service.domain.failures import CallFailure
from service.domain.images import CallMade, ImageCall, Realm
from service.ports.provider import CallProgress
from tests.fakes.values import a_call_made

Outcome = CallMade | CallFailure | Exception

STAGE = {"quality": "low"}
"""What the provider says it chose, with every stage of a image."""


class Held:
    """An attempt that hangs until the test releases it: at the provider, or in the pace before it."""

    def __init__(self, *, is_sent: bool = True) -> None:
        self.is_sent = is_sent
        self.arrived = asyncio.Event()
        self._released = asyncio.Event()
        self._outcome: Outcome | None = None

    def release(self, outcome: Outcome | None = None) -> None:
        """Let it go on, to *outcome* or else to the images asked for."""
        self._outcome = outcome
        self._released.set()

    async def wait(self) -> Outcome | None:
        self.arrived.set()
        await self._released.wait()
        return self._outcome


class FakeBackend:
    """Implements `ports.provider.Backend`. Each attempt takes the next step of the script; after it, all succeed.

    *calls* are those that were sent, as the provider's own journal would have them.
    Stages are shown as soon as a call is sent, as many as it asks for.
    """

    realm = Realm.SANDBOX

    def __init__(self, *script: Outcome | Held, name: str = "fake") -> None:
        self.name = name
        self.script = deque(script)
        self.attempts = 0
        self.calls: list[ImageCall] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self._serial = 0

    async def make(self, call: ImageCall, progress: CallProgress) -> CallMade | CallFailure:
        self.attempts += 1
        step = self.script.popleft() if self.script else None
        if isinstance(step, Held) and not step.is_sent:
            step = await step.wait()
        progress.sending()
        self.calls.append(call)
        for number in range(call.partial_images):
            progress.show(number, f"stage {number} of {call.prompt}".encode(), STAGE)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            outcome = await step.wait() if isinstance(step, Held) else step
        finally:
            self.in_flight -= 1
        if isinstance(outcome, Exception):
            raise outcome
        return self._paint(call.n) if outcome is None else outcome

    def _paint(self, n: int) -> CallMade:
        first, self._serial = self._serial, self._serial + n
        return a_call_made(*(f"image {first + i}".encode() for i in range(n)))
