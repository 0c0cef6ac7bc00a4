"""ONNX Runtime is told to keep to itself what it is used for, wherever mediseg uses it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import mediseg

ROOT = Path(mediseg.__file__).parent


def test_a_model_that_runs_leaves_nothing_in_the_home_folder(tmp_path):
    """Since 1.29 it keeps an identifier and what is to be sent there; on servers of CI it does not, by itself."""
    home = {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path)}
    hiding = ("CI", "XDG_", "ORT_", "BUILD_", "GITHUB_", "TF_BUILD")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(hiding)} | home
    command = [sys.executable, "-B", "-m", "mediseg", "models", "verify", "acpc-frame"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.rglob("*")) == []


def test_it_is_imported_in_one_place():
    found = [
        f"{path.relative_to(ROOT).as_posix()}: {line.strip()}"
        for path in sorted(ROOT.rglob("*.py"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.match(r"\s*(import|from) onnxruntime", line)
    ]
    quantizing = "from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static"
    assert found == ["inference.py: import onnxruntime", f"train/rounding.py: {quantizing}"]
