#!/usr/bin/env bash
# The napari plugin: installed beside mediseg from PyPI, checked, and driven under a virtual display.
set -euo pipefail
cd "$(dirname "$0")/.."
export PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1
python="$(realpath -s "${1:-.venv/bin/python}")"

# a display, and what Qt's xcb plugin and a software OpenGL need of the system
if ! command -v Xvfb >/dev/null || ! ldconfig -p | grep -q libxcb-cursor.so.0 || ! ldconfig -p | grep -q libEGL.so.1; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq xvfb libgl1 libegl1 libopengl0 libglx-mesa0 libgl1-mesa-dri \
    libdbus-1-3 libxkbcommon-x11-0 libxcb-cursor0 libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-render-util0 \
    libxcb-shape0 libxcb-xinerama0 >/dev/null
fi

# a display of our own, ended by its process id; it writes its number once it is there
number="$(mktemp)"
Xvfb -displayfd 3 -screen 0 1600x1000x24 -nolisten tcp 3>"$number" >/dev/null 2>&1 &
xvfb=$!
trap 'kill "$xvfb" 2>/dev/null || true; rm -f "$number"' EXIT
for _ in $(seq 60); do [ -s "$number" ] && break; sleep 0.5; done
export DISPLAY=":$(cat "$number")" OMP_NUM_THREADS=2

# NAPARI="napari==0.6.1" tests the lowest that is supported. PySide6 6.12.0 on Python 3.11 takes a reference from None at
# every call, until the interpreter dies; 6.9.3 does not
"$python" -m pip install -q "${NAPARI:-napari}" "PySide6<6.10" -e "plugins/napari-mediseg[test]"
"$python" -m npe2 validate napari-mediseg
cd plugins/napari-mediseg
"$python" -m mypy
"$(dirname "$python")/lint-imports"
"$python" -m pytest -q -p no:xvfb -m "not train"
