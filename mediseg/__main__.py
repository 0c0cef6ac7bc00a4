"""The process ``mediseg``, and ``python -m mediseg``: the command line, and what a Ctrl-C does before and after it."""

from __future__ import annotations

import gc
import signal
import sys
from collections import namedtuple


def main() -> int:
    """Run the command line and return its exit status; a Ctrl-C before or after it is one line and 130, too."""
    # a study is tens of thousands of small objects that stay: looked through for garbage as often as Python does, they
    # take a twentieth of the main job
    gc.set_threshold(20_000, 20, 50)
    when = "interrupted before anything was begun"
    try:
        from mediseg.cli import main as command_line

        when = "interrupted"  # before it heeds signals itself, or while it tells how it ended
        status = command_line()
    except KeyboardInterrupt:
        sys.stderr.write(f"mediseg: {when}\n")
        status = 130
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # nothing is left to be stopped but the interpreter's own end
    # Python ends itself by SIGINT where a KeyboardInterrupt has left the last text that was run as code (a dataclass is
    # made of one), even if it was caught later. The next text, of which a named tuple is made, lets it forget that
    namedtuple("Forgotten", "it")
    return status


if __name__ == "__main__":
    sys.exit(main())
