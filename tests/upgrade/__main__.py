"""`make test-upgrade`: roll two gateways from an earlier commit to the working tree and back, under load.

Prints the figures. Ends with 1 if one is not as it should be.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.chaos.finding import Finding
from tests.chaos.ground import open_ground
from tests.upgrade.checkout import NoSuchCommit, check_out, default_commit
from tests.upgrade.rolling import roll


async def try_upgrade(commit: str, *, dwell_s: float) -> Finding:
    """Roll from *commit* and back in a temporary directory.

    Raises:
        NoSuchCommit: this clone does not have it.
    """
    finding = Finding()
    with tempfile.TemporaryDirectory(prefix="ig-upgrade-", ignore_cleanup_errors=True) as directory:
        old = check_out(commit, Path(directory, "old"))
        async with open_ground(Path(directory), is_short=True, tell=_tell) as ground:
            await roll(ground, finding, old, dwell_s=dwell_s)
    return finding


def main() -> int:
    """Try the commit of the command line, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.upgrade", description=__doc__)
    parser.add_argument("commit", nargs="?", default=default_commit(), help="the old version (%(default)s)")
    parser.add_argument("--dwell", type=float, default=6, help="seconds of each mixture of versions (6)")
    arguments = parser.parse_args()
    try:
        finding = asyncio.run(try_upgrade(arguments.commit, dwell_s=arguments.dwell))
    except NoSuchCommit as error:
        print(f"NOT TRIED: this clone has no {arguments.commit} ({error}). Fetch the whole history and tags.")
        return 0
    print("\n".join(finding.figures))
    print(f"\n{len(finding.failed)} figures are not as they should be." if finding.failed else "\nAll holds.")
    return 1 if finding.failed else 0


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
