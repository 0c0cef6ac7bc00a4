"""Wheels made here, so that no test needs a package index."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from pathlib import Path


def make_wheel(
    folder: Path, name: str, version: str = "1.0", *, tag: str = "py3-none-any", requires=(), extra=(), files=None
):
    """Write a small but true wheel and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{name.replace('-', '_')}-{version}"
    info = f"{stem}.dist-info"
    lines = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nLicense: MIT\nSummary: made for a test"]
    lines += [f"Provides-Extra: {one}" for one in extra] + [f"Requires-Dist: {one}" for one in requires]
    content = {
        **(files or {f"{name.replace('-', '_')}.py": "value = 1\n"}),
        f"{info}/METADATA": "\n".join(lines) + "\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n",
        f"{info}/licenses/LICENSE": "do as you like\n",
    }
    rows = [f"{path},sha256={_digest(text)},{len(text)}" for path, text in content.items()]
    path = folder / f"{stem}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for inside, text in content.items():
            archive.writestr(inside, text)
        archive.writestr(f"{info}/RECORD", "\n".join([*rows, f"{info}/RECORD,,"]) + "\n")
    return path


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
