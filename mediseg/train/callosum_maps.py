"""The callosum in whole-head label maps: the mid-sagittal plane, a slab of label slices round it, a reference mask.

The maps (``labelmaps/training_seg_*`` of the data folder, 1 mm) tell left from right white matter, so the plane where
one touches the other is the callosum with the fornix. What belongs to the callosum there is decided once for every map
by the cuts in ``CUTS``, each set by eye on an enlarged picture; all else is computed. Nothing here knows torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mediseg.train.painting import LEFT_OF_RIGHT

Floats = npt.NDArray[np.float64]
Bytes = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]

PIXEL_MM = 0.5
SLICE_MM = 1.0
#: Label slices lie at -5, -4 ... 5 mm from the mid-sagittal plane: enough for 6 mm slices slightly tilted and off it.
HALF_SLICES = 5
#: Pixel of the grid on which the reference is drawn before it is averaged to area fractions.
FINE_MM = 0.125

#: Kept from training. 01, 06, 13 and 17 are kept from the brain network, too, so that these four heads are new to all.
HELD_OUT_MAPS = (
    "training_seg_01", "training_seg_06", "training_seg_08", "training_seg_12", "training_seg_13", "training_seg_17",
)  # fmt: skip

WHITE = (2, 41, 25, 57)
_LEFT_WHITE, _RIGHT_WHITE, _LEFT_CORTEX, _RIGHT_CORTEX = 2, 41, 3, 42
#: Voxels of the blur that rounds the corners of the voxels: labels compete, and the border is where two are equal.
_LABEL_SIGMA = 0.55
#: White matter of the plane farther than this from where left touches right is no crossing.
_CONTACT_MM = 2.0
_SMALLEST_HOLE_MM2 = 4.0

Points = tuple[tuple[float, float], ...]
#: Cuts per map: lines (posterior, inferior) in mm from the contact's centre, that part the callosum from the rest.
CUTS: dict[str, tuple[Points, ...]] = {
    "training_seg_01": (((3.3, -2.4), (15.2, 9)),),
    "training_seg_02": (((11.6, -4.2), (16, 0.5), (19, 4.4)),),
    "training_seg_03": (((-0.3, -1.8), (13, -3.2)),),
    "training_seg_04": (((9.2, -4.3), (14.6, -2.7)),),
    "training_seg_05": (((20.3, 3.2), (24.6, 6.6)),),
    "training_seg_06": (((11.0, -3.2), (22.5, 7.9)),),
    "training_seg_07": (((-5.2, -1.7), (9.0, -1.5)),),
    "training_seg_09": (((4.7, -4), (16.3, -1.6)),),
    "training_seg_10": (((10.7, -2.7), (13.5, -1.0)),),
    "training_seg_11": (((17.3, -1.7), (25.6, 10.6)), ((-23.4, -7.1), (-18.6, -7.5)), ((-23.2, 1.5), (-17.5, 2.3))),
    "training_seg_13": (((-7.5, -2.8), (8.0, -2.0)),),
    "training_seg_14": (((20.3, 7.6), (20.6, 9), (19.4, 13)),),
    "training_seg_15": (((18.3, -1), (23.2, 9.6)),),
    "training_seg_17": (((11.8, -1.5), (18.3, 7.4)),),
    "training_seg_18": (((22.2, -0.8), (23.3, 7)),),
    "training_seg_20": (((10.6, -4), (14.2, -3.4)),),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Midplane:
    """The mid-sagittal plane in a map's voxels (1 mm, RAS): a point and three unit vectors.

    ``centre``: middle of the contact of left and right white matter. ``posterior`` and ``inferior`` span the plane,
    ``right`` is its normal. The head's own pitch is kept: ``posterior`` is level in the map.
    """

    centre: Floats
    posterior: Floats
    inferior: Floats
    right: Floats

    def voxels(self, posterior: Floats, inferior: Floats, right: float) -> Floats:
        """Return voxel positions (3, ...) of points given in mm along the three directions."""
        along = [np.multiply.outer(v, x) for v, x in ((self.posterior, posterior), (self.inferior, inferior))]
        offset = self.centre + right * self.right
        return np.asarray(along[0] + along[1] + offset.reshape(3, *[1] * np.ndim(posterior)))


@dataclass(frozen=True, slots=True)
class Slab:
    """Label slices round the mid-sagittal plane of one head, face left, with the reference of its callosum.

    ``labels``: uint8 (rows, columns, 11), rows to inferior and columns to posterior in steps of 0.5 mm, slices from
    left to right in steps of 1 mm, the sixth is the plane; right structures carry their left twins' labels. ``mask``:
    uint8 (rows, columns), area fraction of the callosum on the plane times 255. ``centre``: column and row of the
    callosum's centroid, where millimetres are counted from.
    """

    name: str
    labels: Bytes
    mask: Bytes
    centre: tuple[float, float]

    def pixels_of_mm(self, affine: Floats) -> Floats:
        """Return the 2 x 3 matrix to (column, row) of the slab of what ``affine`` maps to mm (posterior, inferior)."""
        return np.column_stack([affine[:, :2] / PIXEL_MM, affine[:, 2] / PIXEL_MM + np.array(self.centre)])


def find_midplane(labels: Bytes) -> Midplane:
    """Fit a plane to the faces between left and right white matter, and, with less weight, left and right cortex.

    ``labels``: uint8, RAS, 1 mm. Robust (Cauchy weights, 1 mm), as a few faces lie off the midline. Raises ValueError
    when left and right white matter hardly touch.
    """
    white, cortex = (_faces(labels, *pair) for pair in ((_LEFT_WHITE, _RIGHT_WHITE), (_LEFT_CORTEX, _RIGHT_CORTEX)))
    if len(white) < 100:
        msg = f"left and right white matter (2 and 41) touch in {len(white)} faces only: is this a map with sides?"
        raise ValueError(msg)
    points = np.vstack([white, cortex])
    weights = np.r_[np.ones(len(white)), np.full(len(cortex), 0.5 * len(white) / max(1, len(cortex)))]
    centre = white.mean(axis=0)
    design = np.column_stack([np.ones(len(points)), points[:, 1:] - centre[1:]])
    fit = np.array([float(np.median(white[:, 0])), 0.0, 0.0])
    for _ in range(30):
        robust = weights / (1.0 + (points[:, 0] - design @ fit) ** 2)
        fit = np.linalg.solve((design * robust[:, None]).T @ design, (design * robust[:, None]).T @ points[:, 0])
    right = np.array([1.0, -fit[1], -fit[2]])
    right /= np.linalg.norm(right)
    posterior = np.array([0.0, -1.0, 0.0]) + right[1] * right
    posterior /= np.linalg.norm(posterior)
    return Midplane(np.array([fit[0], centre[1], centre[2]]), posterior, np.cross(right, posterior), right)


def make_slab(name: str, labels: Bytes, cuts: Sequence[Points] | None = None) -> Slab:
    """Cut the slab round the mid-sagittal plane out of a map (uint8, RAS, 1 mm) and draw its reference mask."""
    plane = find_midplane(labels)
    posterior, inferior = (np.arange(low, high, PIXEL_MM) for low, high in _reach(labels.shape, plane))
    mask = _reference(labels, plane, posterior, inferior, CUTS.get(name, ()) if cuts is None else cuts)
    weight = mask / mask.sum(dtype=np.float64)
    row, column = (float((weight.sum(axis=1 - a) * np.arange(mask.shape[a])).sum()) for a in (0, 1))
    return Slab(name, _label_slices(labels, plane, posterior, inferior), mask, (column, row))


def list_maps(data: Path, *, held_out: bool) -> list[Path]:
    """Return the maps with sides under ``data`` for training, or those held out; raise FileNotFoundError if none."""
    found = sorted((data / "labelmaps").glob("training_seg_*.nii.gz"))
    maps = [path for path in found if (path.name.removesuffix(".nii.gz") in HELD_OUT_MAPS) == held_out]
    if not maps:
        msg = f"no labelmaps/training_seg_*.nii.gz under {data}: --data must name the folder that holds labelmaps/"
        raise FileNotFoundError(msg)
    return maps


def load_slabs(
    data: Path, cache: Path | None = None, *, held_out: bool = False, say: Callable[[str], None] | None = None
) -> list[Slab]:
    """Return the slabs of the training maps, or of those held out, from ``cache`` (a folder) where they are kept."""
    return [_load(path, cache, say) for path in list_maps(data, held_out=held_out)]


def _load(path: Path, cache: Path | None, say: Callable[[str], None] | None) -> Slab:
    import nibabel as nib

    name = path.name.removesuffix(".nii.gz")
    kept = None if cache is None else cache / f"{name}.slab2.npz"
    if kept is not None and kept.is_file():
        with np.load(kept) as stored:
            return Slab(
                name, stored["labels"], stored["mask"], (float(stored["centre"][0]), float(stored["centre"][1]))
            )
    slab = make_slab(name, np.asarray(nib.as_closest_canonical(nib.load(path)).dataobj).astype(np.uint8))
    if say is not None:
        say(f"cut {name}: callosum {slab.mask.sum() / 255.0 * PIXEL_MM**2:.0f} mm2")
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(kept, labels=slab.labels, mask=slab.mask, centre=np.array(slab.centre))
    return slab


def _faces(labels: Bytes, left: int, right: int) -> Floats:
    """Return the middles (n, 3) of the faces across which ``left`` and ``right`` are neighbours in x."""
    low, high = labels[:-1], labels[1:]
    touching = ((low == left) & (high == right)) | ((low == right) & (high == left))
    return np.asarray(np.argwhere(touching) + np.array([0.5, 0.0, 0.0]), np.float64)


def _reach(shape: tuple[int, ...], plane: Midplane) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return from where to where the map reaches from the plane's centre: to posterior and to inferior, whole mm."""
    _, y, z = (float(value) for value in plane.centre)
    columns = (-np.floor(shape[1] - 1 - y), np.floor(y))
    rows = (-np.floor(shape[2] - 1 - z), np.floor(z))
    return (float(columns[0]), float(columns[1])), (float(rows[0]), float(rows[1]))


