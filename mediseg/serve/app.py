"""The HTTP face: bearer token, host names of this machine only, size limits; every error is one line of JSON."""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable
from html import escape
from pathlib import Path
from socket import socket

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from mediseg.errors import OutputError
from mediseg.serve.jobs import Job, Jobs
from mediseg.serve.openapi import SUFFIXES, description
from mediseg.web import HEADERS, LOOPBACK, POLICY, Secret, problem, server

COOKIE = "mediseg"
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}"
    "table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #ccd}"
)
Handler = Callable[[Request], Awaitable[Response]]


class Service:
    """The service's state: its jobs, its token, and how large an input may be."""

    def __init__(self, folder: Path, token: str, *, max_mb: int = 4096, threads: int = 2) -> None:
        self.folder, self._secret, self._max_bytes = folder, Secret(token), max_mb * 1_000_000
        self.jobs = Jobs(folder, threads)

    def app(self) -> Starlette:
        """Return the ASGI application."""
        guarded = self._guarded
        routes = [
            Route("/", self._page),
            Route("/openapi.json", guarded(self._openapi)),
            Route("/v1/recipes", guarded(self._recipes)),
            _route("/v1/cases", GET=guarded(self._list), POST=guarded(self._submit, "recipe", "suffix")),
            _route("/v1/cases/{id}", GET=guarded(self._one), DELETE=guarded(self._cancel)),
            Route("/v1/cases/{id}/files/{name:path}", guarded(self._file)),
        ]
        middleware = [Middleware(TrustedHostMiddleware, allowed_hosts=list(LOOPBACK))]
        return Starlette(routes=routes, middleware=middleware, exception_handlers={HTTPException: problem})

    def _guarded(self, handler: Handler, *known: str) -> Handler:
        """Return a handler that wants the token and takes no other query parameters than these, each once."""

        async def call(request: Request) -> Response:
            if not self._secret.is_bearer(request.headers.get("Authorization", "")):
                raise HTTPException(401, "send the service's token: Authorization: Bearer ...")
            given = [name for name, _ in request.query_params.multi_items()]
            if not set(given) <= set(known) or len(given) > len(set(given)):
                raise HTTPException(400, f"parameters are {', '.join(known) or 'none'}, each once")
            response = await handler(request)
            response.headers.update(HEADERS)
            return response

        return call

    async def _openapi(self, request: Request) -> Response:
        import mediseg
        from mediseg.recipe import recipe_names

        return JSONResponse(description(mediseg.__version__, recipe_names()))

    async def _recipes(self, request: Request) -> Response:
        from mediseg.recipe import recipe_names

        return JSONResponse(list(recipe_names()))

    async def _list(self, request: Request) -> Response:
        return JSONResponse([job.to_dict() for job in self.jobs.all()])

    async def _submit(self, request: Request) -> Response:
        from mediseg.recipe import recipe_names

        recipe, suffix = request.query_params.get("recipe", ""), request.query_params.get("suffix", ".zip")
        if recipe not in recipe_names():
            raise HTTPException(400, f"recipe is one of {', '.join(recipe_names())}")
        if suffix not in SUFFIXES:
            raise HTTPException(400, f"suffix is one of {', '.join(SUFFIXES)}")
        try:
            job = await self._begun(request, recipe, suffix)
        except (OSError, OutputError) as error:
            raise HTTPException(507, "the input cannot be written: no room, or no permission") from error
        return JSONResponse(job.to_dict(), status_code=202)

    async def _begun(self, request: Request, recipe: str, suffix: str) -> Job:
        job = self.jobs.new(recipe, suffix)
        try:
            await self._take(request, job)
            self.jobs.begin(job)
        except (HTTPException, ClientDisconnect, OSError, OutputError):
            shutil.rmtree(job.source.parents[1], ignore_errors=True)
            raise
        return job

    async def _take(self, request: Request, job: Job) -> None:
        total = 0
        with job.source.open("xb") as stream:
            async for chunk in request.stream():
                total += len(chunk)
                if total > self._max_bytes:
                    raise HTTPException(413, f"more than {self._max_bytes // 1_000_000} MB are not taken")
                stream.write(chunk)
        if not total:
            raise HTTPException(400, "the input is empty; send the file as the request's body")

    def _job(self, request: Request) -> Job:
        job = self.jobs.get(request.path_params["id"])
        if job is None:
            raise HTTPException(404, "there is no such case")
        return job

    async def _one(self, request: Request) -> Response:
        return JSONResponse(self._job(request).to_dict())

    async def _cancel(self, request: Request) -> Response:
        job = self._job(request)
        try:
            self.jobs.cancel(job)
        except OutputError as error:
            raise HTTPException(507, "the case is cancelled, but that cannot be written: no room") from error
        return JSONResponse(job.to_dict())

    async def _file(self, request: Request) -> Response:
        path = self._job(request).file(request.path_params["name"])
        if path is None or not path.is_file():
            raise HTTPException(404, "the case has no such output; see its outputs")
        return FileResponse(path, media_type="application/octet-stream")

    async def _page(self, request: Request) -> Response:
        """The list for a person. ``/?token=...`` once, then a cookie that no script reads and no other site sends."""
        given = request.query_params.get("token", "")
        if given and self._secret.is_(given):
            answer: Response = RedirectResponse("/", status_code=303)
            answer.set_cookie(COOKIE, self._secret.token, httponly=True, samesite="strict")
            return answer
        if not self._secret.is_(request.cookies.get(COOKIE, "")):
            raise HTTPException(401, "open the address that mediseg serve has printed, with its token")
        headers = {**HEADERS, "Content-Security-Policy": POLICY}
        if request.query_params.get("refresh"):
            headers["Refresh"] = "10"
        return HTMLResponse(_page(self.jobs.all()), headers=headers)


def _route(path: str, **handlers: Handler) -> Route:
    """Return one route for all methods of a path, so that who asks by another is told which there are."""

    async def call(request: Request) -> Response:
        return await handlers["GET" if request.method == "HEAD" else request.method](request)

    return Route(path, call, methods=list(handlers))


def _progress(job: Job) -> str:
    return f"{job.done} of {job.total} {escape(job.stage)}" if job.state == "running" else ""


def _page(jobs: list[Job]) -> str:
    rows = "".join(
        f"<tr><td>{escape(j.id)}</td><td>{escape(j.recipe)}</td><td>{escape(j.state)}</td>"
        f"<td>{_progress(j)}</td><td>{escape(j.reason)}</td></tr>"
        for j in jobs
    )
    head = "".join(f'<th scope="col">{word}</th>' for word in ("Case", "Recipe", "State", "Progress", "Reason"))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>mediseg</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>'
        f"<body><main><h1>Cases of this service</h1><p>{len(jobs)} cases. Research use only; not a medical device.</p>"
        '<p><a href="/">Look again</a> · <a href="/?refresh=10">every 10 s</a></p>'
        f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></main></body></html>"
    )


def listen(service: Service, listening: socket) -> None:
    """Serve on a socket that listens until stopped, and close it."""
    try:
        server(service.app()).run(sockets=[listening])
    finally:
        service.jobs.close()
        listening.close()
