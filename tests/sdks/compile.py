"""Compile each generated client with the strictest rules that it can meet, and a typed caller of it."""

import json
import os
import subprocess
from pathlib import Path

from tests.compatibility.environments import CACHE, python_of
from tests.sdks.generate import DOCUMENT, java_generator, node_tool
from tests.sdks.pins import NODE, PYTHON

CALLERS = Path(__file__).parent / "callers"
_JARS = Path("/usr/share/java")
_DEBIAN_JARS = ("httpmime", "httpclient", "httpcore", "jakarta-annotation-api", "jsr305")
"""Of packages `libhttpmime-java libjakarta-annotation-api-java libjsr305-java` and what they need."""
_LINT = "-Xlint:all,-path,-processing"
_LINT_OF_GENERATED = f"{_LINT},-serial,-deprecation"
_TSCONFIG = {
    "target": "es2022",
    "lib": ["es2022", "dom", "dom.iterable", "dom.asynciterable"],
    "module": "nodenext",
    "strict": True,
    "noUncheckedIndexedAccess": True,
    "types": ["node"],
}
_COMPILE_S = 180


def compile_python(sdk: Path, _scratch: Path) -> None:
    """Check package and caller with `mypy --strict`."""
    run(
        *(python_of(PYTHON), "-m", "mypy", "--strict", "--no-incremental", sdk / "image_gateway_client"),
        CALLERS / "caller.py",
        environment={"MYPYPATH": str(sdk)},
    )


def compile_typescript(sdk: Path, scratch: Path) -> None:
    """Compile the caller with `tsc --strict`; the package was, when it was made."""
    _link_modules(scratch, {"image-gateway-client": sdk})
    (scratch / "caller.ts").write_bytes((CALLERS / "caller.ts").read_bytes())
    _compile_typescript(scratch, "caller.ts")


def compile_java(sdk: Path, scratch: Path) -> None:
    """Compile with `javac -Werror`, the caller without any exception."""
    sources = sorted((sdk / "src" / "main").rglob("*.java"))
    options = ("-proc:none", "-Werror", "-d", scratch)
    run("javac", _LINT_OF_GENERATED, *options, "-cp", class_path(), *sources)
    run("javac", _LINT, *options, "-cp", class_path(scratch), CALLERS / "Caller.java")


def compile_lines_of_typescript(lines: str, scratch: Path) -> list[str]:
    """Compile lines beside a caller as the README says; returns the command that runs them."""
    (scratch / "lines.mts").write_text(lines, "utf-8")
    run(node_tool("tsc"), "--module", "nodenext", "lines.mts", directory=scratch)
    return ["node", str(scratch / "lines.mjs")]


def write_lines_of_java(lines: str, scratch: Path) -> list[str]:
    """Return the command that runs lines by the classes in *scratch*."""
    (scratch / "lines.jsh").write_text(f"{lines}/exit\n", "utf-8")
    return ["jshell", "--class-path", class_path(scratch), str(scratch / "lines.jsh")]


def compile_openapi_fetch(scratch: Path) -> None:
    """Generate types with openapi-typescript, and compile a caller that uses openapi-fetch."""
    run(node_tool("openapi-typescript"), DOCUMENT, "--output", "openapi-typescript.ts", directory=scratch)
    _link_modules(scratch, {})
    (scratch / "fetch.ts").write_bytes((CALLERS / "fetch.ts").read_bytes())
    _compile_typescript(scratch, "fetch.ts")


def compile_orval(scratch: Path) -> None:
    """Generate a fetch client with orval, and compile it."""
    run(
        node_tool("orval"),
        "--input",
        DOCUMENT,
        "--output",
        "orval.ts",
        "--client",
        "fetch",
        directory=scratch,
    )
    _link_modules(scratch, {})
    _compile_typescript(scratch, "orval.ts")


def compile_oazapfts(scratch: Path) -> None:
    """Generate a client with oazapfts, and compile it."""
    run(node_tool("oazapfts"), DOCUMENT, "oazapfts.ts", directory=scratch)
    _link_modules(scratch, {})
    _compile_typescript(scratch, "oazapfts.ts")


def compile_swagger_typescript_api(scratch: Path) -> None:
    """Generate a client with swagger-typescript-api, and compile it."""
    options = ("--path", DOCUMENT, "--output", scratch, "--name", "sta.ts")
    run(node_tool("swagger-typescript-api"), "generate", *options, directory=scratch)
    _link_modules(scratch, {})
    _compile_typescript(scratch, "sta.ts")


def class_path(*first: Path) -> str:
    """Return what a Java caller needs: the generator's jar has Jackson, and Debian the rest."""
    jars = [_JARS / f"{name}.jar" for name in _DEBIAN_JARS]
    return os.pathsep.join(map(str, (*first, java_generator(), *jars)))


def run(
    *command: str | Path, directory: Path | None = None, environment: dict[str, str] | None = None
) -> str:
    """Run a compiler or generator; returns its output, and fails with it."""
    done = subprocess.run(
        command,
        cwd=directory,
        env={**os.environ, **(environment or {})},  # noqa: TID251 - the child needs PATH and the like
        capture_output=True,
        text=True,
        timeout=_COMPILE_S,
        check=False,
    )
    assert done.returncode == 0, f"{command[:3]}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _link_modules(scratch: Path, more: dict[str, Path]) -> None:
    """Let TypeScript and Node.js find the pinned packages from *scratch*."""
    installed = CACHE / NODE.name / "node_modules"
    (scratch / "node_modules").mkdir()
    for name in ("@types", "@oazapfts", "openapi-fetch", "openapi-typescript-helpers", "undici-types"):
        (scratch / "node_modules" / name).symlink_to(installed / name)
    for name, package in more.items():
        (scratch / "node_modules" / name).symlink_to(package)


def _compile_typescript(scratch: Path, *files: str) -> None:
    (scratch / "package.json").write_text(json.dumps({"private": True, "type": "module"}), "utf-8")
    config = {"compilerOptions": _TSCONFIG, "files": files}
    (scratch / "tsconfig.json").write_text(json.dumps(config), "utf-8")
    run(node_tool("tsc"), "--project", ".", directory=scratch)
