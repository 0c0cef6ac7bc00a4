"""The local service as a target."""

from __future__ import annotations

import json
import logging
import shutil
import threading
import time
from pathlib import Path
from typing import Any

from fuzzing.answers import WrongAnswer, one_line
from fuzzing.seeds import Seed
from fuzzing.wire import LOCAL, free_port, spoken

TOKEN = "a-token-for-fuzzing-only"
HTTP_WORDS = (
    b"POST", b"DELETE", b"PUT", b"TRACE", b"/v1/cases", b"/v1/cases/..%2f..%2f", b"%00", b"?recipe=bias&suffix=.nii",
    b"Content-Length: 99999999999", b"Content-Length: -1", b"Transfer-Encoding: chunked", b"Authorization: Bearer \xff",
    b"Host: evil.example", b"Cookie: mediseg=", b"\r\n", b"Range: bytes=0-1,2-3", b"HTTP/9.9", b"Expect: 100-continue",
    b"Upgrade: websocket",
)  # fmt: skip


class Web:
    """The service behind a real server on loopback, spoken to in raw bytes."""

    def __init__(self, folder: Path) -> None:
        import uvicorn

        from mediseg.serve.app import Service

        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        folder.mkdir(parents=True)
        self._folder, self._service = folder, Service(folder, TOKEN, max_mb=1, threads=1)
        self._port = free_port()
        config = uvicorn.Config(
            self._service.app(), host=LOCAL, port=self._port, log_level="critical", access_log=False
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.05)
        self.seeds = [Seed(name, data) for name, data in self._requests().items()]
        self._asked = 0

    def _requests(self) -> dict[str, bytes]:
        head = f"HTTP/1.1\r\nHost: {LOCAL}\r\nAuthorization: Bearer {TOKEN}\r\n".encode()
        lines = {
            "list": b"GET /v1/cases ", "recipes": b"GET /v1/recipes ", "api": b"GET /openapi.json ", "page": b"GET / ",
            "one": b"GET /v1/cases/case-0123456789abcdef ", "cancel": b"DELETE /v1/cases/case-0123456789abcdef ",
            "file": b"GET /v1/cases/case-0123456789abcdef/files/dicom/a.dcm ", "token": b"GET /?token=wrong ",
        }  # fmt: skip
        requests = {name: line + head + b"\r\n" for name, line in lines.items()}
        body = b"\x5c\1\0\0 no image"
        submit = b"POST /v1/cases?recipe=bias&suffix=.nii " + head
        requests["submit"] = submit + f"Content-Length: {len(body)}\r\n\r\n".encode() + body
        requests["chunked"] = submit + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n"
        return requests

    def run(self, seed: Seed, data: bytes) -> str:
        answer = spoken(self._port, data, 1.0)
        self._asked += 1
        status = answer[:12].decode("latin-1")
        if status.startswith("HTTP/1.1 5") and not status.startswith("HTTP/1.1 507"):
            raise WrongAnswer(f"answered {answer[:300]!r}")
        if self._asked % 20 == 0:
            self._check()
        return status or "closed"

    def _check(self) -> None:
        """It still answers, and no job ended in a bug."""
        answer = spoken(self._port, self._requests()["list"], 20.0, is_whole=lambda got: b"]" in got)
        if not answer.startswith(b"HTTP/1.1 200"):
            raise WrongAnswer(f"does not answer any more: {answer[:200]!r}")
        jobs: list[dict[str, Any]] = json.loads(answer.partition(b"\r\n\r\n")[2])
        for job in jobs:
            if "bug" in job["reason"]:
                raise WrongAnswer(f"a bug in a job: {job}")
            if job["reason"]:
                one_line(job["reason"])
        for job in self._service.jobs.all():
            if job.state not in ("waiting", "running"):
                self._service.jobs._jobs.pop(job.id, None)
                shutil.rmtree(self._folder / job.id, ignore_errors=True)

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=10)
        self._service.jobs.close()
