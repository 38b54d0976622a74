"""Check the address of Azure's endpoints: `api-version`, and the deployment in a classic path.

`generations`, `edits` and `model_list` answer.
"""

import re
from collections.abc import Awaitable, Callable

from starlette.responses import Response

from service.sandbox.journal.journaled_requests import JournaledRequest
from service.sandbox.parts import Sandbox
from service.sandbox.wire.azure_refusals import resource_not_found, version_not_supported

_DATED = re.compile(r"20[0-9]{2}-[01][0-9]-[0-3][0-9](-preview)?")
_UNDATED = ("preview", "latest", "v1")
Plain = Callable[[Sandbox, JournaledRequest], Awaitable[Response]]
Deployed = Callable[[Sandbox, JournaledRequest, str | None], Awaitable[Response]]


def of_deployment(answer: Deployed) -> Plain:
    """Return the endpoint of a classic path, which needs a dated version."""

    async def check(sandbox: Sandbox, journaled: JournaledRequest) -> Response:
        _check_dated(journaled)
        return await answer(sandbox, journaled, journaled.request.path_params["deployment"])

    return check


def classic(answer: Plain) -> Plain:
    """Return the endpoint of a path without a deployment, which needs a dated version."""

    async def check(sandbox: Sandbox, journaled: JournaledRequest) -> Response:
        _check_dated(journaled)
        return await answer(sandbox, journaled)

    return check


def of_v1(answer: Plain) -> Plain:
    """Return the endpoint of a path under `/openai/v1`, which needs no version and takes no date."""

    async def check(sandbox: Sandbox, journaled: JournaledRequest) -> Response:
        version = journaled.entry.query.get("api-version")
        if version is not None and version not in _UNDATED:
            raise version_not_supported()
        return await answer(sandbox, journaled)

    return check


def _check_dated(journaled: JournaledRequest) -> None:
    version = journaled.entry.query.get("api-version")
    if version is None:
        raise resource_not_found()
    if not _DATED.fullmatch(version):
        raise version_not_supported()
