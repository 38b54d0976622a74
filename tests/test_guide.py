"""Run every program of the guide, in both languages, as it is printed."""

import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.documents import code_blocks, read
from tests.processes import REPOSITORY, Gateway
from tests.test_readme import ADDRESS, environment

GUIDES = ("docs/guide.md", "docs/guide.zh-CN.md")
PATIENCE_S = 60.0


def programs(guide: str, language: str) -> list[str]:
    return [code for _, code in code_blocks(read(guide), language)]


def is_page(code: str) -> bool:
    return "FastAPI()" in code


PROGRAMS = [
    # The two guides differ in words; one of them is enough for a quick run.
    pytest.param(
        language,
        code,
        id=f"{Path(guide).stem}-{language}-{number}",
        marks=[pytest.mark.slow] if guide != GUIDES[0] else [],
    )
    for guide in GUIDES
    for language in ("sh", "python")
    for number, code in enumerate(programs(guide, language), 1)
    if not is_page(code)
]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with the files that earlier programs of the guide leave."""
    images = REPOSITORY / "service/http/contract/images"
    shutil.copy(images / "lighthouse.png", tmp_path / "cat.png")
    shutil.copy(images / "sky-mask.png", tmp_path / "mask.png")
    (tmp_path / ".curlrc").write_text("fail\nsilent\nshow-error\n")
    return tmp_path


@pytest.mark.parametrize(("language", "code"), PROGRAMS)
def test_a_program_of_the_guide_runs(language: str, code: str, gateway: Gateway, directory: Path) -> None:
    program = ["sh", "-e"] if language == "sh" else [sys.executable]

    ran = subprocess.run(
        program,
        input=code.replace(ADDRESS, gateway.url),
        env=environment(gateway, directory),
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 0, ran.stderr + ran.stdout
    assert re.search(expected_of(code), ran.stdout), ran.stdout


def expected_of(code: str) -> str:
    """Return a pattern of what a program prints, by what it does."""
    for part, pattern in {
        "forbidden-word": r"^\S.*\S$",
        "RateLimitError": r"/v1/images/files/\S+\n.*'17x17'.*",
        "Idempotency-Key": r"^True$",
        "stage-": r"^stage-0\.png\nstage-1\.png\ncat\.png$",
        "kept.png": r"^[1-9]\d+ ",
        "x-cost-microusd": r"^miss \d+\nhit 0$",
        "/v1/images/estimate": r'"microusd":[1-9]\d+',
        "/v1/usage": r'"object":"usage"',
        "/generate_image": r'"image_base64"',
    }.items():
        if part in code:
            return pattern
    return r"/v1/images/files/\w+\.png"


@pytest.mark.parametrize("guide", [GUIDES[0], pytest.param(GUIDES[1], marks=pytest.mark.slow)])
def test_the_page_of_the_guide_makes_an_image(guide: str, gateway: Gateway, directory: Path) -> None:
    [code] = [code for code in programs(guide, "python") if is_page(code)]
    (directory / "page.py").write_text(code.replace(ADDRESS, gateway.url), "utf-8")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        server = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "page:app", "--fd", str(listener.fileno())],
            env=environment(gateway, directory) | {"PYTHONPATH": str(directory)},
            cwd=directory,
            pass_fds=(listener.fileno(),),
        )
        try:
            host, port = listener.getsockname()
            with httpx.Client(
                base_url=f"http://{host}:{port}", timeout=PATIENCE_S, trust_env=False
            ) as visitor:
                page = visitor.get("/")
                made = visitor.post("/images", json={"prompt": "a white siamese cat"})
                refused = visitor.post("/images", json={"prompt": " "})
        finally:
            server.terminate()
            server.wait(PATIENCE_S)

    assert "<form>" in page.text
    assert f"{gateway.url}/v1/images/files/" in made.json()["url"]
    assert (refused.status_code, list(refused.json())) == (400, ["error"])


def test_both_guides_have_the_same_programs() -> None:
    english, chinese = [[language for language, _ in code_blocks(read(guide))] for guide in GUIDES]

    assert chinese == english
    assert {"sh", "python", "java"} == set(english)
