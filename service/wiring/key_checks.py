"""Ask every key of every backend for its models at once: a free test of addresses and keys, which makes nothing."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import httpx

from service.adapters.openai.address import BackendAddress
from service.adapters.openai.check import ProviderCheck
from service.adapters.transport import open_transport
from service.domain.backends import KeyName
from service.domain.failures import FailureKind
from service.domain.images import Realm
from service.ports.telemetry import ProviderChecked, TelemetryFact
from service.settings.backend_keys import KeyConfig
from service.settings.backends import BackendConfig

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
            group.create_task(_check(backend, key, "" if is_of_variables else key.name))
            for backend in backends
            for key in backend.keys
        ]
    return [task.result() for task in tasks]


async def _check(backend: BackendConfig, key: KeyConfig, advised: str) -> KeyChecked:
    name = KeyName(backend.name, key.name)
    last = _LastFact()
    transport = _open_transport(backend)
    try:
        await ProviderCheck(_address_of(backend, key, advised), transport=transport, telemetry=last).run()
    finally:
        await transport.aclose()
    if last.fact is None or last.fact.failure is None:
        is_sure = last.fact is not None and last.fact.is_sure and key.secret.get_secret_value()
        return KeyChecked(name=name, answer="accepted" if is_sure else "answers")
    failure = last.fact.failure
    return KeyChecked(
        name=name, answer=_ANSWERS.get(failure.kind, "fails"), advice=failure.advice or failure.message
    )


def _open_transport(backend: BackendConfig) -> httpx.AsyncBaseTransport:
    return open_transport(
        backend.url,
        connections=1,
        proxy=backend.proxy.get_secret_value() if backend.proxy else None,
        ca_file=str(backend.ca_file) if backend.ca_file else None,
    )


def _address_of(backend: BackendConfig, key: KeyConfig, advised: str) -> BackendAddress:
    """Return the address of *key*, which advice calls *advised*."""
    return BackendAddress(
        name=backend.name,
        realm=Realm.LIVE,
        url=backend.url,
        kind=backend.kind,
        key=advised,
        api_key=key.secret.get_secret_value(),
        organization=backend.organization,
        project=backend.project,
        headers={name: value.get_secret_value() for name, value in backend.headers.items()},
        answers_for_itself=backend.answers_for_itself,
        errors=backend.errors,
        api=backend.api,
        api_version=backend.api_version,
    )
