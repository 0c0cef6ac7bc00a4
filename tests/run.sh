#!/usr/bin/env bash
# Sets up a virtual environment (.venv) and passes the tests. Needs Python 3.11 or newer; no torch.
set -euo pipefail
cd "$(dirname "$0")/.."
python="${PYTHON:-python3}"
[ -x .venv/bin/python ] || "$python" -m venv .venv
.venv/bin/python -m pip install -q -e ".[dev]"
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy
.venv/bin/lint-imports
.venv/bin/python -m pytest -q -m "not train" --cov=mediseg --cov-report=term:skip-covered "$@"
