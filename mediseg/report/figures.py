"""Volumes to pictures: flat views in patient space, windows, contours and encoded images.

Every picture is cut out with ``Volume.resample`` on a grid that is laid in patient space, never by array index, so that
sagittal, axial and oblique scans look alike. Overlays use the same grid's millimetres: (0, 0) is the picture's upper
left corner, x runs right, y down.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mediseg.geometry import Array, Geometry
from mediseg.results import Midsagittal
from mediseg.volume import Segmentation, Volume

Gray = npt.NDArray[np.uint8]
Picture = npt.NDArray[np.float32]

# Screen axes of the three planes as columns of the head frame (left, posterior, superior) with signs. Radiological:
# the patient's left is on the right of the picture; sagittal pictures look to the left.
_SCREEN = {
    "transversal": ((0, 1), (1, 1), (2, -1)),
    "coronal": ((0, 1), (2, -1), (1, 1)),
    "sagittal": ((1, 1), (2, -1), (0, -1)),
}


@dataclass(frozen=True)
class View:
    """A grid of one slice with square pixels: i runs to the right of the picture, j down."""

    grid: Geometry

    @property
    def size_mm(self) -> tuple[float, float]:
        """Width and height, outer edges."""
        width, height = (n * s for n, s in zip(self.grid.shape[:2], self.grid.spacing_mm[:2], strict=True))
        return width, height

    def xy_mm(self, points_lps_mm: npt.ArrayLike) -> Array:
        """Project points (..., 3) onto the picture (..., 2)."""
        ij = self.grid.ijk_from_lps(points_lps_mm)[..., :2]
        return np.asarray((ij + 0.5) * np.array(self.grid.spacing_mm[:2]))

    def depth_mm(self, points_lps_mm: npt.ArrayLike) -> Array:
        """Signed distance of points (..., 3) from the picture's plane."""
        normal = np.cross(self.grid.axes_lps[:, 0], self.grid.axes_lps[:, 1])
        return np.asarray((np.asarray(points_lps_mm, dtype=np.float64) - self.grid.center_lps_mm) @ normal)

    @property
    def letters(self) -> tuple[str, str, str, str]:
        """What lies to the left, right, top and bottom of the picture."""
        right, down = (_toward(self.grid.axes_lps[:, axis]) for axis in (0, 1))
        return _OPPOSITE[right], right, _OPPOSITE[down], down


_OPPOSITE = {"L": "R", "R": "L", "A": "P", "P": "A", "S": "I", "I": "S"}


def _toward(direction_lps: Array) -> str:
    axis = int(np.abs(direction_lps).argmax())
    return ("LPS" if direction_lps[axis] > 0 else "RAI")[axis]


@dataclass(frozen=True, eq=False)
class Frame:
    """A block of patient space: ``axes_lps`` columns to left, posterior, superior; bounds along them in mm."""

    axes_lps: Array
    low_mm: Array
    high_mm: Array

    def within(self, low_mm: Array, high_mm: Array) -> Frame:
        """Return the part of this block that lies within bounds along the same axes."""
        low, high = np.maximum(self.low_mm, low_mm), np.minimum(self.high_mm, high_mm)
        return Frame(self.axes_lps, np.minimum(low, high), high)

    def holding(self, points_lps_mm: Array, margin_mm: float) -> Frame:
        """Return the block grown so that it holds points (n, 3) with a margin."""
        along = points_lps_mm @ self.axes_lps
        low = np.minimum(self.low_mm, along.min(axis=0) - margin_mm)
        return Frame(self.axes_lps, low, np.maximum(self.high_mm, along.max(axis=0) + margin_mm))

    @property
    def center_lps_mm(self) -> Array:
        """The block's middle."""
        return np.asarray(self.axes_lps @ ((self.low_mm + self.high_mm) / 2))

    @property
    def extent_mm(self) -> Array:
        """Lengths along the axes (3,)."""
        return self.high_mm - self.low_mm

    def view(self, plane: str, through_lps_mm: npt.ArrayLike, spacing_mm: float) -> View:
        """Lay a picture through a point; ``plane`` is transversal, coronal or sagittal."""
        screen = _SCREEN[plane]
        axes = np.column_stack([sign * self.axes_lps[:, axis] for axis, sign in screen])
        middle = (self.low_mm + self.high_mm) / 2
        across = screen[2][0]
        middle[across] = float(np.asarray(through_lps_mm, dtype=np.float64) @ self.axes_lps[:, across])
        extent = [float(self.extent_mm[axis]) for axis, _ in screen[:2]]
        shape = [max(1, round(length / spacing_mm)) for length in extent]
        grid = Geometry.from_axes(
            [*shape, 1], axes, (spacing_mm,) * 3, center_lps_mm=np.asarray(self.axes_lps @ middle)
        )
        return View(grid)


def head_frame(geometry: Geometry, midsagittal: Midsagittal | None) -> Frame:
    """Return the block around a grid; its axes follow the mid-sagittal plane (yaw and roll), else the patient's."""
    axes = np.eye(3)
    if midsagittal is not None:
        left = midsagittal.plane.normal_lps
        posterior = axes[1] - (axes[1] @ left) * left
        posterior = posterior / np.linalg.norm(posterior)
        axes = np.column_stack([left, posterior, np.cross(left, posterior)])
    along = geometry.corners_lps_mm() @ axes
    return Frame(axes, along.min(axis=0), along.max(axis=0))


def face_left(image: Volume, spacing_mm: float | None = None) -> View:
    """Return the face-left view of a mid-sagittal image: square pixels at its finest spacing, same middle."""
    grid = image.geometry.reorient("PIL")
    fine = spacing_mm or min(grid.spacing_mm[:2])
    return View(grid.with_spacing((fine, fine, grid.spacing_mm[2])))


