"""Which clients are tried, in which exact versions: the only place to change when a new one appears.

The gateway of a company meets SDKs of every age, so each generation is here in its last release.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One environment; *name* is its directory, *version* what the client must say of itself."""

    name: str
    version: str
    script: str
    packages: tuple[str, ...]


PYTHON_3 = Pin(
    name="python-3", version="3.54.0", script="openai_modern.py", packages=("openai[aiohttp]==3.54.0",)
)
PYTHON_2 = Pin(name="python-2", version="2.54.0", script="openai_modern.py", packages=("openai==2.54.0",))
PYTHON_1 = Pin(name="python-1", version="1.109.1", script="openai_modern.py", packages=("openai==1.109.1",))
PYTHON_0 = Pin(
    name="python-0",
    version="0.28.1",
    script="openai_028.py",
    packages=("openai==0.28.1", "requests==2.34.2", "aiohttp==3.14.5"),
)
NODE = Pin(name="node", version="7.57.0", script="openai_node.mjs", packages=("openai@7.57.0",))
OWN_TESTS = Pin(
    name="python-3-tests",
    version="3.54.0",
    script="",
    packages=(
        "openai[aiohttp]==3.54.0",
        "inline-snapshot==0.36.1",
        "pytest==9.2.0",
        "pytest-asyncio==1.5.0",
        "pytest-xdist==3.8.0",
        "rich==15.0.0",
        "trio==0.35.0",
    ),
)
"""What the SDK's own tests want; the tests themselves are in its source archive."""
