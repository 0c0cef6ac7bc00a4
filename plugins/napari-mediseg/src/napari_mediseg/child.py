"""A recipe run in a process of its own: ``python -m napari_mediseg.child``. One JSON object a line.

In: the request, then perhaps a line ``cancel``. Out: ``{"progress": ...}`` and at the end ``{"done": ...}`` or
``{"error": ...}``. A process keeps the window alive whatever a step does, and can be ended at any moment.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from typing import Any

_out = sys.stdout


def main() -> int:
    """Run the request on stdin."""
    global _out
    _out, sys.stdout = sys.stdout, sys.stderr  # what a library prints is not for the window
    if hasattr(os, "nice"):
        os.nice(5)  # the window comes first: both cores may be busy with the run
    request = json.loads(sys.stdin.readline())
    stop = threading.Event()
    threading.Thread(target=_listen, args=(stop,), daemon=True).start()
    try:
        _say({"done": _run(request, stop)})
    except Exception as error:  # noqa: BLE001 - told to the window, whatever it is
        _say({"error": _told(error)})
    return 0


def _listen(stop: threading.Event) -> None:
    for line in sys.stdin:
        if line.strip() == "cancel":
            stop.set()
    stop.set()  # the window is gone


def _run(request: dict[str, Any], stop: threading.Event) -> dict[str, Any]:
    import mediseg

    case = mediseg.run(
        request["recipe"],
        request["path"],
        request["out"],
        settings=request["settings"],
        options=mediseg.RunOptions(threads=request["threads"]),
        progress=lambda at: _say({"progress": [at.stage, at.done, at.total]}),
        cancel=stop.is_set,
    )
    return {"folder": str(case.folder), "status": case.status, "reason": case.reason, "resumed": case.resumed}


def _told(error: Exception) -> dict[str, str]:
    from mediseg import MedisegError

    if isinstance(error, MedisegError):
        return {"kind": type(error).__name__, "message": str(error)}
    return {"kind": "bug", "message": f"a bug in mediseg ({type(error).__name__})"}


def _say(message: dict[str, Any]) -> None:
    _out.write(json.dumps(message) + "\n")
    _out.flush()


if __name__ == "__main__":
    raise SystemExit(main())
