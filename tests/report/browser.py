"""A real browser for tests: Debian's Chromium without a window, spoken to over its own pipe (DevTools protocol)."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

_FOUND = [shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")]
PROGRAM = next((path for path in _FOUND if path), None)
needs_chromium = pytest.mark.skipif(
    PROGRAM is None or sys.platform == "win32", reason="chromium is not installed (on Windows its pipe is not used)"
)


class Tab:
    """One page. Texts are what it holds when asked; points are in its own pixels."""

    def __init__(self, to_browser: Any, from_browser: Any) -> None:
        self._to, self._from = to_browser, from_browser
        self._number, self._tab, self.log = 0, "", []
        self._loaded: set[str] = set()

    def call(self, method: str, **params: object) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._tab:
            message["sessionId"] = self._tab
        self._to.write(json.dumps(message).encode() + b"\0")
        self._to.flush()
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return dict(answer["result"])

    def _next(self) -> dict[str, Any]:
        data = bytearray()
        while (byte := self._from.read(1)) != b"\0":
            if not byte:
                raise RuntimeError("the browser has gone")
            data += byte
        answer = dict(json.loads(data))
        if answer.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
            self.log.append(answer["params"])
        if answer.get("method") == "Page.lifecycleEvent" and answer["params"]["name"] == "load":
            self._loaded.add(answer["params"]["loaderId"])
        return answer

    def open(self, path: Path, *, scripts: bool = True) -> None:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._tab = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.call("Page.setLifecycleEventsEnabled", enabled=True)
        loader = self.call("Page.navigate", url=path.as_uri())["loaderId"]
        while loader not in self._loaded:  # it may have been told before the answer to the call
            self._next()

    def ask(self, expression: str) -> Any:
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in found:
            raise RuntimeError(str(found["exceptionDetails"]))
        return found["result"].get("value")

    def mouse(self, *points: tuple[float, float]) -> None:
        """Press at the first point, move over the others, let go at the last."""
        for n, (x, y) in enumerate(points):
            kind = "mouseMoved" if n else "mousePressed"
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)
        x, y = points[-1]
        self.call("Input.dispatchMouseEvent", type="mouseReleased", x=x, y=y, button="left", clickCount=1)

    def finger(self, *points: tuple[float, float]) -> None:
        for n, (x, y) in enumerate(points):
            self.call(
                "Input.dispatchTouchEvent", type="touchMove" if n else "touchStart", touchPoints=[{"x": x, "y": y}]
            )
        self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def key(self, name: str, *, shift: bool = False) -> None:
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=name, code=name, modifiers=8 if shift else 0)

    def picture(self, path: Path) -> Path:
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))
        return path


@contextmanager
def browser(width: int = 1200, height: int = 1600) -> Iterator[Tab]:
    """Start a browser with a profile of its own and no network, and end it."""
    assert PROGRAM is not None
    profile = mkdtemp(prefix="chromium")
    read_end, to_browser = os.pipe()
    from_browser, write_end = os.pipe()

    def placed() -> None:  # the browser reads commands from 3 and answers on 4
        a, b = os.dup(read_end), os.dup(write_end)
        os.dup2(a, 3)
        os.dup2(b, 4)

    options = [
        "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--no-first-run",
        "--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={profile}",
        "--touch-events=enabled", f"--window-size={width},{height}",
    ]  # fmt: skip
    process = subprocess.Popen(
        [PROGRAM, *options], preexec_fn=placed, close_fds=False,  # noqa: PLW1509 - two pipes must get their numbers
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(read_end)
    os.close(write_end)
    try:
        with os.fdopen(to_browser, "wb") as out, os.fdopen(from_browser, "rb", buffering=1 << 16) as back:
            yield Tab(out, back)
    finally:
        process.terminate()
        process.wait(timeout=300)
        shutil.rmtree(profile, ignore_errors=True)
