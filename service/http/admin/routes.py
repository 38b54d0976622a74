"""`/admin`, for callers with the role `admin`: a module for each thing that is administered.

Each translates and calls a use case; `access.py` has let nobody else in. Their request
models are the admins' own: no field of them is known to any other route.
"""

from service.http.admin import audit, cache, keys, people, policies, teams, usage

ROUTERS = tuple(part.router for part in (keys, teams, policies, usage, people, audit, cache))
"""In the order of the OpenAPI document."""
