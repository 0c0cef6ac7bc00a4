"""How callosa differ in area, length, width, circularity, thickness: what the runtime holds a found shape against."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from mediseg.train.callosum import SOURCE_MM, Bytes

#: Mean and standard deviation of callosa's shapes: 848 ABIDE I masks. A handful of masks (one correction, say) says
#: nothing of how callosa differ: short of ENOUGH, these stand for what is missing.
USUAL = {
    "area_mm2": (594.668, 104.2882),
    "length_mm": (70.7626, 5.3735),
    "width_mm": (23.3875, 2.9057),
    "circularity": (0.1925, 0.0215),
    "mean_thickness_mm": (6.0161, 0.7323),
}
ENOUGH = 50


def population(masks: Sequence[Bytes]) -> dict[str, object]:
    """Return mean and standard deviation of the masks' shape, by which the runtime judges plausibility.

    ``masks``: uint8 (rows, columns) at SOURCE_MM, each of one callosum.

    Fewer than ENOUGH masks are filled up with USUAL ones; ``usual`` says with how many.

    Area is the pixels'; perimeter (for circularity, 4 pi area / perimeter squared, and mean thickness, 2 area /
    perimeter) and the smallest box follow the outer contour through the border pixels' centres at 0.5 mm.
    """
    values = np.array([_shape_of(mask) for mask in masks if mask.any()]).reshape(-1, len(USUAL))
    figures: dict[str, object] = {
        name: _pooled(column, *usual) for column, (name, usual) in zip(values.T, USUAL.items(), strict=True)
    }
    how = "contour through border pixel centres; circularity 4 pi A / P^2, mean thickness 2 A / P, smallest box"
    missing = max(0, ENOUGH - len(values))
    return {"masks": len(values), "usual": missing, "pixel_mm": SOURCE_MM, "definition": how, **figures}


def _pooled(values: npt.NDArray[np.float64], mean: float, sd: float) -> dict[str, float]:
    """Return mean and standard deviation of the values and of as many usual ones as they are short of ENOUGH."""
    usual = max(0, ENOUGH - len(values))
    middle = (float(values.sum()) + usual * mean) / (len(values) + usual)
    squares = float(((values - middle) ** 2).sum()) + usual * (sd**2 + (mean - middle) ** 2)
    return {"mean": round(middle, 4), "sd": round(float(np.sqrt(squares / (len(values) + usual - 1))), 4)}


def _shape_of(mask: Bytes) -> tuple[float, ...]:
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    contour = max(contours, key=cv2.contourArea)
    area = float((mask > 0).sum()) * SOURCE_MM**2
    perimeter = cv2.arcLength(contour, closed=True) * SOURCE_MM
    sides = [float(side) * SOURCE_MM for side in cv2.minAreaRect(contour)[1]]
    return area, max(sides), min(sides), float(4 * np.pi * area / perimeter**2), 2 * area / perimeter
