"""Run every command of docs/command-line.md as it is printed, one after the other, in one shell."""

import os
import subprocess
import sys
from pathlib import Path

from tests.documents import code_blocks, read
from tests.http.offices import Office
from tests.processes import REPOSITORY
from tests.shell import Shell

PAGE = "docs/command-line.md"


def test_the_commands_of_the_page_work(office: Office, tmp_path: Path) -> None:
    programs = Path(sys.executable).parent
    given = {
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
