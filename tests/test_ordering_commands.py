"""Order with `image-gateway generate`, `edit` and `vary`: files, costs, failures, interruptions, both languages."""

import shutil
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from service.commands.ordering.client import MadeImage, Order
from service.commands.ordering.language import Words
from service.commands.ordering.report import Report, SavedImage
from service.commands.root import load
from service.domain.images import Operation
from service.domain.models_file import parse_catalog
from tests.http.house import House, open_house
from tests.processes import REPOSITORY, Gateway
from tests.shell import Done, Shell, run_on_terminal
from tests.test_generate_command import PIXELS, event

SAMPLES = REPOSITORY / "service/http/contract/images"
END = b"0\r\n\r\n"
MADE = event("image_generation.completed", b64_json=PIXELS, index=0, cost_microusd=21_100, cache="miss")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A gateway before a provider that costs money."""
    with open_house(tmp_path_factory.mktemp("house")) as house:
        yield house


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with `cat.png` and `mask.png`."""
    shutil.copy(SAMPLES / "lighthouse.png", tmp_path / "cat.png")
    shutil.copy(SAMPLES / "sky-mask.png", tmp_path / "mask.png")
    return tmp_path


def shell_of(url: str, directory: Path, *given: tuple[str, str]) -> Shell:
    return Shell(directory, (("GATEWAY_URL", url), ("NO_PROXY", "*"), *given))


def order(url: str, directory: Path, *words: str, given: tuple[tuple[str, str], ...] = ()) -> Done:
    return shell_of(url, directory, *given).run(*words, "--out", str(directory / "out"))


def read_json(done: Done) -> dict[str, Any]:
    document: dict[str, Any] = orjson.loads(done.stdout)
    return document


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in (directory / "out").iterdir())


