"""Which clients are tried, in which exact versions: the only place to change when a new one appears.

The gateway of a company meets SDKs of every age, so each generation is here in its last release; of frameworks, the
newest.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One environment; *name* is its directory, *version* what the client must say of itself."""

    name: str
    version: str
    script: str
    packages: tuple[str, ...]

    @property
    def is_node(self) -> bool:
        """Tell if npm installs the packages."""
        return self.script.endswith(".mjs")


_OPENAI = "openai==3.57.0"
"""Frameworks would otherwise take the newest of each day."""

PYTHON_3 = Pin(
    name="python-3", version="3.57.0", script="openai_modern.py", packages=("openai[aiohttp]==3.57.0",)
)
PYTHON_2 = Pin(name="python-2", version="2.54.0", script="openai_modern.py", packages=("openai==2.54.0",))
PYTHON_1 = Pin(name="python-1", version="1.109.1", script="openai_modern.py", packages=("openai==1.109.1",))
PYTHON_0 = Pin(
    name="python-0",
    version="0.28.1",
    script="openai_028.py",
    packages=("openai==0.28.1", "requests==2.34.2", "aiohttp==3.14.5"),
)
NODE = Pin(name="node", version="7.59.0", script="openai_node.mjs", packages=("openai@7.59.0",))
NODE_6 = Pin(name="node-6", version="6.49.0", script="openai_node.mjs", packages=("openai@6.49.0",))
NODE_5 = Pin(name="node-5", version="5.23.2", script="openai_node.mjs", packages=("openai@5.23.2",))
NODE_4 = Pin(name="node-4", version="4.104.0", script="openai_node.mjs", packages=("openai@4.104.0",))
OWN_TESTS = Pin(
    name="python-3-tests",
    version="3.57.0",
    script="",
    packages=(
        "openai[aiohttp]==3.57.0",
        "inline-snapshot==0.36.1",
        "pytest==9.2.0",
        "pytest-asyncio==1.5.0",
        "pytest-xdist==3.8.0",
        "rich==15.0.0",
        "trio==0.35.0",
    ),
)
"""What the SDK's own tests want; the tests themselves are in its source archive."""

AI_SDK = Pin(
    name="ai-sdk",
    version="7.0.173",
    script="ai_sdk.mjs",
    packages=("ai@7.0.173", "@ai-sdk/openai@4.0.118", "@ai-sdk/azure@4.0.85"),
)
LANGCHAIN_JS = Pin(
    name="langchain-js",
    version="1.6.0",
    script="langchain_js.mjs",
    packages=("@langchain/openai@1.6.0", "@langchain/core@1.4.0", "openai@7.59.0"),
)
LANGCHAIN = Pin(
    name="langchain",
    version="0.4.2",
    script="langchain_python.py",
    packages=("langchain-community==0.4.2", _OPENAI),
)
LLAMA_INDEX = Pin(
    name="llama-index",
    version="0.7.0",
    script="llama_index_tool.py",
    packages=("llama-index-tools-openai-image-generation==0.7.0", _OPENAI),
)
LITELLM = Pin(
    name="litellm", version="1.110.2", script="litellm_sdk.py", packages=("litellm==1.110.2", _OPENAI)
)
HAYSTACK = Pin(
    name="haystack", version="3.4.1", script="haystack_component.py", packages=("haystack-ai==3.4.1", _OPENAI)
)
SEMANTIC_KERNEL = Pin(
    name="semantic-kernel",
    version="1.45.0",
    script="semantic_kernel_service.py",
    packages=("semantic-kernel==1.45.0", _OPENAI),
)
