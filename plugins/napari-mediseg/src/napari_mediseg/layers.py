"""mediseg's values as napari layers, and layers as mediseg's values. No Qt in here.

What a layer came from is kept in ``layer.metadata["mediseg"]`` as an :class:`Origin`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mediseg import Geometry, Refusal, RotatedROI, Segment, Segmentation, Source, UsageError, Volume
from mediseg.errors import Warn
from napari_mediseg.frames import (
    LateImage,
    LazyVolume,
    Placing,
    grid_of_layer,
    lps_from_world,
    native_labels,
    placing_of,
    shown_image,
    shown_labels,
)

LayerTuple = tuple[Any, dict[str, Any], str]
KEY = "mediseg"

_COLOURS = {
    "brain": (0.30, 0.75, 0.95),
    "corpus callosum": (1.00, 0.55, 0.10),
    "callosum": (1.00, 0.55, 0.10),
    "no station": (0.85, 0.20, 0.20),
}
# told apart by people who see few colours too (Okabe and Ito)
_CYCLE = (
    (0.90, 0.62, 0.00), (0.34, 0.71, 0.91), (0.00, 0.62, 0.45), (0.94, 0.89, 0.26), (0.00, 0.45, 0.70),
    (0.84, 0.37, 0.00), (0.80, 0.47, 0.65),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Origin:
    """Where a layer came from.

    ``value``: the volume or label map as it was read, on its own grid. ``path``: the file or study that a recipe is
    run on. ``case``: the finished case folder it lies in. ``role``: what it is in a case (``corrected``,
    ``callosum``, ...), "" for anything else. ``model``: who made a label map.
    """

    value: Volume | Segmentation | None
    placing: Placing | None
    source: Source | None = None
    path: Path | None = None
    case: Path | None = None
    role: str = ""
    model: str = ""
    warnings: tuple[Warn, ...] = ()


def origin_of(metadata: Mapping[str, Any]) -> Origin | None:
    """Return what a layer came from, None for one that is not ours."""
    found = metadata.get(KEY)
    return found if isinstance(found, Origin) else None


def image_layer(volume: Volume, name: str, **about: Any) -> LayerTuple:
    """Return an image as a layer; ``about`` are fields of Origin, and ``colormap``, ``visible``, ``limits``."""
    placing = placing_of(volume.geometry)
    shown: dict[str, Any] = {key: about.pop(key) for key in ("colormap", "visible", "opacity") if key in about}
    limits = about.pop("limits", None) or contrast_of(volume.array)
    origin = Origin(volume, placing, volume.source, warnings=volume.warnings, **about)
    keywords = {
        "name": name,
        "metadata": {KEY: origin},
        "contrast_limits": limits,
        "multiscale": False,
        "rgb": False,
        "axis_labels": ("S", "P", "L"),
        "units": "mm",
        **placing.layer_keywords(),
        "colormap": "gray",
        **shown,
    }
    return shown_image(volume, placing), keywords, "image"


def labels_layer(segmentation: Segmentation, name: str, source: Source | None = None, **about: Any) -> LayerTuple:
    """Return a label map as a layer to paint on, with the segments' names and colours."""
    placing = placing_of(segmentation.geometry)
    shown: dict[str, Any] = {key: about.pop(key) for key in ("visible", "opacity") if key in about}
    origin = Origin(segmentation, placing, source, **about)
    keywords = {
        "name": name,
        "metadata": {KEY: origin},
        "colormap": colours_of(segmentation.segments),
        "features": names_of(segmentation.segments),
        "multiscale": False,
        "opacity": 0.5,
        "axis_labels": ("S", "P", "L"),
        "units": "mm",
        **placing.layer_keywords(),
        **shown,
    }
    return shown_labels(segmentation, placing), keywords, "labels"


def contrast_of(array: npt.NDArray[Any]) -> tuple[float, float]:
    """Return a window: from the 1st to the 99.7th percentile of some 200,000 voxels, without what is not finite."""
    step = max(1, int(np.ceil((array.size / 200_000) ** (1 / 3))))
    some = np.asarray(array[::step, ::step, ::step] if min(array.shape) > step else array, dtype=np.float64)
    finite = some[np.isfinite(some)]
    if finite.size == 0:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(finite, (1.0, 99.7)))
    return (low, high) if high > low else (low, low + 1.0)


def colours_of(segments: Sequence[Segment]) -> Any:
    """Return napari's colour map of label numbers: one colour a structure, the same in every scene."""
    from napari.utils.colormaps import DirectLabelColormap

    table: dict[int | None, Any] = {None: (1.0, 0.2, 0.8, 1.0), 0: (0.0, 0.0, 0.0, 0.0)}
    for n, segment in enumerate(segments):
        table[segment.number] = (*_COLOURS.get(segment.name.lower(), _CYCLE[n % len(_CYCLE)]), 1.0)
    return DirectLabelColormap(color_dict=table)