@contextmanager
def streaming(*parts: bytes, end: bytes = END, stays: bool = False) -> Iterator[str]:
    """Run a server that answers one order with *parts* of a stream and its *end*; if it *stays*, it keeps the connection."""
    head = (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-request-id: req-of-tests\r\n"
        b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    )
    chunks = [b"%x\r\n%b\r\n" % (len(part), part) for part in parts]
    over = threading.Event()

    def answer(listener: socket.socket) -> None:
        with listener.accept()[0] as connection:
            # All of it: a socket that is closed with bytes left in it resets its connection.
            request = connection.makefile("rb")
            fields = dict(
                line.lower().split(b": ") for line in iter(request.readline, b"\r\n") if b": " in line
            )
            request.read(int(fields[b"content-length"]))
            connection.sendall(b"".join([head, *chunks, end]))
            if stays:
                over.wait(30)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, args=(listener,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            over.set()
            thread.join()


def test_images_of_an_old_model_are_saved_as_they_arrive(
    gateway: Gateway, tmp_path: Path, prompt: str
) -> None:
    words = ("--size", "1792x1024", "--quality", "hd", "--style", "natural", "-n", "2")

    done = order(gateway.url, tmp_path, "generate", prompt, *words)

    assert done.returncode == 0, done.stderr
    assert sorted(Path(line).name for line in done.stdout.splitlines()) == names_in(tmp_path)
    assert [name.rpartition("-")[2] for name in names_in(tmp_path)] == ["1.png", "2.png"]
    assert done.stderr.startswith("2 images in ")
    assert done.stderr.endswith(" s, test images, nothing charged\n")


def test_a_terminal_shows_progress_and_whole_paths(gateway: Gateway, tmp_path: Path, prompt: str) -> None:
    words = ("generate", prompt, "-n", "2", "--out", str(tmp_path / "out"))

    shown = run_on_terminal(shell_of(gateway.url, tmp_path), 40, *words)

    lines = shown.replace("\r", "\n").splitlines()
    assert "0 of 2 images" in shown
    assert {f"{tmp_path}/out/{name}" for name in names_in(tmp_path)} <= {*lines}
    assert shown.rstrip().endswith(" s, test images, nothing charged")


def test_a_format_is_that_of_the_files(gateway: Gateway, tmp_path: Path, prompt: str) -> None:
    words = ("--model", "gpt-image-2", "--format", "webp", "--background", "opaque")

    order(gateway.url, tmp_path, "generate", prompt, *words)

    (file,) = (tmp_path / "out").iterdir()
    assert (file.suffix, file.read_bytes()[:4]) == (".webp", b"RIFF")


def test_images_are_edited_with_a_mask(gateway: Gateway, directory: Path, prompt: str) -> None:
    cat, mask = str(directory / "cat.png"), str(directory / "mask.png")

    done = order(gateway.url, directory, "edit", cat, cat, prompt, "--mask", mask, "-n", "2", "--json")

    document = read_json(done)
    assert done.returncode == 0, done.stderr
    assert [Path(each["path"]).name for each in document["files"]] == names_in(directory)
    assert {each["model"] for each in document["files"]} == {"gpt-image-2.6-flare"}


def test_an_image_is_varied(gateway: Gateway, directory: Path) -> None:
    done = order(gateway.url, directory, "vary", str(directory / "cat.png"), "-n", "4", "--json")

    assert done.returncode == 0, done.stderr
    assert len({Path(each["path"]).read_bytes() for each in read_json(done)["files"]}) == 4


@pytest.mark.parametrize("command", ["generate", "edit", "vary"])
def test_the_default_model_knows_the_operation(command: str) -> None:
    catalog = parse_catalog((REPOSITORY / "service/domain/models.toml").read_text("utf-8"))
    (default,) = [each.default for each in load(command).params if each.name == "model"]

    assert Operation(command) in catalog.models[default].contract.operations


def test_json_has_the_cost_and_the_source_of_each_image(house: House, tmp_path: Path, prompt: str) -> None:
    first = order(house.gateway.url, tmp_path, "generate", prompt, "--json")
    again = order(house.gateway.url, tmp_path, "generate", prompt, "-n", "2", "--json")
    fresh = order(house.gateway.url, tmp_path, "generate", prompt, "--fresh", "--json")

    (made,) = read_json(first)["files"]
    assert made["cost_microusd"] == read_json(first)["cost_microusd"] > 0
    assert (made["cache"], made["model"], made["sent_model"]) == ("miss", "dall-e-3", "gpt-image-2.6-flare")
    assert made["backend"] == "openai"
    assert {each["cache"]: each["backend"] for each in read_json(again)["files"]} == {
        "miss": "openai",
        "hit": None,
    }
    assert made["url"].startswith(house.gateway.url)
    assert made["revised_prompt"]
    assert sorted(each["cache"] for each in read_json(again)["files"]) == ["hit", "miss"]
    assert read_json(again)["files"][0]["request_id"] != made["request_id"]
    assert [each["cache"] for each in read_json(fresh)["files"]] == ["miss"]
    assert (read_json(fresh)["realm"], read_json(fresh)["error"]) == ("live", None)


def test_the_cost_line_tells_paid_images_from_free_ones(house: House, tmp_path: Path, prompt: str) -> None:
    first = order(house.gateway.url, tmp_path, "generate", prompt)
    both = order(house.gateway.url, tmp_path, "generate", prompt, "-n", "2")
    free = order(house.gateway.url, tmp_path, "generate", prompt, "-n", "2")

    assert first.stderr.partition(" s, ")[2].startswith("$0.")
    assert both.stderr.partition(" s, ")[2].startswith("$0.")
    assert both.stderr.endswith(" (1 from the cache, free)\n")
    assert free.stderr.endswith(" s, free (2 from the cache)\n")


def test_a_partial_failure_keeps_the_files_and_gives_advice(
    house: House, tmp_path: Path, prompt: str
) -> None:
    house.behave(paint="flat", failures=[{"status": 400, "code": "odd"}])

    done = order(house.gateway.url, tmp_path, "generate", prompt, "-n", "3")
    again = order(house.gateway.url, tmp_path, "generate", prompt, "-n", "3", "--json")

    cost, error = done.stderr.splitlines()
    assert (done.returncode, len(done.stdout.splitlines())) == (1, 2)
    assert cost.startswith("2 images in ")
    assert error.startswith("error: 1 of 3 images failed")
    assert "repeat the order to pay only for the missing ones" in error
    assert sorted(each["cache"] for each in read_json(again)["files"]) == ["hit", "hit", "miss"]


def test_a_failure_is_in_the_json_too(house: House, tmp_path: Path, prompt: str) -> None:
    done = order(house.gateway.url, tmp_path, "generate", prompt, "--size", "1x1", "--json")

    document = read_json(done)
    assert done.returncode == 1
    assert (document["files"], document["error"]["param"]) == ([], "size")
    assert done.stderr.startswith("error: ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("edit", "nowhere.png", "a hat"), "nowhere.png: No such file or directory"),
        (("vary", "nowhere.png"), "nowhere.png: No such file or directory"),
        (("edit", *["cat.png"] * 17, "a hat"), "An order takes 1 to 16 images, not 17."),
    ],
)
def test_files_are_checked_before_the_order(tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    done = order("http://127.0.0.1:1", tmp_path, *words)

    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"error: {message}\n")


