"""The process ``mediseg``, and ``python -m mediseg``: the command line, and what a Ctrl-C does before and after it."""

from __future__ import annotations

import signal
import sys


def main() -> int:
    """Run the command line and return its exit status; a Ctrl-C while it is loaded is one line and 130, too."""
    try:
        from mediseg.cli import main as command_line
    except KeyboardInterrupt:
        sys.stderr.write("mediseg: interrupted before anything was begun\n")
        status = 130
    else:
        status = command_line()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # nothing is left to be stopped but the interpreter's own end
    return status


if __name__ == "__main__":
    sys.exit(main())
