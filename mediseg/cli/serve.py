"""``mediseg serve``: a local HTTP service for other programs."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import click

from mediseg.errors import UsageError


@click.command(
    "serve", short_help="a local HTTP service for other programs (extra: serve)",
    epilog="Example: mediseg serve --out service",
)  # fmt: skip
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
              help="Folder for inputs, results and the token.")  # fmt: skip
@click.option("--port", type=click.IntRange(1, 65535), default=8321, show_default=True)
@click.option("--max-mb", type=click.IntRange(1), default=4096, show_default=True, help="Largest input.")
@click.option("--threads", type=click.IntRange(1, 256), default=2, show_default=True, help="Threads a case.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def command(out: Path, port: int, max_mb: int, threads: int, debug: bool) -> int:
    """Listen on this machine (127.0.0.1) only, until stopped. Other programs send the token that lies in DIR/token.

    What it understands is described at /openapi.json and in docs/serve.md.
    """
    if missing := [name for name in ("starlette", "uvicorn") if find_spec(name) is None]:
        raise UsageError(f'the service needs {" and ".join(missing)}: pip install "mediseg[serve]"')
    from mediseg.io.owner import Owner
    from mediseg.serve.app import Service, listen
    from mediseg.web import bound, token_in

    owner = Owner(out)
    try:
        token = token_in(out)
        listening = bound("127.0.0.1", port)  # before it is told: who has read the line is heard
        click.echo(f"http://127.0.0.1:{port}; the token is in {out / 'token'}; Ctrl-C ends it", err=True)
        click.echo(f"a list for a person: http://127.0.0.1:{port}/?token=TOKEN, with what stands there", err=True)
        listen(Service(out, token, max_mb=max_mb, threads=threads), listening)
    finally:
        owner.release()
    return 0
