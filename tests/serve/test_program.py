"""Print commands that can be pasted: they call this program by a working path."""

import shutil
import subprocess
import sys
from pathlib import Path

from service.serve.program import command_on
from service.settings.environment import load_settings

SCRIPT = Path(sys.executable).with_name("image-gateway")
LOOK = """
import sys
sys.executable = sys.argv[1]
from service.serve.program import program
print(program())
"""


def program_from(directory: Path, *, path: str = "/usr/bin:/bin", executable: str = sys.executable) -> str:
    """Return how the program is called by a person in *directory* whose PATH is *path*."""
    told = subprocess.run(
        [sys.executable, "-c", LOOK, executable],
        cwd=directory,
        env={"PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    return told.stdout.strip()


def test_a_program_on_the_path_is_named_without_a_path(tmp_path: Path) -> None:
    assert program_from(tmp_path, path=f"{SCRIPT.parent}:/bin") == "image-gateway"


def test_another_program_of_the_same_name_is_not_used(tmp_path: Path) -> None:
    shutil.copy(SCRIPT, tmp_path / "image-gateway")

    assert program_from(Path("/"), path=str(tmp_path)) != "image-gateway"


def test_inside_the_working_directory_the_path_is_relative(tmp_path: Path) -> None:
    there = tmp_path / ".venv/bin"
    there.mkdir(parents=True)
    for name in ("python", "image-gateway"):
        (there / name).touch(mode=0o755)

    assert program_from(tmp_path, executable=str(there / "python")) == ".venv/bin/image-gateway"
    assert program_from(there, executable=str(there / "python")) == "./image-gateway"
    assert program_from(Path("/"), executable=str(there / "python")) == str(there / "image-gateway").lstrip(
        "/"
    )


def test_without_a_script_the_module_is_named(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()

    assert program_from(tmp_path, executable=str(tmp_path / "bin/python 3")) == "'bin/python 3' -m service"


def test_a_command_has_paths_and_no_secrets(tmp_path: Path) -> None:
    (tmp_path / "some where").mkdir()
    settings = load_settings(
        {
            "GATEWAY_AUTH": "keys",
            "GATEWAY_DATA_DIR": str(tmp_path / "some where"),
            "GATEWAY_REDIS_URL": "redis://:canary@there",
            "GATEWAY_SECRETS": "canary-0123456789",
        }
    )

    command = command_on(settings, "keys list")

    assert command.startswith(f"GATEWAY_AUTH=keys GATEWAY_DATA_DIR='{tmp_path}/some where' ")
    assert command.endswith("image-gateway keys list")
    assert "canary" not in command
