"""A real browser, by its debugging protocol over a pipe."""

import itertools
import json
import os
import shutil
import subprocess
import tempfile

PROGRAM = shutil.which("chromium") or shutil.which("google-chrome")


class Chromium:
    """A page in a browser without a window.

    Args:
        url: The page.
    """

    def __init__(self, url):
        self._profile = tempfile.TemporaryDirectory()
        read, self._to = os.pipe()
        self._from, write = os.pipe()
        self._process = subprocess.Popen(
            [
                *("bash", "-c", f'exec "$0" "$@" 3<&{read} 4>&{write}'),
                *(PROGRAM, "--headless=new", "--no-sandbox", "--disable-gpu"),
                *("--remote-debugging-pipe", "--no-first-run"),
                f"--user-data-dir={self._profile.name}",
            ],
            pass_fds=(read, write),
            stderr=subprocess.DEVNULL,
        )
        os.close(read)
        os.close(write)
        self._numbers = itertools.count(1)
        self._rest = b""
        self._session = {}
        self.events = []
        target = self.call("Target.createTarget", url="about:blank")
        attached = self.call("Target.attachToTarget", flatten=True, **target)
        self._session = attached
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self.call(
            "Emulation.setDeviceMetricsOverride",
            **{"width": 1000, "height": 900, "deviceScaleFactor": 1},
            mobile=False,
        )
        self.call("Page.navigate", url=url)
        self.until("document.readyState === 'complete'")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._session = {}
        self.call("Browser.close")
        self._process.wait(30)
        os.close(self._to)
        os.close(self._from)
        self._profile.cleanup()

    def call(self, method, **parameters):
        """The result of a command."""
        number = next(self._numbers)
        asked = {"id": number, "method": method, "params": parameters}
        os.write(
            self._to, json.dumps({**asked, **self._session}).encode() + b"\0"
        )
        while True:
            message = self._read()
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]
            self.events.append(message)

    def run(self, script):
        """The value of an expression in the page, once it has settled."""
        result = self.call(
            "Runtime.evaluate",
            expression=script,
            awaitPromise=True,
            returnByValue=True,
        )
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def upload(self, selector, file):
        """A file, chosen in a field."""
        found = self.call(
            "Runtime.evaluate",
            expression=f"document.querySelector({json.dumps(selector)})",
        )
        self.call(
            "DOM.setFileInputFiles",
            files=[str(file)],
            objectId=found["result"]["objectId"],
        )

    def until(self, condition):
        """Waits for a condition, at most ten seconds."""
        assert self.run(
            "new Promise(done => { const end = Date.now() + 10000;"
            f"const look = () => ({condition}) ? done(true) :"
            "Date.now() > end ? done(false) : setTimeout(look, 20); look(); })"
        ), condition

    def drag(self, points):
        """The mouse, pressed at the first point and moved by the others."""
        kinds = ["mousePressed", *["mouseMoved"] * (len(points) - 1)]
        for kind, (x, y) in [
            *zip(kinds, points, strict=True),
            ("mouseReleased", points[-1]),
        ]:
            self.call(
                "Input.dispatchMouseEvent",
                **{"type": kind, "x": x, "y": y, "button": "left"},
                **{"buttons": 1, "clickCount": 1},
            )

    def problems(self):
        """Errors in the console, and exceptions."""
        return [
            event
            for event in self.events
            if event.get("method") == "Runtime.exceptionThrown"
            or event.get("params", {}).get("entry", {}).get("level") == "error"
        ]

    def _read(self):
        while b"\0" not in self._rest:
            part = os.read(self._from, 2**20)
            assert part, "the browser ended"
            self._rest += part
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)
