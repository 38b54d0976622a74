"""Run the commands and the Python of both READMEs as they are printed."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documents import READMES, code_blocks, read
from tests.processes import REPOSITORY, Gateway

ADDRESS = "http://127.0.0.1:8080"
SCRIPT = ".venv/bin/image-gateway"


def snippets(readme: str) -> list[tuple[str, str]]:
    """Return the language and the text of what calls a gateway that runs."""
    blocks = code_blocks(read(readme), "sh|python")
    return [(language, code) for language, code in blocks if f"{ADDRESS}/v1" in code or SCRIPT in code]


SNIPPETS = [
    # The two differ in words; one of them is enough for a quick run.
    pytest.param(
        language,
        code,
        id=f"{readme}-{number}-{language}",
        marks=[pytest.mark.slow] if readme != READMES[0] else [],
    )
    for readme in READMES
    for number, (language, code) in enumerate(snippets(readme), 1)
]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with the two files that the edits name, copied as the README says."""
    (copies,) = re.findall("`(cp .*)`", read("README.md"))
    for copy in copies.split("; "):
        _, source, target = copy.split()
        shutil.copy(REPOSITORY / source, tmp_path / target)
    return tmp_path


@pytest.mark.parametrize(("language", "code"), SNIPPETS)
def test_the_examples_of_a_readme_work(language: str, code: str, gateway: Gateway, directory: Path) -> None:
    program = ["sh", "-e"] if language == "sh" else [sys.executable]
    code = code.replace(ADDRESS, gateway.url).replace(SCRIPT, f"{sys.executable} -m service")
    # A refused order ends curl with an error, too.
    (directory / ".curlrc").write_text("fail\nsilent\nshow-error\n")

    ran = subprocess.run(
        program,
        input=code,
        env=environment(gateway, directory),
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 0, ran.stderr + ran.stdout
    if "--out images" in code:
        assert [path.suffix for path in (directory / "images").iterdir()] == [".png"] * 4
    else:
        assert f"{gateway.url}/v1/images/files/" in ran.stdout


def environment(gateway: Gateway, directory: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "LC_ALL")}  # noqa: TID251 - the child needs its PATH
    return kept | {
        "GATEWAY_URL": gateway.url,
        "CURL_HOME": str(directory),
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONUTF8": "1",
    }


def test_both_readmes_show_calls_in_both_languages() -> None:
    shown = [[language for language, _ in snippets(readme)] for readme in READMES]

    assert shown == [["sh", "python", "sh", "sh", "sh"]] * 2
    copies = [re.findall("`(cp .*)`", read(readme)) for readme in READMES]
    assert copies[0] == copies[1]


@pytest.mark.parametrize("readme", READMES)
def test_a_readme_is_read_within_the_first_hour(readme: str) -> None:
    assert len(read(readme).splitlines()) <= 160
