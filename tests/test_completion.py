"""Complete commands, options and models in bash, zsh and fish, as the installed scripts ask for it."""

import subprocess
import sys
from pathlib import Path

import pytest

from service.commands.root import HELPS
from tests.processes import REPOSITORY
from tests.shell import Shell

SCRIPT = str(Path(sys.executable).with_name("image-gateway"))
SHELLS = ("bash", *(pytest.param(shell, marks=pytest.mark.slow) for shell in ("zsh", "fish")))


def variables_of(shell: str, line: str) -> dict[str, str]:
    """Return the variables with which the script of *shell* asks to complete the last word of *line*."""
    return {
        "_IMAGE_GATEWAY_COMPLETE": f"complete_{shell}",
        "_TYPER_COMPLETE_ARGS": line,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split(" ")) - 1),
    }


def complete(line: str, directory: Path, *, shell: str = "bash") -> str:
    done = subprocess.run(
        [SCRIPT],
        env=Shell(directory, tuple(variables_of(shell, line).items())).environment(),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("shell", SHELLS)
def test_commands_of_a_group_are_completed(shell: str, tmp_path: Path) -> None:
    completed = complete("image-gateway keys c", tmp_path, shell=shell)

    assert "create" in completed
    assert "revoke" not in completed


@pytest.mark.parametrize("shell", SHELLS)
def test_options_of_a_command_are_completed(shell: str, tmp_path: Path) -> None:
    completed = complete("image-gateway generate cat --qu", tmp_path, shell=shell)

    assert "--quality" in completed
    assert "--size" not in completed


def test_values_are_completed(tmp_path: Path) -> None:
    assert complete("image-gateway generate cat --model dall-e-", tmp_path).split() == [
        "dall-e-3",
        "dall-e-2",
    ]
    assert complete("image-gateway edit cat.png hat --format j", tmp_path).split() == ["jpeg"]
    assert complete("image-gateway usage show --by mo", tmp_path).split() == ["model"]


def test_files_are_left_to_the_shell(tmp_path: Path) -> None:
    assert complete("image-gateway edit ca", tmp_path).split() == []


def test_all_commands_are_completed(tmp_path: Path) -> None:
    assert complete("image-gateway ", tmp_path).split() == list(HELPS)


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_of_a_shell_asks_for_completions(shell: str, tmp_path: Path) -> None:
    script = Shell(tmp_path, (("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1"),))
    with script.start("--show-completion", shell, program=(SCRIPT,)) as process:
        text, _ = process.communicate(timeout=30)

    assert f"_IMAGE_GATEWAY_COMPLETE=complete_{shell}" in text
