"""Roll from an earlier version to the working tree and back, or be told why not."""

from pathlib import Path

import pytest

from tests.processes import free_port, run_gateway, run_valkey
from tests.shell import Shell
from tests.upgrade.__main__ import try_upgrade
from tests.upgrade.checkout import BEFORE_HOLDS, NoSuchCommit, check_out, default_commit

SECRETS = "a-secret-all-replicas-share"


def earlier(commit: str, directory: Path) -> Path:
    try:
        return check_out(commit, directory)
    except NoSuchCommit as error:
        pytest.skip(f"NOT TRIED: this clone has no {commit[:9]}: {error}")


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_nothing_is_lost_or_paid_twice_from_an_earlier_version_and_back() -> None:
    commit = default_commit()
    try:
        finding = await try_upgrade(commit, dwell_s=3)
    except NoSuchCommit as error:
        pytest.skip(f"NOT TRIED: this clone has no {commit[:9]}: {error}")

    assert finding.failed == []


@pytest.mark.slow
def test_a_gateway_refuses_to_start_beside_one_of_a_version_with_other_holds(tmp_path: Path) -> None:
    old = earlier(BEFORE_HOLDS, tmp_path / "old")
    with run_valkey() as valkey:
        given = {
            "GATEWAY_PORT": str(free_port()),
            "GATEWAY_REDIS_URL": valkey.url,
            "GATEWAY_SECRETS": SECRETS,
        }
        with run_gateway(tmp_path / "first", checkout=old, redis_url=valkey.url, secrets=SECRETS):
            refused = Shell(tmp_path / "second", tuple(given.items())).run_apart("serve")

    assert refused.returncode == 1
    assert "1 gateway of a version that counts running orders in another way" in refused.stderr
