"""Answer the routes under `/sandbox`: journal, behaviour, faults, and images that have a URL.

Owns their JSON. They are for tests, need no key, and are not part of the imitated API; a
gateway starts its own sandbox without the first three.
"""

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from service.sandbox.faults.modes import PassThrough, name_mode, read_mode
from service.sandbox.parts import Sandbox
from service.sandbox.wire.error_envelope import Refusal
from service.sandbox.wire.json_bodies import read_object, to_refused, to_response
from service.sandbox.wire.kinds import find_key_name

_LONGEST_SETTLE_S = 60.0


class Controls:
    """The endpoints; their refusals use the envelope of the API."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    async def journal(self, request: Request) -> Response:
        """GET the entries after `since`, waiting up to `settle_s` for requests in flight; DELETE drops all."""
        journal = self._sandbox.journal
        if request.method == "DELETE":
            journal.clear()
            return Response(status_code=204)
        try:
            since = int(request.query_params.get("since", "0"))
            settle_s = float(request.query_params.get("settle_s", "0"))
        except ValueError:
            return _refused("since must be an integer and settle_s a number of seconds")
        is_settled = await journal.settle(min(settle_s, _LONGEST_SETTLE_S))
        return to_response({"entries": journal.since(since), "settled": is_settled})

    async def behaviour(self, request: Request) -> Response:
        """GET shows it, PUT replaces it, DELETE restores the behaviour from the start of the process.

        `key`, a key or its hash, narrows each to one key; DELETE without it restores the behaviour towards all.
        """
        conduct, rates = self._sandbox.conduct, self._sandbox.rates
        given = request.query_params.get("key")
        key = find_key_name(given) if given else None
        if request.method == "PUT":
            try:
                conduct.replace(await request.body(), key)
            except ValidationError as error:
                return _refused(str(error))
        elif request.method == "DELETE":
            conduct.reset(key)
            rates.clear(key)
        return to_response(conduct.of(key).model_dump(mode="json"))

    async def faults(self, request: Request) -> Response:
        """GET shows the mode, PUT sets it (`mode`, its members, `times`), DELETE restores `pass_through`."""
        proxy = self._sandbox.proxy
        if proxy is None:
            return _refused("this sandbox was started without --fault-proxy", status=409)
        try:
            if request.method == "PUT":
                fields = await read_object(request)
                times = fields.pop("times", None)
                if times is not None and type(times) is not int:
                    return _refused("times must be an integer")
                proxy.set(read_mode(fields), times=times)
            elif request.method == "DELETE":
                proxy.set(PassThrough())
        except Refusal as refusal:
            return to_refused(refusal)
        except ValueError as error:
            return _refused(str(error))
        return to_response({"mode": name_mode(proxy.mode), "times": proxy.times_left})

    async def shelved_image(self, request: Request) -> Response:
        name = request.path_params["name"]
        file = self._sandbox.studio.fetch(name)
        if file is None:
            return _refused("this image is no longer kept", status=404)
        return Response(file, media_type=f"image/{name.rpartition('.')[2]}")


def _refused(message: str, *, status: int = 400) -> Response:
    return to_refused(Refusal(status, message))
