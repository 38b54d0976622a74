"""Generate, compile and run the SDKs once for the session, and write the table of results."""

import json
import subprocess
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.compatibility.client import client_environment
from tests.compatibility.environments import REPOSITORY, python_of
from tests.compatibility.table import Page, Table
from tests.http.house import PATIENCE_S, file_of, mask_with_hole, noise
from tests.http.offices import Office, open_office
from tests.sdks.compile import (
    CALLERS,
    class_path,
    compile_java,
    compile_lines_of_typescript,
    compile_python,
    compile_typescript,
    write_lines_of_java,
)
from tests.sdks.generate import generate_sdks, prepare_generators
from tests.sdks.pins import JAVA, PYTHON, release

_TABLE = pytest.StashKey[Table]()
_PAGE = Page(
    title="Which generators work",
    command="make test-sdks",
    introduction="""\
every cell is the result of tests in `tests/sdks/`, which
generate a client from `openapi/openapi.yaml`, compile it strictly and run a typed caller against a gateway with keys. Versions are
pinned in `tests/sdks/pins.py`. `make sdks` writes the first three to `dist/sdks/`, each with a README; their configuration is in
`openapi/generators/`. The others are only compiled, and a caller of openapi-fetch with them.""",
)
SDKS_DIRECTORY = REPOSITORY / "dist" / "sdks"
Observation = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sdk:
    """A generated client: its *label* in the table, and how to compile it with its caller, start that, and try some lines."""

    language: str
    label: str
    compile: Callable[[Path, Path], None]
    command: Callable[[Path], list[str]]
    try_lines: Callable[[str, Path], list[str]]


SDKS = (
    Sdk(
        language="python",
        label=f"Python, openapi-python-client {PYTHON.version}",
        compile=compile_python,
        command=lambda _: [str(python_of(PYTHON)), str(CALLERS / "caller.py")],
        try_lines=lambda lines, _: [str(python_of(PYTHON)), "-c", lines],
    ),
    Sdk(
        language="typescript",
        label=f"TypeScript, {release('@hey-api/openapi-ts')}",
        compile=compile_typescript,
        command=lambda scratch: ["node", str(scratch / "caller.js")],
        try_lines=compile_lines_of_typescript,
    ),
    Sdk(
        language="java",
        label=f"Java, openapi-generator {JAVA.version} `native`",
        compile=compile_java,
        command=lambda scratch: ["java", "-cp", class_path(scratch), "Caller"],
        try_lines=write_lines_of_java,
    ),
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-sdks", metavar="PATH", help="write the table of generators and results there")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_TABLE] = Table(_PAGE)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Install and generate before the first test, whose time is limited."""
    wanted = any(item.get_closest_marker("sdks") for item in session.items)
    if wanted and not session.config.option.collectonly:
        prepare_generators()
        generate_sdks(SDKS_DIRECTORY)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.config.stash[_TABLE].note_report(item, report)
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    path = session.config.getoption("--write-sdks", None)
    table = session.config.stash[_TABLE]
    if path and table.results and not session.testsfailed:
        table.write(Path(path))


@pytest.fixture(scope="session")
def keyed_office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """A gateway with keys."""
    with open_office(tmp_path_factory.mktemp("office")) as office:
        yield office


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a client came along: why it did not compile, or what it saw of each operation."""

    sdk: Sdk
    fault: str | None
    observations: dict[str, Observation]
    team: str


@pytest.fixture(scope="session", params=SDKS, ids=lambda sdk: sdk.language)
def outcome(
    request: pytest.FixtureRequest, keyed_office: Office, tmp_path_factory: pytest.TempPathFactory
) -> Outcome:
    """Compile a client and run its caller through all operations."""
    sdk: Sdk = request.param
    scratch = tmp_path_factory.mktemp(sdk.language)
    team = f"team-{sdk.language}"
    try:
        sdk.compile(SDKS_DIRECTORY / sdk.language, scratch)
    except AssertionError as error:
        return Outcome(sdk, str(error), {}, team)
    return Outcome(sdk, None, _call(sdk, keyed_office, scratch, team), team)


def _call(sdk: Sdk, office: Office, scratch: Path, team: str) -> dict[str, Observation]:
    image, mask = scratch / "image.png", scratch / "mask.png"
    # DALL·E 2 took images with an alpha channel only.
    image.write_bytes(file_of(noise(256, seed=len(team), mode="RGBA")))
    mask.write_bytes(file_of(mask_with_hole(256)))
    policy = office.put_policy(images_per_min=1)
    task = {
        "url": office.gateway.url,
        "key": office.create_key(team=team)["key"],
        "limited_key": office.create_key(policy=policy)["key"],
        "admin_key": office.admin.headers["authorization"].removeprefix("Bearer "),
        "team": team,
        "prompt": f"a lighthouse in the fog, take {uuid4().hex[:8]}",
        "image": str(image),
        "mask": str(mask),
    }
    earlier = _count_refused(office)
    lines = _run([*sdk.command(scratch), json.dumps(task)], scratch).splitlines()
    observations = {line.pop("operation"): line for line in map(json.loads, lines)}
    observations["refused stream"].get("observed", {})["requests"] = _count_refused(office) - earlier
    return observations | {"readme": {"observed": {"told": _try_readme(sdk, scratch, task)}}}


def _count_refused(office: Office) -> int:
    """Count the requests that a gateway refused for their key or fields: callers send them as streams only."""
    return sum(line["status"] in {400, 401} for line in office.gateway.log_lines("request"))


def _try_readme(sdk: Sdk, scratch: Path, task: Mapping[str, str]) -> str:
    """Return the output of the lines in the README, with our address and key."""
    readme = (SDKS_DIRECTORY / sdk.language / "README.md").read_text("utf-8")
    lines = readme.split("```")[1].partition("\n")[2]
    assert len([line for line in lines.splitlines() if line]) == 5
    ours = lines.replace("http://127.0.0.1:8080", task["url"]).replace("ig_...", task["key"])
    return _run(sdk.try_lines(ours, scratch), scratch)


def _run(command: list[str], directory: Path) -> str:
    done = subprocess.run(
        command,
        cwd=directory,
        env=client_environment() | {"PYTHONPATH": str(SDKS_DIRECTORY / "python")},
        capture_output=True,
        text=True,
        timeout=4 * PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def observe(outcome: Outcome, record_property: Callable[[str, object], None]) -> Callable[[str], Observation]:
    """Return what the client saw of an operation."""
    record_property("client", outcome.sdk.label)

    def look(operation: str) -> Observation:
        assert outcome.fault is None, "it did not compile"
        told = outcome.observations[operation]
        assert "crash" not in told, told["crash"]
        observed: Observation = told["observed"]
        return observed

    return look
