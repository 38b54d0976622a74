"""Save the state of a running gateway, and put it back, step by step as `docs/operations.md` says."""

import shutil
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from redis import Redis

_MANIFEST = "file appendonly.aof.1.base.rdb seq 1 type b\n"
_WAITING = ("spill", "processes")
_SAVED_S = 30


@dataclass(frozen=True, slots=True)
class State:
    """The places of the state: data directory of the gateway, directory of Valkey, store."""

    data: Path
    valkey: Path
    store: Path

    @classmethod
    def under(cls, root: Path) -> "State":
        state = cls(root / "data", root / "valkey", root / "store")
        for each in (state.data, state.valkey, state.store):
            each.mkdir(parents=True)
        return state


def save_waiting(state: State, backup: Path) -> None:
    """Copy what waits for Redis and the store: first, as it may arrive there meanwhile, and counts once."""
    (backup / "journal").mkdir(parents=True)
    source, target = (directory / "journal" / "settlements.sqlite3" for directory in (state.data, backup))
    with closing(sqlite3.connect(source)) as live, closing(sqlite3.connect(target)) as copy:
        live.backup(copy)
    for name in _WAITING:
        # The spill comes with the first image that the store does not take.
        if (state.data / name).exists():
            shutil.copytree(state.data / name, backup / name, copy_function=_copy)


def save_redis(state: State, redis: Redis, backup: Path) -> None:
    """Let Valkey write its data to a file, and copy that."""
    before_s = redis.lastsave()
    # LASTSAVE counts seconds.
    time.sleep(1)
    redis.bgsave()
    end_s = time.monotonic() + _SAVED_S
    while redis.lastsave() == before_s:
        assert time.monotonic() < end_s, "Valkey saves nothing"
        time.sleep(0.05)
    shutil.copy(state.valkey / "dump.rdb", backup)


def save_store(state: State, backup: Path) -> None:
    """Copy the images: last, so that no image is missing that the copy of Redis knows."""
    shutil.copytree(state.store, backup / "store", copy_function=_copy)


def restore(state: State, backup: Path) -> None:
    """Put everything into empty directories, before any gateway starts."""
    appended = state.valkey / "appendonlydir"
    appended.mkdir()
    shutil.copy(backup / "dump.rdb", appended / "appendonly.aof.1.base.rdb")
    (appended / "appendonly.aof.manifest").write_text(_MANIFEST)
    shutil.copytree(backup / "store", state.store, dirs_exist_ok=True)
    for name in ("journal", *_WAITING):
        if (backup / name).exists():
            shutil.copytree(backup / name, state.data / name)


def _copy(source: str, target: str) -> str:
    """Copy a file unless it is gone: an image under way has another name until it is whole."""
    try:
        return str(shutil.copy2(source, target))
    except FileNotFoundError:
        return target