def test_the_port_of_this_machines_gateway_is_found(gateway: Gateway, tmp_path: Path, prompt: str) -> None:
    port = gateway.url.rpartition(":")[2]
    shell = Shell(tmp_path, (("GATEWAY_PORT", port), ("NO_PROXY", "*")))

    done = shell.run("generate", prompt, "--out", str(tmp_path / "out"))

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("end", [END, b""], ids=["ended", "cut"])
def test_a_stream_without_its_last_image_keeps_the_others(tmp_path: Path, end: bytes) -> None:
    with streaming(MADE, end=end) as url:
        done = order(url, tmp_path, "generate", "a lighthouse", "-n", "2", "--json")

    document = read_json(done)
    assert done.returncode == 1
    assert [Path(each["path"]).name for each in document["files"]] == names_in(tmp_path) == ["qoftests-1.png"]
    assert document["error"]["message"].startswith(f"{url} closed the connection after 1 of 2 images.")


def test_an_interrupted_order_keeps_its_files(tmp_path: Path) -> None:
    words = ("generate", "a lighthouse", "-n", "2", "--out", str(tmp_path / "out"))
    with streaming(MADE, end=b"", stays=True) as url, shell_of(url, tmp_path).start(*words) as process:
        assert process.stdout is not None
        path = Path(process.stdout.readline().strip())
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)

    assert process.returncode == 130
    assert [path.name] == names_in(tmp_path)
    assert said.startswith("error: Interrupted after 1 of 2 images.")
    assert len(said.splitlines()) == 1


def test_a_reader_that_leaves_costs_no_image(tmp_path: Path) -> None:
    """As `head -1` does."""
    words = ("generate", "a lighthouse", "-n", "2", "--out", str(tmp_path / "out"))
    second = event("image_generation.completed", b64_json=PIXELS, index=1, cost_microusd=21_100, cache="miss")
    with streaming(MADE, second) as url, shell_of(url, tmp_path).start(*words) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        said = process.stderr.read()

    assert (process.returncode, len(said.splitlines())) == (0, 1)
    assert names_in(tmp_path) == ["qoftests-1.png", "qoftests-2.png"]


@pytest.mark.parametrize(
    ("realm", "images", "price"),
    [
        ("live", [(21_100, "miss"), (21_000, "miss")], "$0.0421"),
        ("live", [(21_100, "miss"), (0, "coalesced")], "$0.0211 (1 shared with an equal order, free)"),
        ("live", [(21_100, "miss"), (None, "miss")], "price unknown"),
        ("live", [(0, "hit"), (0, "coalesced")], "free (1 from the cache, 1 shared with an equal order)"),
        ("sandbox", [(21_100, "miss")], "test images, nothing charged"),
        (None, [(40, "none")], "$0.000040"),
    ],
)
def test_the_cost_line_is_honest(realm: str | None, images: list[tuple[int | None, str]], price: str) -> None:
    report = Report(
        Order(operation="generate", fields={"model": "dall-e-3", "n": 2}), realm=realm, seconds=3.14
    )
    for place, (cost_microusd, cache) in enumerate(images):
        image = MadeImage(
            data=b"",
            place=place,
            size=None,
            cost_microusd=cost_microusd,
            cache=cache,
            url=None,
            revised_prompt=None,
        )
        report.saved.append(SavedImage(Path(), image))

    assert report.line(Words()).partition(" in 3.1 s, ")[2] == price


def test_a_full_disk_names_the_link_of_the_image(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    # A directory in the place of the file.
    (tmp_path / "out" / ".qoftests-1.png.part").mkdir()
    with streaming(event("x.completed", b64_json=PIXELS, url="http://host/1.png")) as url:
        done = order(url, tmp_path, "generate", "a lighthouse")

    assert done.returncode == 1
    assert "The image is still behind this link: http://host/1.png" in done.stderr
