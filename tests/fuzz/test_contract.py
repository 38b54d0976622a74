"""Send what the published document allows, and what it forbids, and hold the answers against it."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.compatibility.client import client_environment
from tests.compatibility.environments import REPOSITORY, make_venv, prepare, python_of
from tests.fuzz.pins import FUZZER
from tests.http.offices import ADMIN_KEY, Office, open_office

pytestmark = [pytest.mark.fuzz, pytest.mark.timeout(1800)]
DOCUMENT = REPOSITORY / "openapi" / "openapi.yaml"
CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
_PER_OPERATION, _FEWEST_CASES = 180, 5_000


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """A gateway with keys and without limits."""
    limits = {"default_policy__requests_per_min": 0, "default_policy__images_per_min": 0}
    with open_office(tmp_path_factory.mktemp("contract"), **limits) as office:
        yield office


@pytest.fixture
def configuration(office: Office, tmp_path: Path) -> Path:
    """The configuration, beside parts of the links of real images."""
    order = {"prompt": "an image to ask for", "model": "dall-e-2", "n": 4, "size": "256x256"}
    answer = office.admin.post("/v1/images/generations", json=order).raise_for_status().json()
    links = [httpx.URL(image["url"]) for image in answer["data"]]
    parts = {
        "names": [link.path.rpartition("/")[2] for link in links],
        "teams": [link.params["t"] for link in links],
        "signatures": [link.params["sig"] for link in links],
    }
    for name, values in parts.items():
        (tmp_path / f"{name}.txt").write_text("\n".join(map(json.dumps, values)), "utf-8")
    return Path(shutil.copy(CONFIGURATION, tmp_path))


def test_answers_keep_to_the_document(
    office: Office, configuration: Path, seed: int, fuzz_seconds: float | None
) -> None:
    prepare((FUZZER, make_venv))
    report = configuration.with_name("report.json")
    command: list[str | Path] = [
        *(python_of(FUZZER).with_name("schemathesis"), "--config-file", configuration, "run", DOCUMENT),
        *("--url", office.gateway.url, "--header", f"Authorization: Bearer {ADMIN_KEY}", "--seed", str(seed)),
        *("--report", "json", "--report-json-path", report, "--max-examples", str(_PER_OPERATION)),
        *(("--max-time", str(round(fuzz_seconds))) if fuzz_seconds else ()),
    ]

    done = subprocess.run(
        command,
        cwd=configuration.parent,
        env=client_environment() | {"SCHEMATHESIS_HOOKS": "tests.fuzz.hooks"},
        capture_output=True,
        text=True,
        check=False,
    )

    told = done.stdout
    print(told[told.find("= SUMMARY") :])
    assert done.returncode == 0, told + done.stderr
    assert b"traceback" not in office.gateway.log.read_bytes().lower()
    if fuzz_seconds is None:
        assert _count_cases(report) >= _FEWEST_CASES


def _count_cases(report: Path) -> int:
    return int(json.loads(report.read_bytes())["test_cases"]["generated"])
