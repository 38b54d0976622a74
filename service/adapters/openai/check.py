"""Ask a provider for its models: a free test of the address and the key.

Every outcome is recorded as a fact, and nothing is raised.
"""

import asyncio

import aiohttp
import httpx

from service.adapters.openai import failures
from service.adapters.openai.address import BackendAddress
from service.adapters.openai.dialects.registry import open_dialect
from service.adapters.openai.reception import FAILURE, read_body
from service.adapters.openai.troubleshooting import explain
from service.domain.backends import KeyName
from service.domain.failures import Billing, CallFailure, FailureKind
from service.ports.telemetry import ProviderChecked, Telemetry

_TIMEOUT_S = 10.0
_NO_MODELS = (404, 405, 501)
"""Statuses of servers that have the images API and no list of models."""
_NO_JSON = "The image provider's answer cannot be understood."
_TIMED_OUT = CallFailure(
    kind=FailureKind.TIMED_OUT,
    billing=Billing.NOT_BILLED,
    message="The image provider did not answer in time.",
    cause="no answer to GET /models in time",
)


class ProviderCheck:
    """Checks the key *name* of a backend without ordering anything."""

    def __init__(
        self,
        address: BackendAddress,
        *,
        name: KeyName,
        transport: httpx.AsyncBaseTransport,
        telemetry: Telemetry,
    ) -> None:
        self.name = name
        self._dialect = open_dialect(address)
        self._transport = transport
        self._telemetry = telemetry

    async def run(self) -> None:
        """Ask once, and record the result."""
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                status, failure = await self._ask()
        except TimeoutError:
            status, failure = None, _TIMED_OUT
        except (httpx.HTTPError, aiohttp.ClientError) as error:
            status, failure = None, failures.classify_exception(error)
        if failure is not None:
            failure = None if self._concerns_only_list(failure) else explain(failure, self._dialect)
        is_sure = status == httpx.codes.OK
        self._telemetry.record(
            ProviderChecked(backend=self.name.backend, key=self.name.key, failure=failure, is_sure=is_sure)
        )

    async def _ask(self) -> tuple[int, CallFailure | None]:
        request = httpx.Request("GET", self._dialect.url_of("models"), headers=self._dialect.headers)
        response = await self._transport.handle_async_request(request)
        status, kind = response.status_code, response.headers.get("content-type", "")
        try:
            if status == httpx.codes.OK:
                return status, None if "json" in kind else failures.broken(_NO_JSON, status=status)
            body = await read_body(response, FAILURE)
        finally:
            await response.aclose()
        return status, self._dialect.read_failure(status, response.headers, body or b"")

    def _concerns_only_list(self, failure: CallFailure) -> bool:
        """Tell if only the list of models is missing, forbidden to this key, or unavailable now."""
        if failure.status in _NO_MODELS and not self._dialect.always_lists:
            return failure.status != 404 or not self._dialect.lacks_version
        is_for_others = failure.status in (401, 403) and "Missing scopes" in failure.cause
        return is_for_others or failure.kind is FailureKind.RATE_LIMITED
