from service.domain.callers import Caller, Policy, Scope
from service.domain.limits import Limit, Resource


def test_every_set_limit_of_every_scope_counts() -> None:
    person = Scope(name="user", key="ann", policy=Policy(images_per_min=5, images_in_flight=2))
    team = Scope(name="team", key="design", policy=Policy(budget_per_month_microusd=1_000_000))
    caller = Caller(team="design", user="ann", scopes=(person, team))

    assert caller.limits == (
        Limit(resource=Resource.IMAGES, scope="user", key="ann", amount=5),
        Limit(resource=Resource.IMAGES_IN_FLIGHT, scope="user", key="ann", amount=2),
        Limit(resource=Resource.BUDGET_PER_MONTH, scope="team", key="design", amount=1_000_000),
    )
