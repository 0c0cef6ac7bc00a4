"""DCMTK's programs, told from others of the same name: pynetdicom installs its own ``storescu`` and ``echoscu``."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def find(name):
    """Return the path of DCMTK's program ``name``, or None."""
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        path = shutil.which(name, path=folder)
        if path is not None and b"$dcmtk" in _first_bytes(path):
            return path
    return None


def _first_bytes(path):
    with Path(path).open("rb") as stream:
        if stream.read(2) == b"#!":  # a script is none of DCMTK's
            return b""
    return subprocess.run([path, "--version"], capture_output=True, check=False, timeout=30).stdout


def needed(*names):
    """Return the paths of DCMTK's programs; the test skips where one is missing."""
    found = [find(name) for name in names]
    if None in found:
        pytest.skip("DCMTK is not installed")
    return found
