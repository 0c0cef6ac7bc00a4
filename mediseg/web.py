"""What the local service and the node's status page share: the token, who may ask, headers, and how to listen."""

from __future__ import annotations

import hmac
import os
import secrets
import socket
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mediseg.errors import OutputError, UsageError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

#: under which names a service on loopback is asked; a page of the web whose name was made to point here (DNS
#: rebinding) asks for another
LOOPBACK = ("127.0.0.1", "localhost", "[::1]", "::1")
HEADERS = {
    "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY", "Cross-Origin-Resource-Policy": "same-origin",
}  # fmt: skip
#: a page runs no script and asks for nothing; its forms go back to where it came from
POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
_SHORTEST_TOKEN = 20


def token_in(folder: Path) -> str:
    """Return the token that lies in a folder, made at first, readable by its owner alone. Raises OutputError."""
    path = folder / "token"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="ascii") as stream:
                stream.write(secrets.token_urlsafe(32))
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise OutputError(f"the token in {folder.name} cannot be read or written") from error
    if len(token) < _SHORTEST_TOKEN:
        raise OutputError(f"the token in {folder.name} is too short to be a secret; delete the file token")
    return token


@dataclass(frozen=True)
class Secret:
    """A token and what is asked against it, in a time that tells nothing about it."""

    token: str

    def is_(self, given: str) -> bool:
        """True for the token itself."""
        return hmac.compare_digest(given.encode(), self.token.encode())

    def is_bearer(self, header: str) -> bool:
        """True for the header ``Authorization: Bearer TOKEN``."""
        scheme, _, given = header.partition(" ")
        return scheme.lower() == "bearer" and self.is_(given.strip())

    @property
    def form_key(self) -> str:
        """What a page's own forms carry, so that no other site's form is taken for one of them."""
        return hmac.new(self.token.encode(), b"form", "sha256").hexdigest()

    def is_form_key(self, given: str) -> bool:
        """True for what a page's own forms carry."""
        return hmac.compare_digest(given.encode(), self.form_key.encode())


async def problem(request: Request, error: Exception) -> Response:
    """Answer an HTTPException: one line of JSON."""
    from starlette.exceptions import HTTPException
    from starlette.responses import JSONResponse

    assert isinstance(error, HTTPException)
    headers = {**(error.headers or {}), **HEADERS}
    return JSONResponse({"error": error.detail}, status_code=error.status_code, headers=headers)


def bound(host: str, port: int) -> socket.socket:
    """Return a socket that listens. Raises UsageError where host or port cannot be used."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    if sys.platform != "win32":  # on Windows it would let another program share the port
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen()  # who asks before the server has started waits
    except OSError as error:
        listening.close()
        raise UsageError(f"port {port} of {host} cannot be used: {error.strerror}; choose another") from error
    return listening


def server(app: Any, certificate: str | None = None, key: str | None = None) -> Any:
    """Return a uvicorn server for an application, silent, by TLS where a certificate is given."""
    import uvicorn

    settings = uvicorn.Config(
        app, log_level="critical", access_log=False, server_header=False, timeout_graceful_shutdown=5,
        ssl_certfile=certificate, ssl_keyfile=key, lifespan="off",
    )  # fmt: skip
    return uvicorn.Server(settings)


class Listener:
    """Serves an application in a thread of its own until stopped."""

    def __init__(self, listening: socket.socket, made: Any) -> None:
        self.port = int(listening.getsockname()[1])
        self._server = made
        self._thread = threading.Thread(target=made.run, kwargs={"sockets": [listening]}, name="web", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop serving; what is being answered is answered."""
        self._server.should_exit = True
        self._thread.join()