def part_of(view: View, low_xy_mm: npt.ArrayLike, high_xy_mm: npt.ArrayLike, spacing_mm: float) -> View:
    """Return a rectangle of a view (mm in it) at another spacing, in the same plane."""
    low, high = np.asarray(low_xy_mm, dtype=np.float64), np.asarray(high_xy_mm, dtype=np.float64)
    middle_ij = (low + high) / 2 / np.array(view.grid.spacing_mm[:2]) - 0.5
    shape = [max(1, int(n)) for n in np.ceil((high - low) / spacing_mm)]
    grid = Geometry.from_axes(
        [*shape, 1],
        view.grid.axes_lps,
        (spacing_mm, spacing_mm, view.grid.spacing_mm[2]),
        center_lps_mm=view.grid.lps_from_ijk([*middle_ij, 0]),
        frame_of_reference=view.grid.frame_of_reference,
    )
    return View(grid)


def cut(volume: Volume | Segmentation, view: View, order: int = 1) -> Picture:
    """Return the picture of a volume, or of a label map as fractions 0..1 of any label, on a view: (rows, columns).

    Outside of the volume lies 0; a value that is not finite shows as 0.
    """
    slab = _slab(volume, view.grid)
    pixels = np.nan_to_num(slab.resample(view.grid, order=order).array[:, :, 0], posinf=0, neginf=0)
    return np.ascontiguousarray(pixels.T, dtype=np.float32)


def cut_labels(segmentation: Segmentation, view: View) -> Gray:
    """Return the label numbers on a view, nearest neighbour: (rows, columns)."""
    return np.ascontiguousarray(segmentation.resample(view.grid).labels[:, :, 0].T)


def _slab(volume: Volume | Segmentation, grid: Geometry, margin: int = 4) -> Volume:
    """Return the part of a volume around a view as float32, so that a picture does not cost a copy of the whole."""
    corners = volume.geometry.ijk_from_lps(grid.corners_lps_mm())
    size = np.array(volume.geometry.shape)
    start = np.clip(np.floor(corners.min(axis=0)).astype(int) - margin, 0, size - 1)
    stop = np.clip(np.ceil(corners.max(axis=0)).astype(int) + margin + 1, start + 1, size)
    array = volume.mask() if isinstance(volume, Segmentation) else volume.array
    part = array[tuple(slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))]
    return Volume(part.astype(np.float32), volume.geometry.crop(start.tolist(), stop.tolist()))


def window(volume: Volume) -> tuple[float, float]:
    """Return the 1st and the 99.5th percentile of the finite voxels (a sample of at most about two million)."""
    step = max(1, round((volume.array.size / 2e6) ** (1 / 3)))
    sample = volume.array[::step, ::step, ::step] if min(volume.array.shape) > 8 else volume.array
    finite = sample[np.isfinite(sample)]
    if finite.size == 0:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(finite, (1, 99.5)))
    return (low, high) if high > low else (low, low + 1)


def grey(picture: Picture, limits: tuple[float, float]) -> Gray:
    """Return 0..255 between the limits of a window."""
    low, high = limits
    return np.asarray(np.clip((picture - low) / (high - low), 0, 1) * 255 + 0.5).astype(np.uint8)


def shrunk(picture: Picture, view: View, spacing_mm: float) -> Picture:
    """Return a picture with fewer pixels (area mean) where its view is finer than ``spacing_mm``."""
    import cv2

    factor = view.grid.spacing_mm[0] / spacing_mm
    if factor >= 1:
        return picture
    size = [max(1, round(n * factor)) for n in picture.shape[::-1]]
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), dtype=np.float32)


def jpeg(picture: Gray, quality: int = 85) -> str:
    """Return a picture (rows, columns) or (rows, columns, BGR) as a JPEG data URI."""
    import cv2

    done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise RuntimeError("OpenCV could not encode a picture as JPEG")
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()


def coloured(picture: Picture, limits: tuple[float, float]) -> Gray:
    """Return a picture in the viridis colours (rows, columns, BGR): even to the eye, also without colour vision."""
    import cv2

    return np.asarray(cv2.applyColorMap(grey(picture, limits), cv2.COLORMAP_VIRIDIS))


def colour_stops(count: int = 9) -> list[tuple[float, str]]:
    """Return the same colours as (offset in percent, #rrggbb), for a colour bar."""
    ramp = coloured(np.linspace(0, 1, count, dtype=np.float32)[None], (0, 1))[0]
    return [(100 * n / (count - 1), f"#{int(r):02x}{int(g):02x}{int(b):02x}") for n, (b, g, r) in enumerate(ramp)]


def contours(field: Picture, level: float, spacing_mm: float, tolerance_mm: float = 0.05) -> list[Array]:
    """Return where a picture crosses a level, as closed outlines (n, 2) in mm on the picture, holes among them.

    Sub-pixel (linear between pixel centres); thinned so that no outline moves by more than ``tolerance_mm``.
    """
    import contourpy
    import cv2

    padded = np.pad(field.astype(np.float64), 1, constant_values=min(float(field.min()), level - 1.0))
    lines = contourpy.contour_generator(z=padded).lines(level)
    in_mm = [((np.asarray(line) - 0.5) * spacing_mm).astype(np.float32) for line in lines if len(line) > 3]
    thin = [cv2.approxPolyDP(line[:-1, None, :], tolerance_mm, closed=True)[:, 0, :] for line in in_mm]
    return [np.asarray(line, dtype=np.float64) for line in thin if len(line) >= 3]
