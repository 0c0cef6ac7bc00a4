"""The node's status page, and the same for programs: what is in the queue, retry, drop, complete now.

On loopback anybody on this machine may look; elsewhere, or where the configuration says so, only who has the token.
Whatever changes something wants the token: a program sends it, a page's own buttons carry a key that is made from it.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from urllib.parse import parse_qs, urlencode

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from mediseg.errors import UsageError
from mediseg.node import view
from mediseg.node.audit import Audit
from mediseg.node.config import NodeConfig, StatusPage
from mediseg.node.queue import Queue
from mediseg.node.receive import study_key
from mediseg.node.received import Received
from mediseg.web import HEADERS, LOOPBACK, POLICY, Listener, Secret, bound, problem, server, token_in

COOKIE = "mediseg_node"
_LONGEST_FORM, _MOST_AT_ONCE = 4096, 1000
_REFRESH_S = 10
#: a report may run its own ruler (its policy names the script's hash) and is kept apart from this page's buttons
_REPORT_POLICY = "sandbox allow-scripts; frame-ancestors 'none'"
_DONE = {"retry": "is queued again", "drop": "is forgotten", "complete": "is taken as complete"}
Handler = Callable[[Request], Awaitable[Response]]


class Page:
    """The application. ``port`` is where DICOM is listened on, to be shown."""

    def __init__(self, config: NodeConfig, queue: Queue, audit: Audit, token: str, port: int) -> None:
        self._config, self._queue, self._audit, self._port = config, queue, audit, port
        self._settings = config.status or StatusPage()
        self._secret, self._received = Secret(token), Received(config.folder)

    def app(self) -> Starlette:
        """Return the ASGI application."""
        routes = [
            Route("/", self._page),
            Route("/works/{key}/{action:str}", self._pressed, methods=["POST"]),
            Route("/works/{key}/reports/{name}", self._report),
            Route("/v1/works", self._list),
            Route("/v1/works/{key}", self._one, methods=["GET"]),
            Route("/v1/works/{key}/{action:str}", self._told, methods=["POST"]),
            Route("/v1/studies/{uid}/complete", self._told_complete, methods=["POST"]),
        ]
        hosts = list(LOOPBACK) if self._settings.is_loopback else ["*"]  # elsewhere the token's cookie is a host's own
        middleware = [Middleware(TrustedHostMiddleware, allowed_hosts=hosts)]
        return Starlette(routes=routes, middleware=middleware, exception_handlers={HTTPException: problem})

    # --- who

    def _has_token(self, request: Request) -> bool:
        return self._secret.is_bearer(request.headers.get("Authorization", ""))

    def _may_look(self, request: Request) -> None:
        known = self._has_token(request) or self._secret.is_(request.cookies.get(COOKIE, ""))
        if self._settings.wants_token and not known:
            raise HTTPException(401, "open the address with its token: /?token=... (it lies in the node's folder)")

    def _may_change(self, request: Request) -> None:
        if not self._has_token(request):
            raise HTTPException(401, "send the node's token: Authorization: Bearer ... (it lies in the node's folder)")

    # --- for a person

    async def _page(self, request: Request) -> Response:
        given = request.query_params.get("token", "")
        if given and self._secret.is_(given):
            answer: Response = RedirectResponse("/", status_code=303, headers=HEADERS)
            is_https = request.url.scheme == "https"
            answer.set_cookie(COOKIE, self._secret.token, httponly=True, samesite="strict", secure=is_https)
            return answer
        self._may_look(request)
        text = await run_in_threadpool(self._rendered, request)
        headers = {**HEADERS, "Content-Security-Policy": POLICY}
        if request.query_params.get("refresh"):
            headers["Refresh"] = str(_REFRESH_S)
        return HTMLResponse(text, headers=headers)

    def _rendered(self, request: Request) -> str:
        now, state = time.time(), request.query_params.get("state", "")
        if state and state not in view.STATES:
            raise HTTPException(404, f"state is one of {', '.join(view.STATES)}")
        number, pages = _number(request.query_params.get("page", "1")), 1
        if state:
            group, pages = view.one_state(self._queue, self._config.folder, now, state, number)
            groups = [group]
        else:
            groups = view.groups(self._queue, self._config.folder, now)
        at = datetime.fromtimestamp(now).astimezone()
        said, is_bad = _said(request)
        told = {
            "state": state, "page": min(number, pages), "pages": pages, "form_key": self._secret.form_key,
            "now": at.strftime("%Y-%m-%d %H:%M:%S"), "now_iso": at.isoformat(timespec="seconds"), "said": said,
            "is_bad": is_bad, "refresh": _REFRESH_S if request.query_params.get("refresh") else 0,
            "here": "/?" + urlencode({"state": state, "page": min(number, pages)}) if state else "/",
        }  # fmt: skip
        return view.rendered(groups, self._queue, told, view.facts(self._config, self._port))

    async def _pressed(self, request: Request) -> Response:
        """A button of the page: done, and back to the page, which says so."""
        self._may_look(request)
        if request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
            raise HTTPException(403, "another site's form is not taken")
        form = parse_qs((await _body(request)).decode("utf-8", "replace"))
        if not self._secret.is_form_key(form.get("form_key", [""])[0]):
            raise HTTPException(403, "this form is not of this page; open the page again")
        key, action = request.path_params["key"], request.path_params["action"]
        try:
            await run_in_threadpool(self._do, action, key)
        except HTTPException as error:
            if error.status_code != 409:
                raise
            return RedirectResponse(f"/?{urlencode({'not': action, 'work': key})}", status_code=303, headers=HEADERS)
        return RedirectResponse(f"/?{urlencode({'did': action, 'work': key})}", status_code=303, headers=HEADERS)

    async def _report(self, request: Request) -> Response:
        self._may_look(request)
        key, name = request.path_params["key"], request.path_params["name"]
        results = self._config.folder / "results" / key
        is_known = await run_in_threadpool(lambda: self._queue.entry(key) is not None and name in view.reports(results))
        if not is_known:
            raise HTTPException(404, "there is no such report")
        headers = {**HEADERS, "Content-Security-Policy": _REPORT_POLICY}
        return FileResponse(results / name / "report.html", media_type="text/html; charset=utf-8", headers=headers)

    # --- for programs

    async def _list(self, request: Request) -> Response:
        self._may_look(request)
        state, skip = request.query_params.get("state", ""), _number(request.query_params.get("skip", "0"))
        if state and state not in view.STATES:
            raise HTTPException(400, f"state is one of {', '.join(view.STATES)}")
        states = [state] if state else list(view.STATES)
        entries = await run_in_threadpool(self._queue.entries, states, _MOST_AT_ONCE, skip)
        works = [view.to_dict(entry, self._config.folder) for entry in entries]
        found = {"works": works, "counts": self._queue.counts(), "files": self._queue.sendings()}
        return JSONResponse(found, headers=HEADERS)

    async def _one(self, request: Request) -> Response:
        self._may_look(request)
        return self._answer(request.path_params["key"])

    async def _told(self, request: Request) -> Response:
        self._may_change(request)
        key, action = request.path_params["key"], request.path_params["action"]
        await run_in_threadpool(self._do, action, key)
        return (
            JSONResponse({"work": key, "state": "dropped"}, headers=HEADERS) if action == "drop" else self._answer(key)
        )

    async def _told_complete(self, request: Request) -> Response:
        """A study told complete by its UID; its quiet time is not waited for."""
        self._may_change(request)
        key = study_key(request.path_params["uid"])
        await run_in_threadpool(self._do, "complete", key)
        return self._answer(key)

    def _answer(self, key: str) -> Response:
        entry = self._queue.entry(key)
        if entry is None:
            raise HTTPException(404, "there is no such work in the queue")
        return JSONResponse(view.to_dict(entry, self._config.folder), headers=HEADERS)

    def _do(self, action: str, key: str) -> None:
        """Do what a button or a program asks for: 404 for what is not there, 409 for what cannot be done now."""
        if action not in _DONE:
            raise HTTPException(404, f"there is {', '.join(_DONE)}")
        if self._queue.entry(key) is None:
            raise HTTPException(404, "there is no such work in the queue")
        try:
            if action == "retry":
                self._queue.retry(key, time.time())
            elif action == "drop":
                self._queue.drop(key, self._received.take_away)
            else:
                self._queue.complete(key)
        except (UsageError, OSError) as error:
            raise HTTPException(409, f"{action} is not possible now") from error
        self._received.empty_bin()
        self._audit.note(action, work=key, by="status page")


def _said(request: Request) -> tuple[str, bool]:
    """Return what a button has done, for the page that comes after; only words of our own."""
    for name, is_bad in (("did", False), ("not", True)):
        action, key = request.query_params.get(name, ""), request.query_params.get("work", "")
        if action in _DONE and key.replace("-", "").isalnum() and len(key) < 40:
            return (
                f"{key} could not be done: {action} is not possible now" if is_bad else f"{key} {_DONE[action]}."
            ), is_bad
    return "", False


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 8 else 0


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LONGEST_FORM:
            raise HTTPException(413, "that is no form of this page")
    return body


def show(config: NodeConfig, queue: Queue, audit: Audit, port: int) -> tuple[Listener, str]:
    """Serve the page beside the node; return what stops it and its address. Raises UsageError, OutputError."""
    settings = config.status or StatusPage()
    token = token_in(config.folder)
    listening = bound(settings.host, settings.port)
    tls = config.tls if config.tls and not settings.is_loopback else None
    made = server(
        Page(config, queue, audit, token, port).app(), tls.certificate if tls else None, tls.key if tls else None
    )
    listener = Listener(listening, made)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    hint = f" (token: {Path(config.folder.name) / 'token'})" if settings.wants_token else ""
    return listener, f"{'https' if tls else 'http'}://{host}:{listener.port}/{hint}"
