"""``python -m mediseg`` is the command ``mediseg``."""

import sys

from mediseg.cli import main

if __name__ == "__main__":
    sys.exit(main())
