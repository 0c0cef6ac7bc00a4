"""What an input may be answered with: as documented, in one line, with nothing said beside it."""

from __future__ import annotations

import io
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout

from mediseg.errors import Exit, MedisegError

#: docs/contract: what a command may end with on a bad input. 70 is a bug, 130 an interrupt.
DOCUMENTED = {Exit.DONE, Exit.SOME_FAILED, Exit.USAGE, Exit.UNREADABLE, Exit.REFUSED, Exit.UNWRITABLE}


class WrongAnswer(Exception):
    """An input was answered, but not as documented."""


def one_line(text: str) -> None:
    """Raise WrongAnswer for what is no line for a person."""
    if "\n" in text.strip() or not text.strip() or len(text) > 2000 or "Traceback" in text:
        raise WrongAnswer(f"not one line: {text[:600]!r}")


def command(*arguments: str) -> tuple[int, str]:
    """Run the command line in this process; return its status and what it said on stderr."""
    from mediseg.cli import main

    with listening() as said, redirect_stdout(io.StringIO()):
        code = main(arguments)
    if code not in DOCUMENTED:
        raise WrongAnswer(f"exit status {code}: {said()[:600]}")
    if "Warning" in said() or "Traceback" in said():
        raise WrongAnswer(f"not for a person: {said()[:600]}")
    return code, said()


@contextmanager
def listening() -> Iterator[Callable[[], str]]:
    """Keep what Python, its libraries and compiled ones write on stderr, and give a function that returns it."""
    sys.stderr.flush()
    kept = os.dup(2)
    texts: list[str] = []
    with tempfile.TemporaryFile() as file:

        def said() -> str:
            if texts:
                return texts[0]
            sys.stderr.flush()
            file.seek(0)
            return file.read().decode("utf-8", "replace")

        os.dup2(file.fileno(), 2)
        try:
            yield said
        finally:
            texts.append(said())
            os.dup2(kept, 2)
            os.close(kept)


def answered(call: Callable[[], object]) -> str:
    """Call what may refuse with one line, and with nothing else."""
    with listening() as said:
        try:
            call()
            answer = "taken"
        except MedisegError as error:
            one_line(str(error))
            answer = type(error).__name__
        if said():
            raise WrongAnswer(f"said beside its answer: {said()[:600]}")
    return answer