def names_of(segments: Sequence[Segment]) -> dict[str, list[Any]]:
    """Return the table that napari's status line names labels from."""
    ordered = sorted(segments, key=lambda one: one.number)
    return {"index": [0, *(one.number for one in ordered)], "structure": ["background", *(one.name for one in ordered)]}


def frame_of(origin: Origin | None) -> str | None:
    """Return the frame of reference that a layer lies in, None where unknown."""
    return None if origin is None or origin.placing is None else origin.placing.native.frame_of_reference


def volume_of(data: Any, metadata: Mapping[str, Any], world_from_data: npt.ArrayLike) -> Volume:
    """Return an image layer as a volume on its own grid: the one that was read, or for any other layer its voxels."""
    origin = origin_of(metadata)
    if origin is not None and isinstance(origin.value, Volume):
        return origin.value
    if isinstance(data, LateImage):
        return data.volume()
    array = np.asarray(data)
    if array.ndim != 3:
        raise UsageError(f"the layer has {array.ndim} dimensions; mediseg works on 3-D images")
    return Volume(array, grid_of_layer(array.shape, world_from_data))


def segmentation_of(
    data: Any, metadata: Mapping[str, Any], world_from_data: npt.ArrayLike, name: str = "label"
) -> Segmentation:
    """Return a labels layer as it is now, on its native grid. A number without a name is called after the layer.

    Raises UsageError for labels above 255 and for layers that are not 3-D.
    """
    origin = origin_of(metadata)
    array = np.asarray(data)
    if array.ndim != 3:
        raise UsageError(f'the layer "{name}" has {array.ndim} dimensions; mediseg works on 3-D labels')
    if array.size and (int(array.min()) < 0 or int(array.max()) > 255):
        raise UsageError(f'the layer "{name}" holds labels beyond 0 to 255')
    if origin is None or origin.placing is None:
        grid = grid_of_layer(array.shape, world_from_data)
        return Segmentation(array.astype(np.uint8), grid, _named(array, (), name))
    before = origin.value if isinstance(origin.value, Segmentation) else None
    segments = () if before is None else before.segments
    labels = native_labels(array, origin.placing, before)
    return Segmentation(labels, origin.placing.native, _named(labels, segments, name))


def _named(labels: npt.NDArray[Any], segments: tuple[Segment, ...], name: str) -> tuple[Segment, ...]:
    known = {one.number for one in segments}
    present = np.flatnonzero(np.bincount(labels.astype(np.uint8).ravel(), minlength=256)[1:]) + 1
    new = [int(n) for n in present if int(n) not in known]
    added = tuple(Segment(n, name if len(new) == 1 and not known else f"{name} {n}") for n in new)
    return (*segments, *added) or (Segment(1, name),)


def settled(origin: Origin, segmentation: Segmentation) -> Origin:
    """Return the origin of a layer whose content is now this label map (after it was saved)."""
    return replace(origin, value=segmentation)


def roi_from_world(corners_world: npt.ArrayLike, depth_mm: float, frame: str | None) -> RotatedROI:
    """Return the box whose rectangle has these four corners, in order around it, in napari's world.

    Its long axis points from anterior to posterior, the one across it to inferior. Raises Refusal where they are no
    rectangle.
    """
    corners = lps_from_world(corners_world)
    if corners.shape != (4, 3):
        raise Refusal("an ROI is one rectangle of four corners; draw it with napari's rectangle tool or mediseg's")
    first, second = corners[1] - corners[0], corners[3] - corners[0]
    lengths = float(np.linalg.norm(first)), float(np.linalg.norm(second))
    closed = np.abs(corners[0] + first + second - corners[2]).max()
    if min(lengths) < 1e-6 or closed > 0.01 or abs(first @ second) > 1e-4 * lengths[0] * lengths[1]:
        raise Refusal("the shape is no rectangle; draw the ROI with the rectangle tool")
    sides = [first / lengths[0], second / lengths[1]]
    if lengths[1] > lengths[0]:
        sides, lengths = sides[::-1], lengths[::-1]
    along, across = _pointing(sides[0], 1, 1), _pointing(sides[1], 2, -1)
    axes = np.column_stack([along, across, np.cross(along, across)])
    return RotatedROI(corners.mean(axis=0), axes, (lengths[0], lengths[1], depth_mm), frame)


def _pointing(direction: npt.NDArray[np.float64], axis: int, sign: int) -> npt.NDArray[np.float64]:
    return direction if direction[axis] * sign >= 0 else -direction


def native_grid(metadata: Mapping[str, Any]) -> Geometry | None:
    """Return the grid that a layer's image or labels have on file."""
    origin = origin_of(metadata)
    return None if origin is None or origin.placing is None else origin.placing.native


__all__ = [
    "KEY", "LayerTuple", "LazyVolume", "Origin", "colours_of", "contrast_of", "frame_of", "image_layer",
    "labels_layer", "names_of", "native_grid", "origin_of", "roi_from_world", "segmentation_of", "settled", "volume_of",
]  # fmt: skip
