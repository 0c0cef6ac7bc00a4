"""One case as pictures: the reference's and the prediction's outline on the image, cut out around both."""

from __future__ import annotations

import numpy as np

from mediseg.evaluate.scoring import Judged
from mediseg.geometry import Array
from mediseg.report import figures as fig
from mediseg.report import svg
from mediseg.report.sections import grey_figure
from mediseg.volume import Segmentation, Volume

_MARGIN_MM = 9.0
#: finest pixel and scale bar, mm, of a slice and of a volume
_SLICE = (0.25, 10)
_VOLUME = (0.5, 30)
_PLANES = ("sagittal", "coronal", "transversal")


def pictures(judged: Judged) -> tuple[svg.Figure, ...]:
    """Return the callosum's slice face left, or three planes of a volume, each where most voxels differ.

    Raises ValueError for a case without prediction or reference.
    """
    image, reference, found = judged.image, judged.reference, judged.found
    if image is None or reference is None or found is None:
        raise ValueError(f"{judged.score.id} has no prediction to draw")
    if image.geometry.reorient("PIR").shape[2] == 1:
        return (_picture(image, reference, found, fig.face_left(image), *_SLICE),)
    views = _most_different(image, reference, found)
    return tuple(_picture(image, reference, found, view, *_VOLUME) for view in views)


def _picture(
    image: Volume, reference: Segmentation, found: Segmentation, whole: fig.View, finest_mm: float, scale_mm: int
) -> svg.Figure:
    corners = np.vstack([_corners(mask, whole) for mask in (reference, found)])
    low, high = corners.min(axis=0) - _MARGIN_MM, corners.max(axis=0) + _MARGIN_MM
    low, high = np.maximum(low, 0), np.minimum(high, whole.size_mm)
    view = fig.part_of(whole, low, high, max(finest_mm, whole.grid.spacing_mm[0] / 2))
    layers = tuple(_layer(key, mask, whole, view) for key, mask in (("reference", reference), ("found", found)))
    alt = "The image around the structure with the outlines of the reference and of the prediction"
    shown = fig.cut(image, view, order=3)
    low_grey, high_grey = (float(v) for v in np.percentile(shown, (0.5, 99.8)))
    limits = (low_grey, max(high_grey, low_grey + 1e-6))
    return grey_figure(view, shown, limits, alt, layers=layers, scale_mm=scale_mm, font_mm=0.05 * view.size_mm[1])


def _most_different(image: Volume, reference: Segmentation, found: Segmentation) -> list[fig.View]:
    """Return the view of each plane through where most voxels across it differ; planes of one voxel are left out."""
    upright = image.geometry.reorient("LPS")
    order, flips = image.geometry.axis_steps("LPS")
    wrong = (reference.mask() ^ found.mask()).transpose(order)
    frame = fig.head_frame(image.geometry, None)
    views = []
    for across, plane in enumerate(_PLANES):
        if min(n for axis, n in enumerate(upright.shape) if axis != across) == 1:
            continue
        counts = wrong.sum(axis=tuple(axis for axis in range(3) if axis != across))[:: -1 if flips[across] else 1]
        place = (np.array(upright.shape) - 1) / 2
        place[across] = counts.argmax()
        views.append(frame.view(plane, upright.lps_from_ijk(place), max(0.5, min(image.geometry.spacing_mm))))
    return views


def _corners(mask: Segmentation, view: fig.View) -> Array:
    """Return the corners (2, 2) of a mask's part on a view in mm; its middle where it has none there."""
    inside = np.argwhere(fig.cut_labels(mask, view) > 0)
    if len(inside) == 0:
        return np.array([view.size_mm, view.size_mm]) / 2
    pixel = view.grid.spacing_mm[0]
    return np.array([inside.min(axis=0)[::-1] * pixel, (inside.max(axis=0)[::-1] + 1) * pixel])


def _layer(key: str, mask: Segmentation, whole: fig.View, view: fig.View) -> svg.Layer:
    """Outline a mask halfway between its pixels' centres, as they lie on the whole view."""
    pixel = whole.grid.spacing_mm[0]
    lines = fig.contours(fig.cut_labels(mask, whole).astype(np.float32), 0.5, pixel, 0.02)
    moved = [
        view.xy_mm(whole.grid.lps_from_ijk(np.column_stack([line / pixel - 0.5, np.zeros(len(line))])))
        for line in lines
    ]
    return svg.Layer(key, (svg.Path(svg.outlines(moved)),) if moved else ())
