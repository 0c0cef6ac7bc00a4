"""Start-up time of the command line, as ratios to importing numpy, in one run.

    python benchmarks/startup.py [--runs 15]

Each command is a fresh process; commands take turns, so that a machine whose speed drifts treats them alike. The
figure is the median over runs of (command / numpy) in the same turn.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

COMMANDS = {
    "import numpy": [sys.executable, "-c", "import numpy"],
    "mediseg --help": [sys.executable, "-m", "mediseg", "--help"],
    "mediseg info --json": [sys.executable, "-m", "mediseg", "info", "--json"],
    "import mediseg": [sys.executable, "-c", "import mediseg"],
}


def seconds(command: list[str]) -> float:
    begin = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    for command in COMMANDS.values():
        seconds(command)  # warm the file cache
    turns = [{name: seconds(command) for name, command in COMMANDS.items()} for _ in range(runs)]
    for name in COMMANDS:
        ratio = statistics.median(turn[name] / turn["import numpy"] for turn in turns)
        print(f"{name}: {statistics.median(turn[name] for turn in turns) * 1000:.0f} ms, {ratio:.2f} x numpy")


if __name__ == "__main__":
    main()
