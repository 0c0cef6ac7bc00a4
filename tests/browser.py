"""Chromium and axe-core for tests; see browser.mjs. Skips where one of them is missing."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest


def node_modules(*packages):
    """Return the folder in whose node_modules the packages are (MEDISEG_NODE_MODULES, else the repository), or skip."""
    folder = Path(os.environ.get("MEDISEG_NODE_MODULES", Path(__file__).parents[1]))
    missing = [name for name in packages if not (folder / "node_modules" / name).is_dir()]
    if shutil.which("node") is None or missing:
        pytest.skip(f"npm's {' '.join(packages)} not installed (MEDISEG_NODE_MODULES)")
    return folder


def looked_at(url, png=None, width=1280):
    """Return what a browser finds at an address: requests, complaints, focused, passed, violations, incomplete."""
    folder, chromium = node_modules("axe-core", "puppeteer-core"), shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed")
    command = ["node", Path(__file__).with_suffix(".mjs"), chromium, url, *([png, str(width)] if png else [])]
    done = subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
