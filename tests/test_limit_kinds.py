"""Compare the table of limits with the places that have to name each of them by hand."""

import inspect
from dataclasses import fields

import pytest

from service.commands.policies import set_policy
from service.domain.callers import Policy
from service.domain.limits import LIMITS, LimitKind, Resource
from service.http.admin.policies import PolicyEntry, PutPolicyRequest
from service.settings.policies import Limits
from tests.processes import REPOSITORY

PLACES = {
    "service/domain/callers.py: Policy": {field.name for field in fields(Policy)},
    "service/settings/policies.py: Limits": set(Limits.model_fields),
    "service/http/admin/policies.py: PutPolicyRequest": set(PutPolicyRequest.model_fields),
    "service/http/admin/policies.py: PolicyEntry": set(PolicyEntry.model_fields),
}
"""The types that have a field for every kind of limit."""


def test_every_kind_of_limit_has_one_row_and_a_name_of_its_own() -> None:
    assert [kind.resource for kind in LIMITS] == list(Resource)
    for names in (
        {kind.name for kind in LIMITS},
        {kind.words for kind in LIMITS},
        {kind.column for kind in LIMITS},
    ):
        assert len(names) == len(LIMITS)


@pytest.mark.parametrize("kind", LIMITS, ids=lambda kind: kind.name)
def test_every_kind_of_limit_is_in_every_list(kind: LimitKind) -> None:
    missing = [place for place, names in PLACES.items() if kind.name not in names]
    if kind.option not in inspect.signature(set_policy).parameters:
        missing.append("service/commands/policies.py: set_policy")
    if f"`{kind.resource}`" not in _read("docs/metrics.md"):
        missing.append("docs/metrics.md: imagegw_limit_decisions_total")
    if kind.name not in _read("docs/keys-and-limits.md"):
        missing.append("docs/keys-and-limits.md: Policies in the configuration file")

    assert not missing, "Not yet in " + "; ".join(missing)


@pytest.mark.parametrize("kind", LIMITS, ids=lambda kind: kind.name)
def test_every_kind_of_limit_has_the_same_bounds_in_every_list(kind: LimitKind) -> None:
    schemas = {
        "service/settings/policies.py": Limits.model_json_schema()["properties"],
        "service/http/admin/policies.py": PutPolicyRequest.model_json_schema()["properties"],
    }

    bounds = {
        place: (schema[kind.name].get("minimum"), schema[kind.name].get("maximum"))
        for place, schema in schemas.items()
        if kind.name in schema
    }

    assert bounds == dict.fromkeys(bounds, (0, kind.most))


def test_no_kind_of_limit_is_missing_in_the_table() -> None:
    assert set(Limits.model_fields) - {kind.name for kind in LIMITS} == set()


def _read(path: str) -> str:
    return (REPOSITORY / path).read_text("utf-8")
