"""Prepare the data directory: writable, locked by one gateway, with a secret.

Failure behaviour: closed. Two gateways on one directory would run two Valkeys on the same
files, so the second does not start; nor does one on a volume without locks.
"""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO

from service.adapters.identity.secrets import load_or_make_secret
from service.serve.privacy import create_private_files
from service.settings.problems import SettingsError
from service.settings.variables import Settings

_LOCK_PATIENCE_S = 3.0
LOCK_PAUSE_S = 0.05


def prepare_directory(directory: Path) -> None:
    """Create the data directory, and check that it is writable, which mounted volumes often are not.

    From now on, this process creates private files only.
    """
    create_private_files()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        probe = directory / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise SettingsError(
            f"GATEWAY_DATA_DIR {directory}: {error.strerror}. It must be writable for user id {os.getuid()}"
        ) from error


def secrets_of(settings: Settings) -> tuple[str, ...]:
    """Return the configured secrets, newest first, or the generated one of the data directory."""
    if settings.secrets is not None:
        return tuple(settings.secrets.get_secret_value().split(","))
    try:
        return (load_or_make_secret(settings.data_dir / "secret"),)
    except ValueError as error:
        raise SettingsError(
            f"GATEWAY_SECRETS is not set, and {error}. Remove the file to generate a new secret"
        ) from error


@asynccontextmanager
async def locked(data_dir: Path) -> AsyncIterator[None]:
    """Hold the lock of the directory, so that no other gateway runs a Valkey in it."""
    with open_lock(data_dir, "lock") as file:
        try:
            # A command may hold it for a moment.
            async with asyncio.timeout(_LOCK_PATIENCE_S):
                while not lock(file):  # noqa: ASYNC110 - another process sends no event
                    await asyncio.sleep(LOCK_PAUSE_S)
        except TimeoutError as error:
            raise SettingsError(
                f"Another gateway uses GATEWAY_DATA_DIR {data_dir}. Set another directory"
            ) from error
        yield


def open_lock(data_dir: Path, name: str) -> IO[str]:
    """Open a file of *data_dir* for `lock`."""
    try:
        return (data_dir / name).open("w")
    except OSError as error:
        raise SettingsError(
            f"GATEWAY_DATA_DIR {data_dir}: cannot open {name!r} in it: {error.strerror}. The file must be writable "
            f"for user id {os.getuid()}"
        ) from error


def lock(file: IO[str]) -> bool:
    """Take the lock of *file* if it is free; closing the file releases it.

    Raises:
        SettingsError: the volume supports no locks, like some network volumes.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise SettingsError(
            f"GATEWAY_DATA_DIR: {file.name} cannot be locked: {error.strerror}. Choose a directory on a volume "
            "with file locks, such as a local disk, or set GATEWAY_REDIS_URL"
        ) from error
    return True
