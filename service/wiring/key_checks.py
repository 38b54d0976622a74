"""Ask every key of every backend for its models at once: a free test of addresses and keys, which makes nothing."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from service.adapters.openai.check import ProviderCheck
from service.domain.backends import KeyName
from service.domain.failures import FailureKind
from service.ports.telemetry import ProviderChecked, TelemetryFact
from service.settings.backend_keys import KeyConfig
from service.settings.backends import BackendConfig
from service.wiring.addresses import address_of, open_transport_to

Answer = Literal["accepted", "answers", "refused", "unreachable", "fails"]
"""`answers` does not tell if the key is good: there is none, or the list of models is missing or forbidden to it."""
_ANSWERS: Mapping[FailureKind, Answer] = {
    FailureKind.UNREACHABLE: "unreachable",
    FailureKind.TIMED_OUT: "unreachable",
    FailureKind.MISCONFIGURED: "refused",
    FailureKind.BLOCKED: "refused",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyChecked:
    """The *answer* to a key, with *advice* if it cannot be used now."""

    name: KeyName
    answer: Answer
    advice: str = ""


class _LastFact:
    """Implements `Telemetry`: keeps the result of a check."""

    def __init__(self) -> None:
        self.fact: ProviderChecked | None = None

    def record(self, fact: TelemetryFact) -> None:
        if isinstance(fact, ProviderChecked):
            self.fact = fact


async def check_keys(backends: Sequence[BackendConfig], *, is_of_variables: bool) -> list[KeyChecked]:
    """Return the answers to all keys of *backends*, in their order; a key without an answer takes some seconds.

    *is_of_variables*: the provider's variables set them, so advice names those.
    """
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_check(backend, key, is_of_variables=is_of_variables))
            for backend in backends
            for key in backend.keys
        ]
    return [task.result() for task in tasks]


async def _check(backend: BackendConfig, key: KeyConfig, *, is_of_variables: bool) -> KeyChecked:
    name = KeyName(backend.name, key.name)
    last = _LastFact()
    transport = open_transport_to(backend, connections=1)
    try:
        address = address_of(backend, key, is_of_variables=is_of_variables)
        await ProviderCheck(address, name=name, transport=transport, telemetry=last).run()
    finally:
        await transport.aclose()
    if last.fact is None or last.fact.failure is None:
        is_sure = last.fact is not None and last.fact.is_sure and key.secret.get_secret_value()
        return KeyChecked(name=name, answer="accepted" if is_sure else "answers")
    failure = last.fact.failure
    return KeyChecked(
        name=name, answer=_ANSWERS.get(failure.kind, "fails"), advice=failure.advice or failure.message
    )
