"""A headless Chromium, spoken to through its debugging pipe with the standard library alone."""

import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-pipe",
]  # fmt: skip


def find() -> str | None:
    """The program of an installed Chromium or Chrome, or None."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def _above_ten(fd: int) -> int:
    """The same pipe end under a number that does not collide with the 3 and 4 of the child."""
    copy = fcntl.fcntl(fd, fcntl.F_DUPFD, 10)
    os.close(fd)
    return copy


class Chromium:
    """One tab. `events` holds what the browser has reported so far; use as a context manager."""

    def __enter__(self):
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        (read, self._to), (self._from, write) = os.pipe(), os.pipe()
        read, write = _above_ten(read), _above_ten(write)
        command = [find(), *FLAGS, f"--user-data-dir={self._profile.name}"]

        def connect():  # in the child: the browser reads commands from 3 and answers on 4
            os.dup2(read, 3)
            os.dup2(write, 4)

        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(command, preexec_fn=connect, close_fds=False, stdout=quiet, stderr=quiet)
        os.close(read)
        os.close(write)
        self._rest, self._n_sent, self._session, self.events = b"", 0, None, []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait(timeout=20)
        os.close(self._to)
        os.close(self._from)
        self._profile.cleanup()

    def call(self, method: str, **params) -> dict:
        """Send a command and wait for its result; raises RuntimeError with the browser's message."""
        self._n_sent += 1
        message = {"id": self._n_sent, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        answer = self._wait(lambda received: "id" in received and received["id"] == message["id"])
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def open(self, path: Path) -> None:
        """Open a file and wait until it has loaded."""
        self.call("Page.navigate", url=path.resolve().as_uri())
        if not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self._wait(lambda received: "method" in received and received["method"] == "Page.loadEventFired")

    def evaluate(self, script: str):
        """The value of an expression in the page; promises are awaited."""
        result = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"]["exception"]["description"])
        return result["result"]["value"]

    def resize(self, width: int, height: int) -> None:
        """Give the page another size in CSS pixels."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def requests(self) -> list[str]:
        """URLs that the page has asked for."""
        sent = [event for event in self.events if event["method"] == "Network.requestWillBeSent"]
        return [event["params"]["request"]["url"] for event in sent]

    def complaints(self) -> list[str]:
        """Errors and warnings of the console, and exceptions."""
        found = []
        for event in self.events:
            params = event["params"]
            if event["method"] == "Runtime.exceptionThrown":
                found.append(str(params["exceptionDetails"]))
            if event["method"] == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
                found.append(params["entry"]["text"])
            if event["method"] == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
                found.append(str(params["args"]))
        return found

    def _wait(self, is_wanted, timeout_s: float = 60) -> dict:
        deadline = time.monotonic() + timeout_s
        while True:
            *whole, self._rest = self._rest.split(b"\0")
            received = [json.loads(message) for message in whole]
            self.events += [message for message in received if "method" in message]
            wanted = [message for message in received if is_wanted(message)]
            if wanted:
                return wanted[0]
            if not select.select([self._from], [], [], deadline - time.monotonic())[0]:
                raise TimeoutError("Chromium did not answer in time")
            chunk = os.read(self._from, 1 << 20)
            if not chunk:
                raise RuntimeError("Chromium has ended; is it installed whole?")
            self._rest += chunk
