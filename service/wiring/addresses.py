"""Say where backends are and how they are reached, by the settings of each key."""

from collections.abc import Callable

import httpx

from service.adapters.openai.address import BackendAddress
from service.adapters.transport import open_transport
from service.domain.images import Realm
from service.settings.backend_keys import KeyConfig
from service.settings.backends import BackendConfig


def address_of(
    backend: BackendConfig, key: KeyConfig, realm: Realm = Realm.LIVE, *, is_of_variables: bool = False
) -> BackendAddress:
    """Return the address of *backend* with *key*; if the provider's variables set it (*is_of_variables*), advice names those."""
    return BackendAddress(
        name=backend.name,
        realm=realm,
        url=backend.url,
        kind=backend.kind,
        key="" if is_of_variables else key.name,
        # Some servers want any key; a backend of the file without keys has none to send.
        api_key=key.secret.get_secret_value() or ("none" if is_of_variables else ""),
        # Only their names there count for the address.
        models=backend.offer({}).models,
        organization=backend.organization,
        project=backend.project,
        headers={name: value.get_secret_value() for name, value in backend.headers.items()},
        answers_for_itself=backend.answers_for_itself,
        errors=backend.errors,
        omit=frozenset(backend.omit),
        api=backend.api,
        api_version=backend.api_version,
    )


def open_transport_to(
    backend: BackendConfig, *, connections: int, traceparent: Callable[[], str] | None = None
) -> httpx.AsyncBaseTransport:
    """Return a transport for all keys of *backend*."""
    return open_transport(
        backend.url,
        connections=connections,
        traceparent=traceparent,
        proxy=backend.proxy.get_secret_value() if backend.proxy else None,
        ca_file=str(backend.ca_file) if backend.ca_file else None,
    )
