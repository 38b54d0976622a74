"""Run the Java programs of the guide, in both languages, as it says: from their source, without a package."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.processes import REPOSITORY, Gateway
from tests.test_guide import GUIDES, programs
from tests.test_readme import ADDRESS

pytestmark = [pytest.mark.jdk, pytest.mark.timeout(180)]

EXPECTED = {
    "Generate": r"^200 .*/v1/images/files/",
    "Edit": r"^200 .*/v1/images/files/",
    "Errors": r"\"param\":\"n\"",
}


@pytest.mark.parametrize("guide", GUIDES)
def test_the_java_programs_of_the_guide_run(guide: str, gateway: Gateway, tmp_path: Path) -> None:
    images = REPOSITORY / "service/http/contract/images"
    shutil.copy(images / "lighthouse.png", tmp_path / "cat.png")
    shutil.copy(images / "sky-mask.png", tmp_path / "mask.png")
    said: dict[str, str] = {}
    for code in programs(guide, "java"):
        [name] = re.findall(r"public class (\w+)", code)
        (tmp_path / f"{name}.java").write_text(code.replace(ADDRESS, gateway.url), "utf-8")
        command = ["java", "-Dfile.encoding=UTF-8", f"{name}.java"]
        ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        assert ran.returncode == 0, ran.stderr
        said[name] = ran.stdout

    assert said.keys() == EXPECTED.keys()
    for name, pattern in EXPECTED.items():
        assert re.search(pattern, said[name]), said[name]
