"""A process finds the names of its dead predecessors in the data directory, and none that lives."""

import subprocess
import sys
from pathlib import Path

import pytest

from service.adapters.process_names import ProcessNames
from tests.processes import REPOSITORY

LIVE = """
import sys
from pathlib import Path
from service.adapters.process_names import ProcessNames
with ProcessNames(Path(sys.argv[1]), "other"):
    print("here", flush=True)
    sys.stdin.read()
"""


def fail_with(opened: ProcessNames) -> None:
    with opened as names:
        assert names.names() == []
        raise InterruptedError


def test_a_process_that_lives_is_no_predecessor_until_it_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LIVE, str(tmp_path / "names")]
    with subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"here\n"
        with pytest.raises(InterruptedError):
            fail_with(ProcessNames(tmp_path / "names", "one"))
        other.kill()

    with ProcessNames(tmp_path / "names", "two") as names:
        assert sorted(names.names()) == ["one", "other"]
        with ProcessNames(tmp_path / "names", "three") as later:
            # A predecessor has one heir at a time.
            assert later.names() == []
        names.forget("one")

    with ProcessNames(tmp_path / "names", "four") as names:
        # Those that ended well left no name.
        assert names.names() == ["other"]


def test_a_directory_that_takes_no_file_has_no_predecessors(tmp_path: Path) -> None:
    (tmp_path / "names").write_text("a file")
    with ProcessNames(tmp_path / "names", "one") as names:
        assert names.names() == []


def test_forgetting_one_whose_file_is_gone_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "gone").touch()
    with ProcessNames(tmp_path, "one") as names:
        (tmp_path / "gone").unlink()
        names.forget("gone")
        assert names.names() == []


def test_a_process_is_alive_as_long_as_it_holds_its_lock(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LIVE, str(tmp_path)]
    with ProcessNames(tmp_path, "one") as names:
        with subprocess.Popen(
            command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as other:
            assert other.stdout is not None
            assert other.stdout.readline() == b"here\n"
            assert names.is_alive("other")
            other.kill()
        assert not names.is_alive("other")
        with ProcessNames(tmp_path, "heir") as heir:
            assert heir.names() == ["other"]
            assert not heir.is_alive("other")
            assert (names.is_alive("one"), heir.is_alive("one"), names.is_alive("heir")) == (True, True, True)
        assert (names.is_alive("heir"), names.is_alive("never"), names.is_alive("")) == (False, False, False)


def test_a_process_without_a_lock_is_alive_to_itself_only(tmp_path: Path) -> None:
    (tmp_path / "names").write_text("a file")
    with ProcessNames(tmp_path / "names", "one") as one, ProcessNames(tmp_path / "names", "two") as two:
        assert (one.is_alive("one"), two.is_alive("one")) == (True, False)
