"""Hold the behaviour of all keys and that of single keys, and count down what applies a number of times.

A member that was set for a key beats the common one; what was set for neither is as at the start of the process.
"""

import time
from dataclasses import dataclass, field
from typing import Any

from service.sandbox.faults.behaviour import Behaviour, Failure, Seconds, Throttle

_USUAL_WAIT_S = 1.0


@dataclass(slots=True)
class _Setting:
    """The members of one `PUT`, and its monotonic instant."""

    fields: dict[str, Any] = field(default_factory=dict)
    since_s: float = field(default_factory=time.monotonic)


class Conduct:
    """Knows keys by their name (`wire.kinds.name_key`); None stands for no key, and in `replace` for all."""

    def __init__(self, at_start: Behaviour) -> None:
        self._at_start = at_start
        self._common = _Setting()
        self._keys: dict[str, _Setting] = {}

    def of(self, key: str | None) -> Behaviour:
        """Return the behaviour towards a key."""
        fields = self._common.fields
        if own := self._keys.get(key or ""):
            fields = fields | own.fields
        return self._at_start.model_copy(update=fields)

    def replace(self, body: bytes, key: str | None = None) -> None:
        """Apply a JSON object; changes nothing if it raises `pydantic.ValidationError`."""
        asked = Behaviour.model_validate_json(body)
        setting = _Setting({name: getattr(asked, name) for name in asked.model_fields_set})
        if key is None:
            self._common = setting
        else:
            self._keys[key] = setting

    def reset(self, key: str | None = None) -> None:
        """Forget the behaviour of a key, or of all."""
        if key is None:
            self._common = _Setting()
            self._keys.clear()
        else:
            self._keys.pop(key, None)

    def take_failure(self, key: str | None, prompt: str) -> Failure | None:
        """Return the failure for this request, and count it down."""
        behaviour = self.of(key)
        if not behaviour.failures or (behaviour.failure_match or "") not in prompt:
            return None
        first, *rest = behaviour.failures
        if first.count > 1:
            rest.insert(0, first.model_copy(update={"count": first.count - 1}))
        self._owner(key, "failures").fields["failures"] = tuple(rest)
        return first

    def take_throttle(self, key: str | None) -> tuple[Throttle, Seconds] | None:
        """Return the throttle for this request and the wait to ask for, and count it down."""
        owner = self._owner(key, "throttle")
        throttle: Throttle | None = owner.fields.get("throttle")
        if throttle is None:
            return None
        wait_s = _USUAL_WAIT_S
        if throttle.for_s is not None:
            wait_s = owner.since_s + throttle.for_s - time.monotonic()
            if wait_s <= 0:
                owner.fields["throttle"] = None
                return None
        elif throttle.requests is not None:
            left = throttle.requests - 1
            owner.fields["throttle"] = throttle.model_copy(update={"requests": left}) if left else None
        return throttle, wait_s if throttle.retry_after_s is None else throttle.retry_after_s

    def _owner(self, key: str | None, member: str) -> _Setting:
        own = self._keys.get(key or "")
        return own if own and member in own.fields else self._common
