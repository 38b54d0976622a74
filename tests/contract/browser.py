"""Drive a real Chromium through its debugging pipe: open a page, and run scripts in it."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson


class Page:
    """One page of a browser."""

    def __init__(self, write_fd: int, read_fd: int) -> None:
        self._write_fd = write_fd
        self._read_fd = read_fd
        self._unread = b""
        self._id = 0
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def open(self, url: str) -> None:
        self._call("Page.navigate", session=self._session, url=url)

    def run(self, script: str) -> Any:
        """Return the value of an expression, awaited if it is a promise."""
        done = self._call(
            "Runtime.evaluate",
            session=self._session,
            expression=script,
            awaitPromise=True,
            returnByValue=True,
        )
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def _call(self, method: str, *, session: str = "", **params: Any) -> dict[str, Any]:
        self._id += 1
        message = {"id": self._id, "method": method, "params": params}
        os.write(
            self._write_fd, orjson.dumps({**message, "sessionId": session} if session else message) + b"\0"
        )
        while True:
            answer = self._read()
            if answer.get("id") == self._id:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._unread:
            part = os.read(self._read_fd, 65536)
            assert part, "the browser has ended"
            self._unread += part
        message, _, self._unread = self._unread.partition(b"\0")
        read: dict[str, Any] = orjson.loads(message)
        return read


@contextlib.contextmanager
def open_browser(directory: Path) -> Iterator[Page | None]:
    """Start a browser with its profile in *directory*; None if there is none on this machine."""
    chromium = shutil.which("chromium")
    if chromium is None:
        yield None
        return
    to_browser, from_browser = os.pipe(), os.pipe()
    # Chromium reads commands from 3 and writes answers to 4.
    shell = f'exec "$0" "$@" 3<&{to_browser[0]} 4>&{from_browser[1]}'
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-proxy-server", "--remote-debugging-pipe"]
    process = subprocess.Popen(
        ["bash", "-c", shell, chromium, *options, f"--user-data-dir={directory}"],
        pass_fds=(to_browser[0], from_browser[1]),
        stderr=subprocess.DEVNULL,
    )
    for descriptor in (to_browser[0], from_browser[1]):
        os.close(descriptor)
    try:
        yield Page(to_browser[1], from_browser[0])
    finally:
        process.terminate()
        process.wait()
        for descriptor in (to_browser[1], from_browser[0]):
            os.close(descriptor)
