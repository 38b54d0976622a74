"""Share out the files of a process, which has limits of its own here."""

import subprocess
import sys

import pytest

TOLD = """
import resource, sys
from service.serve.open_files import most_connections, raise_limit
soft, hard = int(sys.argv[1]), int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
raise_limit()
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0], most_connections(64))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "files", "connections"),
    [(256, 10_000, 10_000, 10_000 - 512), (1024, 1024, 1024, 512), (100, 300, 300, 150)],
)
def test_the_soft_limit_is_raised_and_a_part_is_kept(
    soft: int, hard: int, files: int, connections: int
) -> None:
    result = subprocess.run(
        [sys.executable, "-c", TOLD, str(soft), str(hard)], capture_output=True, text=True, check=True
    )

    assert result.stdout.split() == [str(files), str(connections)]
