"""Lock a data directory: one gateway at a time, and none on a volume without locks."""

import os
from pathlib import Path

import pytest

from service.serve.directory import lock, locked, open_lock
from service.settings.problems import SettingsError


def test_a_lock_is_exclusive_until_its_file_is_closed(tmp_path: Path) -> None:
    with open_lock(tmp_path, "lock") as second:
        with open_lock(tmp_path, "lock") as first:
            assert lock(first)
            assert not lock(second)

        assert lock(second)


def test_a_volume_without_locks_is_not_reported_as_in_use(tmp_path: Path) -> None:
    """As on a network volume without locks; here, of a descriptor that is good for nothing but its path."""
    (tmp_path / "lock").touch()
    descriptor = os.open(tmp_path / "lock", os.O_PATH)
    with open(descriptor, "w") as file, pytest.raises(SettingsError) as refused:  # noqa: PTH123 - of a descriptor
        lock(file)

    assert "Bad file descriptor" in str(refused.value)
    assert "GATEWAY_DATA_DIR" in str(refused.value)


async def test_a_lock_that_cannot_be_opened_names_the_directory(tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()

    with pytest.raises(SettingsError, match=f"GATEWAY_DATA_DIR {tmp_path}: .* Is a directory"):
        async with locked(tmp_path):
            pass
