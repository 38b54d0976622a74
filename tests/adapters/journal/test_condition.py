"""The condition of a journal tells what to do."""

import sqlite3

import pytest

from service.adapters.journal.condition import JournalCondition
from tests.adapters.storage.disks import no_files


def test_a_lack_of_files_is_no_lack_of_room(caplog: pytest.LogCaptureFixture) -> None:
    condition = JournalCondition()
    error = sqlite3.OperationalError("unable to open database file")

    with no_files():
        condition.note_failure(error)
    assert "ulimit -n" in condition.shown.advice
    assert vars(caplog.records[0])["reason"] == "Too many open files"

    condition.note_success()
    condition.note_failure(error)
    assert "Make room" in condition.shown.advice
    assert vars(caplog.records[-1])["reason"] == "unable to open database file"
