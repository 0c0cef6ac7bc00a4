"""Which wheels a target needs, from the package index, each locked by its hash: uv resolves, pip downloads."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path

from mediseg.deploy.targets import Target
from mediseg.deploy.wheels import Wheel
from mediseg.errors import MedisegError, UsageError

NEEDED = ("uv", "packaging", "pip")


def check_tools() -> None:
    """Raise UsageError where what a bundle is made with is not installed."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise UsageError(f'making a bundle needs {", ".join(missing)}: pip install "mediseg[bundle]"')


def build_wheel(checkout: Path, folder: Path) -> Path:
    """Build mediseg's own wheel from a checkout into ``folder`` and return it."""
    _tool("pip", ["wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(checkout)])
    return next(folder.glob("mediseg-*.whl"))


def lock(requirements: Iterable[str], target: Target, python: str, folder: Path) -> Path:
    """Resolve requirements for a target and write ``locked.txt`` with every hash. Needs the package index."""
    wanted, locked = folder / "wanted.txt", folder / "locked.txt"
    wanted.write_text("".join(f"{line}\n" for line in requirements), encoding="utf-8")
    platform = ["--python-platform", target.uv, "--python-version", python, "--only-binary", ":all:"]
    quiet = ["--quiet", "--no-header", "--no-annotate", "--generate-hashes"]
    _tool("uv", ["pip", "compile", *platform, *quiet, "--output-file", str(locked), str(wanted)])
    return locked


def download(locked: Path, target: Target, python: str, folder: Path) -> None:
    """Download what is locked, as wheels of the target, checked by hash."""
    short = f"cp{python.replace('.', '')}"
    abis = [f"--abi={abi}" for abi in (short, "abi3", "none")]
    platforms = [f"--platform={platform}" for platform in target.platforms]
    tags = ["--python-version", python, "--implementation=cp", *abis, *platforms]
    safe = ["--require-hashes", "--no-deps", "--only-binary=:all:"]
    _tool("pip", ["download", "--quiet", *safe, *tags, "--dest", str(folder), "--requirement", str(locked)])


def locked_lines(wheels: Iterable[Wheel]) -> str:
    """Return the lock of a bundle: each wheel by name, version and the hash of the very file."""
    rows = sorted(f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}\n" for wheel in wheels)
    return "".join(rows)


def _tool(module: str, arguments: Sequence[str]) -> None:
    words = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        said = next((line for line in lines if "error" in line.lower()), lines[-1] if lines else "no reason given")
        raise MedisegError(f"{module} {arguments[0]} failed: {' '.join(said.split())[:300]}")
