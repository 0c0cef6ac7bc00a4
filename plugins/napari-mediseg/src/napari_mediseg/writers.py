"""Layers to files: images and labels to NIfTI, labels to DICOM SEG, shapes to roi.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import mediseg
from mediseg import Source, UsageError
from napari_mediseg.layers import frame_of, origin_of, roi_from_world, segmentation_of, volume_of
from napari_mediseg.shapes import roi_state


def write_image(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write an image layer as NIfTI, on the grid it was read on."""
    volume = volume_of(data, meta.get("metadata", {}), world_matrix(meta, 3))
    return [str(mediseg.write(volume, path))]


def write_labels(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a labels layer as NIfTI, or as DICOM SEG with the references of the study it was drawn on."""
    metadata, name = meta.get("metadata", {}), str(meta.get("name", "label"))
    segmentation = segmentation_of(data, metadata, world_matrix(meta, 3), name)
    source = source_for(metadata) if Path(path).suffix.lower() == ".dcm" else None
    return [str(mediseg.write(segmentation, path, source))]


def write_shapes(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write the ROI of a shapes layer as roi.json: mediseg's own, or the one rectangle of any other layer."""
    metadata = meta.get("metadata", {})
    state = roi_state(metadata)
    if state is not None:
        return [str(mediseg.write(state.to_roi(), path))]
    shapes = [np.asarray(one, dtype=float) for one in data]
    if len(shapes) != 1:
        raise UsageError(f"roi.json holds one ROI; the layer has {len(shapes)} shapes: leave one rectangle in it")
    matrix = world_matrix(meta, 3)
    corners = shapes[0] @ matrix[:3, :3].T + matrix[:3, 3]
    return [str(mediseg.write(roi_from_world(corners, 20.0, frame_of(origin_of(metadata))), path))]


def world_matrix(meta: dict[str, Any], ndim: int) -> Any:
    """Return the matrix that takes a layer's data to the world, from what napari hands a writer."""
    from napari_mediseg._napari import affine_of_meta

    return affine_of_meta(meta, ndim)


def source_for(metadata: dict[str, Any]) -> Source:
    """Return the DICOM study that labels refer to: their own, else that of an image of their frame in the viewer.

    Raises UsageError where no DICOM image is there.
    """
    origin = origin_of(metadata)
    candidates = [] if origin is None else [(origin.source, frame_of(origin))]
    candidates += _open_images()
    wanted = frame_of(origin)
    for source, frame in candidates:
        if source is not None and source.kind == "dicom" and (wanted is None or frame in (None, wanted)):
            return source
    raise UsageError("a DICOM SEG refers to a DICOM study: open the study these labels were drawn on, then save again")


def _open_images() -> list[tuple[Source | None, str | None]]:
    from napari import current_viewer

    viewer = current_viewer()
    if viewer is None:
        return []
    origins = [origin_of(layer.metadata) for layer in viewer.layers]
    return [(one.source, frame_of(one)) for one in origins if one is not None]
