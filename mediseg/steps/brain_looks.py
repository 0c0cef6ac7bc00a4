"""What the networks see of a head: the whole of it, coarsely, then the box about the brain at 1 mm.

Both answer with the signed distance to the brain's border in mm, negative inside.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mediseg.geometry import Geometry, axial_grid_around
from mediseg.inference import Bundle, predict, predict_channels
from mediseg.numerics.intensity import stretched
from mediseg.volume import Volume

Floats = npt.NDArray[np.float32]


def whole_head(head: Volume, bundle: Bundle) -> Volume:
    """Return the distance on the bundle's own grid, along the patient's axes, over the whole image."""
    grid = axial_grid_around(head.geometry, bundle.spacing_mm, bundle.settings["input"]["orientation"])
    small = head.resample(grid)
    return small.with_array(np.clip(predict(bundle, small.array), -_clip(bundle), _clip(bundle)))


def at_border(head: Volume, found: Volume, bundle: Bundle) -> Volume:
    """Return the distance on a 1 mm grid along the head's own axes, about the brain ``found`` before (distance, mm)."""
    wanted = bundle.settings["input"]
    grid = _box(head.geometry, found, bundle)
    clip_mm = _clip(bundle)
    guess = np.asarray(found.resample(grid, fill=clip_mm).array, np.float32)
    image = np.asarray(head.resample(grid).array, np.float32)
    scale = wanted["normalize"]
    near = image[guess < scale["within_mm"]]
    scaled = stretched(image, near, scale["low"], scale["high"], (scale["clip"][0], scale["clip"][1]))
    answer = predict_channels(bundle, np.stack([scaled, guess / np.float32(clip_mm)]))
    return Volume(np.clip(answer, -clip_mm, clip_mm), grid)


def _clip(bundle: Bundle) -> float:
    return float(bundle.settings["output"]["clip_mm"])


def _box(head: Geometry, found: Volume, bundle: Bundle) -> Geometry:
    """Return the grid: the head's axes in the bundle's order, its spacing, about what was found, sizes as it needs.

    Axes that are as fine as the bundle within a tenth keep their own voxels, so that nothing is interpolated.
    """
    wanted = bundle.settings["input"]
    axes = head.reorient(wanted["orientation"])
    spacing = [
        mm if abs(mm - bundle.spacing_mm) < 0.1 * bundle.spacing_mm else bundle.spacing_mm for mm in axes.spacing_mm
    ]
    whole = axes.with_spacing(spacing)
    inside = np.argwhere(found.array < 0)
    corners = np.array(np.meshgrid(*zip(inside.min(axis=0), inside.max(axis=0), strict=True))).reshape(3, -1).T
    places = whole.ijk_from_lps(found.geometry.lps_from_ijk(corners))
    margin = wanted["margin_mm"] / np.array(spacing)
    first = np.maximum(np.floor(places.min(axis=0) - margin), 0).astype(int)
    last = np.minimum(np.ceil(places.max(axis=0) + margin), np.array(whole.shape) - 1).astype(int)
    size = last - first + 1
    size += -size % int(wanted["pad_multiple"])
    affine = whole.affine_lps.copy()
    affine[:3, 3] = whole.lps_from_ijk(first.astype(np.float64))
    return Geometry((int(size[0]), int(size[1]), int(size[2])), affine, head.frame_of_reference)
