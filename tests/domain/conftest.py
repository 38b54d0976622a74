"""How hard properties are tried: as hard as a suite that runs before every commit can bear."""

from hypothesis import HealthCheck, settings

# Without time limits on an example: a busy machine is no bug.
settings.register_profile(
    "house", max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("house")
