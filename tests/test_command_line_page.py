"""Run every command of docs/command-line.md as it is printed, one after the other, in one shell."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documents import code_blocks, read
from tests.http.offices import Office
from tests.processes import REPOSITORY
from tests.shell import Shell

PAGE = "docs/command-line.md"
SAMPLES = REPOSITORY / "service/http/contract/images"


@pytest.mark.slow
def test_the_commands_of_the_page_work(office: Office, tmp_path: Path) -> None:
    shutil.copy(SAMPLES / "lighthouse.png", tmp_path / "cat.png")
    shutil.copy(SAMPLES / "sky-mask.png", tmp_path / "mask.png")
    key = office.create_key()["key"]
    programs = Path(sys.executable).parent
    given = {
        "GATEWAY_URL": office.gateway.url,
        "GATEWAY_KEY": key,
        "NO_PROXY": "*",
        "PATH": f"{programs}{os.pathsep}{os.defpath}",
        "PYTHONPATH": str(REPOSITORY),
    }

    ran = subprocess.run(
        ["sh", "-e"],
        input="\n".join(code for _, code in code_blocks(read(PAGE), "sh")),
        env=Shell(office.data_dir, tuple(given.items())).environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 0, ran.stderr + ran.stdout
    assert len(list((tmp_path / "out").iterdir())) == 2 + 1 + 4 + 1
    assert [path.suffix for path in (tmp_path / "boats").iterdir()] == [".webp"]
