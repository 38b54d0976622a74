"""Images, uploads and books are for the user of the gateway alone, whatever the umask."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.http.house import GENERATIONS, House, file, form, open_house, png, post_form, text, until

OF_AN_EARLIER_VERSION = (
    "files/images/ab/old.png",
    "uploads/old",
    "outbox/old.json",
    "spill/images/cd/old.png",
)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Run a gateway under the most open umask, on files that an earlier version left to be read by all."""
    directory = tmp_path_factory.mktemp("house")
    before = os.umask(0)
    try:
        for name in OF_AN_EARLIER_VERSION:
            (directory / name).parent.mkdir(parents=True)
            (directory / name).write_bytes(b"")
        with open_house(directory) as house:
            yield house
    finally:
        os.umask(before)


def open_to_others(directory: Path) -> list[str]:
    """Return everything below *directory* that others may use."""
    return [
        str(path.relative_to(directory))
        for path in directory.rglob("*")
        if not path.is_symlink() and stat.S_IMODE(path.stat().st_mode) & 0o077 and path.name != "gateway.log"
    ]


def test_files_of_an_earlier_version_are_made_private(house: House) -> None:
    assert (house.data_dir / "files/images/ab/old.png").exists()
    assert open_to_others(house.data_dir) == []


def test_images_uploads_and_the_state_are_private(house: House) -> None:
    body = form(text("prompt", "private"), text("model", "gpt-image-2"), file("image", png()))
    seen: list[str] = []

    def upload() -> Iterator[bytes]:
        yield body[:-100]
        until(house.uploads)
        seen.extend(open_to_others(house.data_dir))
        yield body[-100:]

    assert post_form(house.client, upload()).status_code == 200
    order = {"model": "dall-e-3", "prompt": "private"}
    assert house.client.post(GENERATIONS, json=order).status_code == 200

    assert seen == []
    assert list(house.data_dir.glob("files/images/*/*.png"))
    assert open_to_others(house.data_dir) == []


def test_links_out_of_the_directory_are_left_alone(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "catalogue").touch()
    shared.chmod(0o755)
    (tmp_path / "data/files").mkdir(parents=True)
    (tmp_path / "data/files/link").symlink_to(shared)

    with open_house(tmp_path / "data"):
        pass

    assert stat.S_IMODE(shared.stat().st_mode) == 0o755
