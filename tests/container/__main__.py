"""`make test-container`: build the image, compose it, order through HAProxy, replace both gateways under load.

Prints what was proved, line by line. Ends with 1 if a check fails, and with 2 where there is neither a Docker engine nor
what a stand-in for it needs; `--or-skip` makes that a visible line and 0.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from tests.container import composition, podman
from tests.container.engine import Engine, find_docker
from tests.container.image import check_image
from tests.container.proofs import Proofs
from tests.container.roll import check_roll
from tests.container.shell import Failed, run
from tests.container.stack import lay_out
from tests.processes import REPOSITORY

_IMAGE = "image-gateway:0.1.0"


def main() -> int:
    """Run everything with the engine that this machine has."""
    arguments = _parser().parse_args()
    try:
        if arguments.inside is not None:
            with podman.inside(arguments.inside) as engine:
                return _try_everything(engine, arguments.inside)
        return _begin(arguments)
    except Failed as error:
        print(f"\n  FAIL  {error}", flush=True)
        return 1


def _begin(arguments: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="ig-", ignore_cleanup_errors=True) as temporary:
        work = (arguments.keep or Path(temporary)).absolute()
        work.mkdir(parents=True, exist_ok=True)
        if (docker := find_docker()) is not None:
            labels = [*_labels(), *arguments.build_arg]
            run(["docker", "build", *labels, "--tag", _IMAGE, str(REPOSITORY)], timeout_s=900)
            return _try_everything(docker, work)
        if reason := podman.reason_against():
            print(
                f"SKIPPED: make test-container: {reason}" if arguments.or_skip else f"Not possible: {reason}"
            )
            return 0 if arguments.or_skip else 2
        began_s = time.monotonic()
        podman.prepare(work)
        print(
            f"stand-ins for the images of others, from Debian's packages ({time.monotonic() - began_s:.0f} s)"
        )
        began_s = time.monotonic()
        podman.build(_IMAGE, [*_labels(), *arguments.build_arg])
        print(f"the image, built ({time.monotonic() - began_s:.0f} s)", flush=True)
        return podman.enter(work)


def _try_everything(engine: Engine, work: Path) -> int:
    proofs = Proofs()
    with tempfile.TemporaryDirectory(prefix="stack-", dir=work, ignore_cleanup_errors=True) as directory:
        with proofs.section("the image"):
            check_image(engine, _IMAGE, proofs, revision=_revision())
        stack = lay_out(engine, Path(directory) / "project")
        try:
            with proofs.section("docker compose up"):
                composition.check_start(stack, proofs)
                composition.check_containers(stack, proofs)
                composition.check_valkey(stack, proofs)
            with proofs.section("orders through HAProxy"):
                links = composition.check_orders(stack, proofs)
            with proofs.section("dashboards' data source"):
                composition.check_data_source(stack, proofs, revision=_revision())
            with proofs.section("an upgrade under load"):
                check_roll(stack, proofs)
            with proofs.section("stop, down and up"):
                composition.check_end_and_return(stack, links, proofs)
            with proofs.section("a bucket as the store"):
                composition.check_bucket(stack, proofs)
        except BaseException:
            composition.print_logs(stack)
            raise
        finally:
            stack.compose("down", "--volumes", "--timeout", "1")
    print(f"\ntest-container: {proofs.count} checks hold, with {engine.program}, in {proofs.lasted_s:.0f} s")
    return 0


def _labels() -> list[str]:
    created = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return ["--build-arg", f"REVISION={_revision()}", "--build-arg", f"CREATED={created}"]


def _revision() -> str:
    command = ["git", "-C", str(REPOSITORY), "rev-parse", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.container", description=__doc__)
    parser.add_argument("--or-skip", action="store_true", help="succeed where no engine can be had")
    parser.add_argument(
        "--keep", type=Path, help="directory that keeps stand-ins and layers for the next run"
    )
    parser.add_argument(
        "--build-arg",
        nargs=1,
        action="extend",
        default=[],
        help="further argument of the build, such as --build-arg=--quiet",
    )
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