def _label_slices(labels: Bytes, plane: Midplane, posterior: Floats, inferior: Floats) -> Bytes:
    """Return the label slices (rows, columns, 11): at each point the label whose blurred share is the largest."""
    from scipy import ndimage

    twins = np.arange(256, dtype=np.uint8)
    twins[list(LEFT_OF_RIGHT)] = list(LEFT_OF_RIGHT.values())
    across = np.arange(-HALF_SLICES, HALF_SLICES + 1) * SLICE_MM
    columns, rows = np.meshgrid(posterior, inferior)
    points = np.stack([plane.voxels(columns, rows, float(mm)) for mm in across], axis=-1)
    first = max(0, int(points[0].min()) - 3)
    part = twins[labels[first : int(points[0].max()) + 4]]
    points[0] -= first
    best, answer = np.full(points.shape[1:], 1e-3, np.float32), np.zeros(points.shape[1:], np.uint8)
    for label in np.unique(part):
        box = _grown_box(part == label, 3)
        share = ndimage.gaussian_filter((part[box] == label).astype(np.float32), _LABEL_SIGMA, truncate=3.0)
        seen = (_within(points[2], box[2], axis=0), _within(points[1], box[1], axis=1))
        start = np.array([one.start for one in box]).reshape(3, 1, 1, 1)
        found = ndimage.map_coordinates(share, points[:, *seen] - start, order=1, output=np.float32)
        ahead = found > best[seen]
        best[seen][ahead], answer[seen][ahead] = found[ahead], label
    return answer


