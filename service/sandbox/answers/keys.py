"""Admit the key of a request: its account, its throttle, and the models that it has."""

from service.sandbox.faults.key_states import model_missing, refuse_account, throttled
from service.sandbox.journal.journaled_requests import JournaledRequest
from service.sandbox.parts import Sandbox


def check_account(sandbox: Sandbox, journaled: JournaledRequest) -> None:
    """Raise the `Refusal` of an account that is not active."""
    if refusal := refuse_account(journaled.behaviour.account, sandbox.kind):
        raise refusal


def admit_key(sandbox: Sandbox, journaled: JournaledRequest) -> None:
    """Raise the `Refusal` of a key that may make no images now, or not by this model."""
    check_account(sandbox, journaled)
    if throttle := sandbox.conduct.take_throttle(journaled.key_name):
        raise throttled(*throttle, sandbox.kind)
    name = journaled.entry.model
    if name is not None and name in journaled.behaviour.missing_models:
        raise model_missing(name, sandbox.kind)
