"""A real JDK's `java.net.http.HttpClient`, which offers h2c with every first POST and then sends the body."""

import shutil
import subprocess
from pathlib import Path
from uuid import uuid4

import orjson
import pytest

from tests.processes import Gateway

SOURCE = Path(__file__).with_name("OrderTwice.java")

pytestmark = [pytest.mark.jdk, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    assert shutil.which("javac"), "a JDK is needed: apt-get install openjdk-17-jdk-headless"
    directory = tmp_path_factory.mktemp("classes")
    subprocess.run(["javac", "-Xlint:all", "-Werror", "-d", str(directory), str(SOURCE)], check=True)
    return directory


def run_java(
    classes: Path, gateway: Gateway, order: dict[str, object], refused: dict[str, object]
) -> list[list[str]]:
    """Return status, version and body of each answer."""
    url = f"{gateway.url}/v1/images/generations"
    arguments = [url, orjson.dumps(order).decode(), orjson.dumps(refused).decode()]
    ended = subprocess.run(
        ["java", "-cp", str(classes), "OrderTwice", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return [line.split(" ", 2) for line in ended.stdout.splitlines()]


def test_orders_arrive_whole_and_the_connection_is_kept(classes: Path, gateway: Gateway) -> None:
    order: dict[str, object] = {"model": "dall-e-3", "prompt": f"a café, number {uuid4().hex}", "n": 2}

    answers = run_java(classes, gateway, order, {**order, "n": 0})

    assert [(status, version) for status, version, _ in answers] == [("200", "HTTP_1_1")] * 3 + [
        ("400", "HTTP_1_1")
    ]
    bodies = [orjson.loads(body) for _, _, body in answers]
    first = {entry["url"] for entry in bodies[0]["data"]}
    assert len(first) == 2
    assert all({entry["url"] for entry in body["data"]} == first for body in bodies[:3])
    assert bodies[0]["data"][0]["revised_prompt"] == order["prompt"]
    assert bodies[3]["error"]["param"] == "n"


def test_a_body_of_many_segments_arrives_whole(classes: Path, gateway: Gateway) -> None:
    order: dict[str, object] = {"model": "gpt-image-2", "prompt": f"{uuid4().hex} " + "wide river " * 2900}

    answers = run_java(
        classes, gateway, {**order, "response_format": "url"}, {**order, "prompt": "x" * 40_000}
    )

    assert [status for status, _, _ in answers] == ["200", "200", "200", "400"]
    assert orjson.loads(answers[3][2])["error"]["code"] == "string_above_max_length"
