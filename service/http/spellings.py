"""Give a request the path of its route: clients call the same route by several paths.

Before anything else reads the path, so that access, routes, logs and metrics know one path for each route.
Never by a redirect: it would send an upload twice.

| spelling | clients |
| --- | --- |
| `/images/...`, `/models`, `/usage` | a base URL without `/v1` |
| `//v1/images/...`, `/v1//images/...`, `/v1/images/generations/` | a slash at the end of a base URL or path |
| `/openai/v1/images/...`, `/openai/images/...` | Azure's current API, and its older one without a deployment |
| `/openai/deployments/{deployment}/images/...` | AzureOpenAI, LiteLLM: the deployment is the model |

How to add one: extend `spell`, the table, and `tests/http/test_spellings.py`. A spelling must not begin with the path
of another route, as users and models in a path may contain any characters.
"""

from starlette.types import Scope

SPELT_RIGHT = frozenset({"/v1/images/generations", "/v1/images/edits", "/v1/images/variations"})
"""The paths of most requests, which need no look at their parts."""

_RESOURCES = frozenset({"images", "models", "usage"})
"""First parts of all paths below `/v1`."""


def respell(scope: Scope) -> None:
    """Replace the path of *scope* by its route's; `scope["state"]["deployment"]` is the deployment it names."""
    scope["path"], deployment = spell(scope["path"])
    if deployment is not None:
        scope["state"]["deployment"] = deployment


def spell(path: str) -> tuple[str, str | None]:
    """Return the path of the route that *path* calls, and the deployment it names; an unknown path as it is."""
    parts = [part for part in path.split("/") if part]
    deployment = None
    if parts == ["generate_image"]:
        return "/generate_image", None
    if parts[:2] == ["openai", "deployments"] and "images" in parts[3:]:
        resource = len(parts) - 1 - parts[::-1].index("images")
        deployment = "/".join(parts[2:resource])
        del parts[:resource]
    elif parts[:1] == ["openai"]:
        del parts[0]
    if parts[:1] == ["v1"]:
        del parts[0]
    if not parts or parts[0] not in _RESOURCES:
        return path, None
    return f"/v1/{'/'.join(parts)}", deployment
