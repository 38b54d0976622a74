"""Read the events of a stream while they arrive, with the types of the generated operation."""

from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

import httpx

from .client import AuthenticatedClient, Client
from .errors import UnexpectedStatus

Event_co = TypeVar("Event_co", covariant=True)


class StreamingOperation(Protocol[Event_co]):
    """A module of `image_gateway_client.api` whose operation answers with events."""

    @property
    def _get_kwargs(self) -> Callable[..., dict[str, Any]]: ...

    def _parse_response(
        self, *, client: AuthenticatedClient | Client, response: httpx.Response
    ) -> Event_co | None: ...


def stream(
    operation: StreamingOperation[Event_co], *, client: AuthenticatedClient | Client, **arguments: Any
) -> Iterator[Event_co]:
    """Yield the events of an order; *arguments* are those of the operation.

    A refusal raises `UnexpectedStatus` with the body of the error.
    """
    with client.get_httpx_client().stream(**operation._get_kwargs(**arguments)) as response:
        if response.status_code != 200:
            raise UnexpectedStatus(response.status_code, response.read())
        data: list[str] = []
        for line in response.iter_lines():
            if line.startswith("data:"):
                data.append(line.removeprefix("data:").removeprefix(" "))
            elif not line and data:
                event = httpx.Response(200, text="\n".join(data))
                data.clear()
                parsed = operation._parse_response(client=client, response=event)
                if parsed is not None:
                    yield parsed
