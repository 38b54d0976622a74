"""Compile the dashboards with TypeScript against the types in which Grafana declares what it reads."""

import shutil
import subprocess
from pathlib import Path

from tests.observe.expressions import DASHBOARDS
from tests.processes import REPOSITORY

_DECLARES = Path(__file__).with_name("board.ts")
_OPTIONS = "--noEmit --strict --skipLibCheck --module esnext --moduleResolution bundler --target es2022"


def type_faults(directory: Path, packages: Path) -> list[str]:
    """Return the compiler's complaints about all dashboards; *packages* is a node_modules with TypeScript and `@grafana/schema`."""
    shutil.copy(_DECLARES, directory)
    (directory / "node_modules").symlink_to((REPOSITORY / packages).resolve())
    for path in DASHBOARDS:
        text = f"import type {{ Board }} from './board';\nexport const board: Board = {path.read_text('utf-8')};\n"
        (directory / f"{path.stem}.ts").write_text(text, "utf-8")
    compiler = directory / "node_modules" / ".bin" / "tsc"
    done = subprocess.run(
        [compiler, *_OPTIONS.split(), *(f"{path.stem}.ts" for path in DASHBOARDS)],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.splitlines() or ([done.stderr] if done.returncode else [])
