"""`/admin`, for callers with the role `admin`: one module for each administered thing.

Each translates and calls a use case; `access.py` has refused all other callers. The request
models belong to the admin routes: no other route knows any of their fields.
"""

from service.http.admin import audit, cache, erasure, keys, policies, teams, usage

ROUTERS = tuple(part.router for part in (keys, teams, policies, usage, erasure, audit, cache))
"""In the order of the OpenAPI document."""
