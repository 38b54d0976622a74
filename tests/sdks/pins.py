"""The exact versions of the generators and compilers: the only place to change when a new one appears.

The newest releases that run on Node.js 20.
"""

from tests.compatibility.pins import Pin

PYTHON = Pin(
    name="sdk-python",
    version="0.29.1",
    script="",
    packages=("openapi-python-client==0.29.1", "mypy==2.4.1", "httpx==0.28.1", "attrs==26.1.0"),
)
JAVA = Pin(name="sdk-java", version="7.26.0", script="", packages=("openapi-generator-cli==7.26.0",))
NODE = Pin(
    name="sdk-node",
    version="0.95.0",
    script="",
    packages=(
        "@hey-api/openapi-ts@0.95.0",
        "@oazapfts/runtime@1.2.0",
        "@types/node@20.19.43",
        "oazapfts@7.5.0",
        "openapi-fetch@0.17.0",
        "openapi-typescript@7.13.0",
        "orval@7.13.2",
        "swagger-typescript-api@13.13.0",
        "typescript@5.9.3",
    ),
)


def release(package: str) -> str:
    """Return a pinned package of npm as the table names it."""
    (pinned,) = (pin for pin in NODE.packages if pin.rpartition("@")[0] == package)
    return (
        pinned.replace("@", " ") if not package.startswith("@") else f"{package} {pinned.rpartition('@')[2]}"
    )
