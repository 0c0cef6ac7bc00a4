"""``python -m mediseg.train NAME``: train one of the networks; each is a module with ``add_arguments`` and ``run``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

NAMES = ("callosum", "brain", "sheet")


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, train, return the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(prog="python -m mediseg.train", description=__doc__)
    parser.add_argument("name", choices=NAMES, help="the network to train, or sheet: pictures of training windows")
    name = parser.parse_args(given[:1]).name
    module = import_module(f"mediseg.train.{name}")
    own = argparse.ArgumentParser(prog=f"python -m mediseg.train {name}", description=module.__doc__)
    module.add_arguments(own)
    module.run(own.parse_args(given[1:]), _say)
    return 0


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
