"""What no scan of a person can be: refused before a step works on it for hours."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from mediseg.errors import Code, Refusal, Warn
from mediseg.geometry import Geometry
from mediseg.volume import Volume

FINEST_MM, COARSEST_MM = 0.02, 50.0
LARGEST_MM = 2500.0  # a whole body
MOST_VOXELS = 1 << 29  # 2 GiB as float32: 0.5 mm over 400 x 400 x 400 mm
SKEW_DEG = 1.0


def check_volume(volume: Volume, name: str) -> Volume:
    """Return the volume, with a warning where its axes are not at right angles.

    Raises Refusal for voxels or an extent that no scan of a person has, and for a mask (two values).
    """
    sizes, spacing = volume.geometry.shape, volume.geometry.spacing_mm
    extent = [n * mm for n, mm in zip(sizes, spacing, strict=True)]
    if not FINEST_MM <= min(spacing) <= max(spacing) <= COARSEST_MM or max(extent) > LARGEST_MM:
        size = " x ".join(f"{mm:.3g}" for mm in spacing)
        raise Refusal(
            f"{name}: voxels of {size} mm, {max(extent):.3g} mm along the longest side, are no scan of a person; "
            "its header's units or spacing are wrong"
        )
    if _is_mask(volume):
        raise Refusal(f"{name} holds two different values only: it is a mask, not a scan")
    degrees = skew_deg(volume.geometry)
    if degrees <= SKEW_DEG or any(warn.code is Code.GANTRY_TILT for warn in volume.warnings):
        return volume
    text = f"the image's axes are up to {degrees:.1f} degrees off a right angle (sheared, or a tilted gantry)"
    return replace(volume, warnings=(*volume.warnings, Warn(Code.GANTRY_TILT, text, {"degrees": degrees})))


def check_size(shape: Iterable[int], name: str) -> None:
    """Raise Refusal for more voxels than any scan for us has: asked of the header, before memory is taken."""
    sizes = [int(n) for n in shape]
    if math.prod(sizes) > MOST_VOXELS:
        raise Refusal(
            f"{name}: {' x '.join(map(str, sizes))} voxels are more than mediseg takes ({MOST_VOXELS:,}); crop it, or "
            "make its voxels larger"
        )


def skew_deg(geometry: Geometry) -> float:
    """Return how far the angle between any two axes is from 90 degrees."""
    axes = geometry.axes_lps
    cosines = np.abs(axes.T @ axes - np.diag(np.diag(axes.T @ axes)))
    return float(np.degrees(np.arcsin(np.clip(cosines.max(), 0.0, 1.0))))


def _is_mask(volume: Volume) -> bool:
    values = volume.array
    low, high = values.min(), values.max()
    return bool(low < high and ((values == low) | (values == high)).all())
