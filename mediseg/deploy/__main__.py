"""``python -m mediseg.deploy FOLDER``: measure the phantom run here and store what ``mediseg doctor`` compares with."""

from __future__ import annotations

import sys
from pathlib import Path

from mediseg.deploy.phantom_check import write_expectations

if __name__ == "__main__":
    write_expectations(Path(sys.argv[1]))
