"""The newest Python SDK's own generated tests, unchanged, with the gateway in place of their mock server."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.compatibility.client import client_environment
from tests.compatibility.environments import own_tests_directory, python_of
from tests.compatibility.pins import OWN_TESTS
from tests.processes import Gateway

pytestmark = [pytest.mark.clients(OWN_TESTS), pytest.mark.timeout(180)]


@pytest.fixture(autouse=True)
def label(record_property: Callable[[str, object], None]) -> None:
    """Whose results these are."""
    command = [str(python_of(OWN_TESTS)), "-c", "import openai; print(openai.__version__)"]
    version = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert version == OWN_TESTS.version
    record_property("client", f"the own tests of PyPI `openai` {version}")


def test_generations_pass(gateway: Gateway, tmp_path: Path) -> None:
    """Tests of the openai package: the 30 of generations that ask for what a model takes"""
    counts = _run("test_images.py", "generate and not all_params", gateway, tmp_path)

    assert counts == {"tests": 30, "failures": 0, "errors": 0, "skipped": 0}


def test_listing_models_passes(gateway: Gateway, tmp_path: Path) -> None:
    """Tests of the openai package: the 15 of listing models"""
    counts = _run("test_models.py", "list", gateway, tmp_path)

    assert counts == {"tests": 15, "failures": 0, "errors": 0, "skipped": 0}


def _run(file: str, expression: str, gateway: Gateway, directory: Path) -> dict[str, int]:
    report = directory / "report.xml"
    command = [
        *(str(python_of(OWN_TESTS)), "-m", "pytest", f"tests/api_resources/{file}", "-k", expression),
        *("-n", "0", "-q", "-p", "no:cacheprovider", f"--junitxml={report}"),
    ]
    done = subprocess.run(
        command,
        cwd=own_tests_directory(),
        env=client_environment() | {"TEST_API_BASE_URL": f"{gateway.url}/v1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert report.exists(), done.stdout + done.stderr
    # Our own tool wrote this file a moment ago.
    suite = ET.parse(report).getroot().find("testsuite")  # noqa: S314
    assert suite is not None
    assert suite.get("failures") == suite.get("errors") == "0", done.stdout
    return {name: int(suite.get(name, "-1")) for name in ("tests", "failures", "errors", "skipped")}