def _grown_box(inside: Bools, margin: int) -> tuple[slice, slice, slice]:
    """Return the box of what is True (something is), ``margin`` voxels larger on each side where the array goes on."""
    box = []
    for axis, count in enumerate(inside.shape):
        filled = np.flatnonzero(inside.any(axis=tuple(other for other in range(3) if other != axis)))
        box.append(slice(max(0, int(filled[0]) - margin), min(count, int(filled[-1]) + margin + 1)))
    return box[0], box[1], box[2]


def _within(positions: Floats, box: slice, axis: int) -> slice:
    """Return the rows (``axis`` 0) or columns (1) of which any position lies in a box's extent."""
    others = tuple(other for other in range(3) if other != axis)
    near = np.flatnonzero((positions.max(axis=others) >= box.start) & (positions.min(axis=others) <= box.stop))
    return slice(int(near[0]), int(near[-1]) + 1) if near.size else slice(0, 0)


def _reference(labels: Bytes, plane: Midplane, posterior: Floats, inferior: Floats, cuts: Sequence[Points]) -> Bytes:
    """Return the area fractions of the callosum times 255 on the pixels with these centres (mm), (rows, columns).

    White matter of the plane near where left touches right, without what the cuts part off, small holes filled.
    """
    from scipy import ndimage

    part = [
        _near(axis, extent) for axis, extent in zip((posterior, inferior), _contact_extent(labels, plane), strict=True)
    ]
    fine = [_subpixels(axis[one]) for axis, one in zip((posterior, inferior), part, strict=True)]
    columns, rows = np.meshgrid(*fine)
    points = plane.voxels(columns, rows, 0.0)
    white = ndimage.gaussian_filter(np.isin(labels, WHITE).astype(np.float32), _LABEL_SIGMA, truncate=3.0)
    inside: Bools = ndimage.map_coordinates(white, points, order=1, output=np.float32) > 0.5
    inside &= ndimage.map_coordinates(_near_contact(labels), points, order=1, output=np.float32) < _CONTACT_MM
    inside = _without_small_holes(_largest(_parted(inside, cuts, (float(fine[0][0]), float(fine[1][0])))))
    step = round(PIXEL_MM / FINE_MM)
    blocks = inside.reshape(inside.shape[0] // step, step, inside.shape[1] // step, step)
    mask = np.zeros((inferior.size, posterior.size), np.uint8)
    mask[part[1], part[0]] = np.rint(blocks.mean(axis=(1, 3)) * 255.0)
    return mask


def _contact_extent(labels: Bytes, plane: Midplane) -> list[tuple[float, float]]:
    """Return from where to where left touches right white matter, to posterior and to inferior, in mm."""
    away = _faces(labels, _LEFT_WHITE, _RIGHT_WHITE) - plane.centre
    along = (away @ plane.posterior, away @ plane.inferior)
    return [(float(values.min()), float(values.max())) for values in along]


def _near(axis: Floats, extent: tuple[float, float], margin_mm: float = 6.0) -> slice:
    """Return the part of a rising axis within ``margin_mm`` of an extent."""
    first, last = np.searchsorted(axis, (extent[0] - margin_mm, extent[1] + margin_mm))
    return slice(int(first), int(last))


def _subpixels(centres: Floats) -> Floats:
    """Return the centres of the fine pixels of which each pixel consists."""
    step = round(PIXEL_MM / FINE_MM)
    return (centres[:, None] + (np.arange(step) - (step - 1) / 2)[None] * FINE_MM).ravel()


def _near_contact(labels: Bytes) -> npt.NDArray[np.float32]:
    """Return every voxel's distance to the nearest face between left and right white matter, seen from the side."""
    from scipy import ndimage

    touching = np.ones(labels.shape[1:], bool)
    at = _faces(labels, _LEFT_WHITE, _RIGHT_WHITE).astype(int)
    touching[at[:, 1], at[:, 2]] = False
    beside = ndimage.distance_transform_edt(touching).astype(np.float32)
    return np.broadcast_to(beside, labels.shape)


def _parted(inside: Bools, cuts: Sequence[Points], first_mm: tuple[float, float]) -> Bools:
    """Draw the cuts (mm) as gaps one fine pixel wide; ``first_mm`` is the first fine pixel's (posterior, inferior)."""
    import cv2

    canvas = inside.astype(np.uint8)
    for line in cuts:
        points = np.rint((np.array(line) - np.array(first_mm)) / FINE_MM).astype(np.int32)
        cv2.polylines(canvas, [points], isClosed=False, color=0, thickness=1, lineType=cv2.LINE_4)
    return canvas > 0


def _largest(inside: Bools) -> Bools:
    import cv2

    _, parts, stats, _ = cv2.connectedComponentsWithStats(inside.astype(np.uint8), connectivity=4)
    return np.asarray(parts == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax()))


def _without_small_holes(inside: Bools) -> Bools:
    import cv2

    _, parts, stats, _ = cv2.connectedComponentsWithStats((~inside).astype(np.uint8), connectivity=4)
    small = stats[:, cv2.CC_STAT_AREA] * FINE_MM**2 < _SMALLEST_HOLE_MM2
    small[0] = False
    return np.asarray(inside | small[parts], bool)
