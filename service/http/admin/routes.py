"""`/admin`, for callers with the role `admin`: one module for each subject.

`access.py` refuses all other callers before a route is called.

How to add one: a route in the module of its subject, with an `operation_id` that begins with `admin`; a new module makes
its `router` with `make_router()` and joins `ROUTERS`. `tests/http/test_access_table.py` asks for its row among those
for admins, `tests/test_openapi_document.py` for a row in `http/contract/operations.py` and a new `openapi/openapi.yaml`.
"""

from service.http.admin import audit, cache, erasure, keys, policies, teams, usage

ROUTERS = tuple(part.router for part in (keys, teams, policies, usage, erasure, audit, cache))
"""In the order of the OpenAPI document."""
