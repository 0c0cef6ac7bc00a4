"""``python -m mediseg.phantom --write-truth data/``: writes the stored truth of the phantoms anew."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mediseg.phantom.stored import write_head_truth


def main(argv: Sequence[str] | None = None) -> int:
    """Write the truth files into a folder and return 0."""
    parser = argparse.ArgumentParser(prog="python -m mediseg.phantom", description=__doc__)
    parser.add_argument("--write-truth", metavar="FOLDER", type=Path, required=True, help="an existing folder")
    folder: Path = parser.parse_args(argv).write_truth
    if not folder.is_dir():
        parser.error(f"{folder} is no folder")
    sys.stdout.write(f"{write_head_truth(folder)}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
