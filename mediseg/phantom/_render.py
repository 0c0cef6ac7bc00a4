"""From shapes to voxels: slab by slab along the slowest axis, so that the work stays in the processor's cache."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from mediseg.geometry import Geometry, Rigid
from mediseg.phantom import _brain, _head
from mediseg.phantom._distance import Field, Point, Points, common
from mediseg.phantom._paint import Painter, Tissue

Block = tuple[slice, slice, slice]

_SLAB_VOXELS = 300_000
_HEAD_LOW, _HEAD_HIGH = (-92.0, -118.0, -230.0), (92.0, 106.0, 92.0)
_SKULL_LOW, _SKULL_HIGH = (-82.0, -90.0, -92.0), (82.0, 104.0, 88.0)


def _points(geometry: Geometry, head_from_lps: Rigid, block: Block) -> Points:
    """Head coordinates of a block of voxels; shape (k, j, i), the order in which slabs are filled."""
    matrix = (head_from_lps.matrix @ geometry.affine_lps).astype(np.float64)
    i, j, k = (np.arange(s.start, s.stop, dtype=np.float64) for s in block)
    rows = []
    for row in matrix[:3]:
        plane = ((row[1] * j)[:, None] + (row[0] * i)[None, :]).astype(np.float32)
        rows.append(plane[None] + (row[2] * k + row[3]).astype(np.float32)[:, None, None])
    return Points(*rows)


def _block_of(geometry: Geometry, head_from_lps: Rigid, low: Point, high: Point) -> Block:
    """Return the voxels that a block of head coordinates may reach, two voxels more on each side."""
    corners = np.array(np.meshgrid(*zip(low, high, strict=True), indexing="ij")).reshape(3, -1).T
    ijk = geometry.ijk_from_lps(head_from_lps.inverse().apply(corners))
    start = np.clip(np.floor(ijk.min(axis=0)).astype(int) - 2, 0, geometry.shape)
    stop = np.clip(np.ceil(ijk.max(axis=0)).astype(int) + 3, 0, geometry.shape)
    first, second, third = (slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))
    return first, second, third


def slabs(shape: tuple[int, int, int]) -> Iterator[slice]:
    """Cut the third axis into slabs of a size that fits the cache."""
    thick = max(1, _SLAB_VOXELS // (shape[0] * shape[1]))
    for start in range(0, shape[2], thick):
        yield slice(start, min(shape[2], start + thick))


def _cut(block: Block, slab: slice) -> Block | None:
    k = slice(max(block[2].start, slab.start), min(block[2].stop, slab.stop))
    if k.start >= k.stop or block[0].start >= block[0].stop or block[1].start >= block[1].stop:
        return None
    return block[0], block[1], k


def render(geometry: Geometry, head_from_lps: Rigid, painter: Painter) -> npt.NDArray[Any]:
    """Return the painted head on a grid, shape (i, j, k) (a transposed view of slices stored one after the other)."""
    canvas = np.zeros(geometry.shape[::-1], painter.dtype)
    blocks = [(layer, _block_of(geometry, head_from_lps, layer.low, layer.high)) for layer in _head.LAYERS]
    whole = _block_of(geometry, head_from_lps, _HEAD_LOW, _HEAD_HIGH)
    for slab in slabs(geometry.shape):
        part = _cut(whole, slab)
        if part is None:
            continue
        points = _points(geometry, head_from_lps, part)
        inner_table = _brain.cavity(points)
        _paint_outside(painter, _view(canvas, part), points, inner_table)
        for layer, block in blocks:
            small = _cut(block, slab)
            if small is not None:
                distance = layer.shape(_points(geometry, head_from_lps, small))
                painter.paint(_view(canvas, small), layer.tissue, distance)
        _paint_inside(painter, _view(canvas, part), points, inner_table)
    return canvas.transpose(2, 1, 0)


def _view(canvas: npt.NDArray[Any], block: Block) -> npt.NDArray[Any]:
    return canvas[block[2], block[1], block[0]]


def _paint_outside(painter: Painter, canvas: npt.NDArray[Any], points: Points, inner_table: Field) -> None:
    surface = _head.skin(points, inner_table)
    painter.paint(canvas, Tissue.SKIN, surface)
    painter.paint(canvas, Tissue.FAT, surface + np.float32(2.0))
    # the vault; the base has bones of its own
    above = np.asarray(-points.z - np.float32(16.0) - np.float32(0.4) * np.maximum(points.y, -10), np.float32)
    table = common(inner_table - np.float32(6.6), above, 12)
    painter.paint(canvas, Tissue.MUSCLE, np.maximum(surface + np.float32(5.5), -above))
    painter.paint(canvas, Tissue.MUSCLE, common(inner_table - np.float32(8.0), above, 12))
    painter.paint(canvas, Tissue.BONE, table)
    painter.paint(canvas, Tissue.MARROW, np.maximum(table + np.float32(1.8), np.float32(2.6) - inner_table))
    painter.paint(canvas, Tissue.BONE, inner_table - np.float32(2.6))


def _paint_inside(painter: Painter, canvas: npt.NDArray[Any], points: Points, inner_table: Field) -> None:
    chosen = inner_table < 1.5
    chosen &= points.z > -78  # below, the canal and the cord have shapes of their own
    if not chosen.any():
        return
    values = canvas[chosen]
    _brain.paint_brain(painter, values, points.where(chosen), inner_table[chosen])
    canvas[chosen] = values


def brain_mask(geometry: Geometry, head_from_lps: Rigid) -> npt.NDArray[np.bool_]:
    """Return which voxel centres lie in the whole brain with its CSF, shape (i, j, k)."""
    mask = np.zeros(geometry.shape[::-1], bool)
    skull = _block_of(geometry, head_from_lps, _SKULL_LOW, _SKULL_HIGH)
    for slab in slabs(geometry.shape):
        part = _cut(skull, slab)
        if part is not None:
            points = _points(geometry, head_from_lps, part)
            _view(mask, part)[...] = _brain.brain_envelope(_brain.cavity(points), points) < 0
    return mask.transpose(2, 1, 0)
