"""``.sur`` stations: a bare sagittal image and its field of view; a small YAML beside them says where each lies.

Little endian: int32 width at byte 0, int32 height at 4, float32 field of view (mm) along x at 0x1BC and along y at
0x1C0; uint16 pixels fill the end of the file. How long the header is stands nowhere: it is what is left. The YAML, any
one in the same folder that names the file::

    widest: 512                 # pixels of the widest image that corners are counted in (left out: this file's own)
    stations:
      - {file: upper.sur, corner: [0, 0], level: 900, width: 1800}
      - {file: lower.sur, corner: [4, 402]}

``corner`` is the upper left pixel (x to posterior, y down); ``level`` and ``width`` are a viewer's window and change no
value. There is one slice; left and right are unknown, so it lies at 0.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

from mediseg.errors import InputError, UsageError
from mediseg.geometry import Geometry
from mediseg.io import yamltext
from mediseg.io.atomic import write_bytes_atomically
from mediseg.volume import Source, Volume

_FOV_X, _FOV_Y, _LEAST_HEADER = 0x1BC, 0x1C0, 0x1C4
_LARGEST = 20_000
_THICK_MM = 4.0  # not stored; the slices of such stations were about that


def can_read(path: Path) -> bool:
    """True for a file of that name whose numbers make sense: the format has no mark of its own."""
    return path.name.lower().endswith(".sur") and path.stat().st_size >= _LEAST_HEADER


def read(path: Path) -> Volume:
    """Return a station as one sagittal slice, placed as the YAML says.

    Raises InputError for numbers that do not fit the file, and where no YAML names the file.
    """
    content = path.read_bytes()
    width, height, fov_mm = _header(content, path.name)
    start = len(content) - 2 * width * height
    pixels = np.frombuffer(content, "<u2", width * height, start).reshape(height, width)
    entry, widest = _entry(path)
    x, y = _corner(entry, path.name)
    spacing = (fov_mm[0] / width, fov_mm[1] / height)
    # corners are counted in pixels of the widest image, which all others were stretched to
    corner_mm = fov_mm[0] / (widest or width)
    affine = np.eye(4)
    affine[:3, :3] = np.column_stack([[0, spacing[0], 0], [0, 0, -spacing[1]], [-_THICK_MM, 0, 0]])
    affine[:3, 3] = (0, x * corner_mm + spacing[0] / 2, -y * corner_mm - spacing[1] / 2)
    geometry = Geometry((width, height, 1), affine)
    facts = {name: float(entry[name]) for name in ("level", "width") if isinstance(entry.get(name), int | float)}
    return Volume(np.ascontiguousarray(pixels.T)[:, :, None], geometry, Source((path,), "sur", "MR", facts=facts))


def windowed(values: np.ndarray[Any, Any], level: float, width: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return values as a viewer's window shows them, 0 to 4095 (for looking only; nothing is stitched from it)."""
    low, high = (2 * level - width) / 2 + 0.5, (2 * level + width) / 2 + 0.5
    return np.asarray(np.clip((np.asarray(values, np.float64) - low) * 4095 / (high - low), 0, 4095))


def write_sur(volume: Volume, path: Path, header_bytes: int = 512) -> Path:
    """Write a one-slice volume (i to posterior, j down) as ``.sur``; its place is for the YAML. Raises OutputError."""
    width, height, count = volume.geometry.shape
    if count != 1 or header_bytes < _LEAST_HEADER:
        raise UsageError(f"a .sur file holds one slice and a header of at least {_LEAST_HEADER} bytes")
    head = bytearray(header_bytes)
    struct.pack_into("<ii", head, 0, width, height)
    i, j, _ = volume.geometry.spacing_mm
    struct.pack_into("<ff", head, _FOV_X, width * i, height * j)
    pixels = np.clip(np.rint(volume.array[:, :, 0].T), 0, 65535).astype("<u2")
    write_bytes_atomically(path, bytes(head) + pixels.tobytes())
    return path


def _header(content: bytes, name: str) -> tuple[int, int, tuple[float, float]]:
    width, height = struct.unpack_from("<ii", content, 0)
    fov = struct.unpack_from("<ff", content, _FOV_X)
    if not (0 < width <= _LARGEST and 0 < height <= _LARGEST):
        raise InputError(f"{name} says it has {width} x {height} pixels; it is no .sur file, or damaged")
    left = len(content) - 2 * width * height
    if left < _LEAST_HEADER:
        raise InputError(
            f"{name} is too short: {len(content)} bytes leave {left} for the header of {width} x {height} pixels, "
            f"which takes at least {_LEAST_HEADER}; copy it again"
        )
    if not all(np.isfinite(fov)) or min(fov) <= 0:
        raise InputError(f"{name} says its field of view is {fov[0]:g} x {fov[1]:g} mm; it is no .sur file, or damaged")
    return width, height, (float(fov[0]), float(fov[1]))


def _entry(path: Path) -> tuple[dict[str, Any], float | None]:
    """Return what the YAML beside a file says of it, and the widest image's pixels."""
    for sidecar in sorted([*path.parent.glob("*.yaml"), *path.parent.glob("*.yml")]):
        content = yamltext.parsed(sidecar.read_bytes(), sidecar.name)
        stations = content.get("stations") if isinstance(content, dict) else None
        for entry in stations if isinstance(stations, list) else []:
            if isinstance(entry, dict) and entry.get("file") == path.name:
                widest = content.get("widest")
                return entry, float(widest) if isinstance(widest, int | float) and widest > 0 else None
    raise InputError(
        f"no YAML beside {path.name} says where it lies; write one: stations: [{{file: {path.name}, corner: [x, y]}}]"
    )


def _corner(entry: dict[str, Any], name: str) -> tuple[float, float]:
    corner = entry.get("corner")
    if not isinstance(corner, list) or len(corner) != 2 or not all(isinstance(v, int | float) for v in corner):
        raise InputError(f"the YAML gives no corner of {name}; write corner: [x, y], in pixels of the widest image")
    return float(corner[0]), float(corner[1])
