"""Write commands of this program that can be pasted into the user's shell."""

import shlex
import shutil
import sys
from pathlib import Path

from service.settings.variables import Settings

_NAME = "image-gateway"


def program() -> str:
    """Return the command of this program: its name if the shell finds it, otherwise a path."""
    # Not resolved: the interpreter of a virtual environment links to one without this script.
    script = Path(sys.executable).with_name(_NAME)
    if not script.exists():
        return f"{_from_here(Path(sys.executable))} -m service"
    found = shutil.which(_NAME)
    return _NAME if found and Path(found).absolute() == script else _from_here(script)


def command_on(settings: Settings, arguments: str) -> str:
    """Return a command for a gateway with *settings*; without its secrets, which the shell must set."""
    default = Settings.model_fields["data_dir"].default
    places = {
        "GATEWAY_DATA_DIR": None if settings.data_dir == default else settings.data_dir,
        "GATEWAY_CONFIG": settings.config,
    }
    given = [f"{name}={shlex.quote(str(path))}" for name, path in places.items() if path is not None]
    return " ".join(["GATEWAY_AUTH=keys", *given, program(), arguments])


def _from_here(path: Path) -> str:
    here = Path.cwd()
    shown = path.relative_to(here) if path.is_relative_to(here) else path
    # Without a slash, a shell searches only its PATH.
    return shlex.quote(str(shown) if len(shown.parts) > 1 else f"./{shown}")
