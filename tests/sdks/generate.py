"""Generate the SDKs of three languages from the committed document: `python -m tests.sdks.generate DIRECTORY`.

Owns the generators and their environments. Their configuration and the little code that an SDK needs beside them
are in `openapi/generators/`.
"""

import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from tests.compatibility.environments import (
    CACHE,
    REPOSITORY,
    make_node_modules,
    make_venv,
    prepare,
    python_of,
)
from tests.sdks.pins import JAVA, NODE, PYTHON

DOCUMENT = REPOSITORY / "openapi" / "openapi.yaml"
_GENERATORS = REPOSITORY / "openapi" / "generators"
_JAVA_TEMPLATES = "Java/libraries/native"
_UNWANTED = (".github/**", ".gitignore", ".travis.yml", "build.sbt", "git_push.sh")
_GENERATE_S = 120


def prepare_generators() -> None:
    """Install what is missing."""
    prepare((PYTHON, make_venv), (JAVA, make_venv), (NODE, make_node_modules))


def generate_python(directory: Path) -> None:
    """Write a package for pip, with a module that reads streams."""
    program = python_of(PYTHON).with_name("openapi-python-client")
    config = _GENERATORS / "python" / "config.yaml"
    options = ("--meta", "setup", "--fail-on-warning", "--overwrite", "--output-path", directory)
    _run(program, "generate", "--path", DOCUMENT, "--config", config, *options)
    shutil.copy(_GENERATORS / "python" / "streaming.py", directory / "image_gateway_client")
    shutil.copy(_GENERATORS / "python" / "README.md", directory)


def generate_typescript(directory: Path) -> None:
    """Write a package for npm, compiled strictly, whose streams throw their failures."""
    for file in ("package.json", "tsconfig.json", "README.md", "openapi-ts.config.mjs"):
        shutil.copy(_GENERATORS / "typescript" / file, directory)
    _run(node_tool("openapi-ts"), "--file", "openapi-ts.config.mjs", "--input", DOCUMENT, directory=directory)
    (directory / "openapi-ts.config.mjs").unlink()
    shutil.copy(_GENERATORS / "typescript" / "streaming.ts", directory / "src")
    _run("git", "apply", _GENERATORS / "typescript" / "serverSentEvents.patch", directory=directory)
    _run(node_tool("tsc"), "--project", ".", directory=directory)


def generate_java(directory: Path) -> None:
    """Write a project for Maven, with a class that reads streams."""
    with tempfile.TemporaryDirectory() as templates:
        _write_templates(Path(templates))
        config = _GENERATORS / "java" / "config.yaml"
        options = (
            *("--generator-name", "java", "--config", config, "--template-dir", templates),
            *("--openapi-generator-ignore-list", ",".join(_UNWANTED)),
        )
        _run(
            "java",
            "-jar",
            java_generator(),
            "generate",
            "--input-spec",
            DOCUMENT,
            "--output",
            directory,
            *options,
        )
    shutil.copy(_GENERATORS / "java" / "README.md", directory)


SDKS: dict[str, Callable[[Path], None]] = {
    "python": generate_python,
    "typescript": generate_typescript,
    "java": generate_java,
}


def generate_sdks(directory: Path, tell: Callable[[str], object] = lambda line: None) -> None:
    """Write each SDK into a directory of its language; replaces those of before. *tell* hears where each is."""
    for language in SDKS:
        shutil.rmtree(directory / language, ignore_errors=True)
        (directory / language).mkdir(parents=True)
    with ThreadPoolExecutor(2) as pool:
        tasks = {pool.submit(make, directory / language): language for language, make in SDKS.items()}
        for made in as_completed(tasks):
            made.result()
            tell(f"{directory / tasks[made]}: made, see its README.md\n")


def node_tool(name: str) -> Path:
    """Return a program of the npm packages."""
    return CACHE / NODE.name / "node_modules" / ".bin" / name


def java_generator() -> Path:
    """Return the jar of openapi-generator, which has Jackson in it."""
    (jar,) = (CACHE / JAVA.name).glob("lib/*/site-packages/openapi_generator_cli/openapi-generator.jar")
    return jar


def _write_templates(directory: Path) -> None:
    """Take the generator's own templates, mend them, and put ours beside them."""
    shutil.copy(_GENERATORS / "java" / "EventStream.mustache", directory)
    with zipfile.ZipFile(java_generator()) as jar:
        for name in ("api.mustache", "pom.mustache"):
            (directory / name).write_bytes(jar.read(f"{_JAVA_TEMPLATES}/{name}"))
            _run("git", "apply", _GENERATORS / "java" / f"{name}.patch", directory=directory)


def _run(*command: str | Path, directory: Path | None = None) -> None:
    done = subprocess.run(
        command, cwd=directory, capture_output=True, text=True, timeout=_GENERATE_S, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}")


if __name__ == "__main__":
    sys.stderr.write("Installing the generators; the first time, this takes minutes.\n")
    prepare_generators()
    sys.stderr.write(f"Generating {', '.join(SDKS)} from {DOCUMENT.relative_to(REPOSITORY)}.\n")
    generate_sdks(Path(sys.argv[1]).resolve(), sys.stderr.write)
