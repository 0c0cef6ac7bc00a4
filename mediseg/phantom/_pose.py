"""How the head lies in the scanner: the grid of the scan, the head's motion, and the coil's shading."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mediseg.errors import UsageError
from mediseg.geometry import Geometry, Rigid

FOV_MM = (240.0, 256.0, 192.0)
# where the middle between AC and PC lies when nothing is moved, from the middle of the grid
_REST_LPS_MM = (0.0, 4.0, 38.0)
_AXES_LPS = np.array([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])  # columns i, j, k: P, I, R


@dataclass(frozen=True)
class Pose:
    """Turns and shift of the head. Angles in degrees, applied pitch first, then roll, then yaw.

    ``yaw_deg``: about superior; positive turns the face to the patient's left. ``roll_deg``: about anterior-posterior;
    positive tips the crown to the patient's left. ``pitch_deg``: about left-right; positive lowers the posterior end.
    """

    yaw_deg: float
    roll_deg: float
    pitch_deg: float
    offset_mm: tuple[float, float, float]

    def __post_init__(self) -> None:
        values = (self.yaw_deg, self.roll_deg, self.pitch_deg, *self.offset_mm)
        if len(self.offset_mm) != 3 or not np.isfinite(values).all():
            raise UsageError("the head's pose needs finite angles and an offset of three numbers (mm)")
        if max(map(abs, values[:3])) > 45 or max(map(abs, self.offset_mm)) > 100:
            raise UsageError("the head's pose is limited to 45 degrees and 100 mm")

    @property
    def lps_from_head(self) -> Rigid:
        """Take head coordinates to patient coordinates."""
        yaw, roll, pitch = np.radians([self.yaw_deg, self.roll_deg, self.pitch_deg])
        turn = np.eye(4)
        turn[:3, :3] = _about(2, yaw) @ _about(1, roll) @ _about(0, -pitch)
        turn[:3, 3] = np.add(_REST_LPS_MM, self.offset_mm)
        return Rigid(turn)


def _about(axis: int, angle: float) -> npt.NDArray[np.float64]:
    """Rotation matrix about x, y or z, counter-clockwise seen from its tip."""
    a, b = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(3)
    matrix[a, a] = matrix[b, b] = np.cos(angle)
    matrix[b, a], matrix[a, b] = np.sin(angle), -np.sin(angle)
    return matrix


def scan_grid(spacing_mm: tuple[float, float, float]) -> Geometry:
    """Return the sagittal grid of the scan: i to posterior, j to inferior, k to the right, centred on the isocentre.

    Raises UsageError for spacings out of 0.5 to 12 mm.
    """
    if not all(0.5 <= s <= 12 for s in spacing_mm):
        raise UsageError(f"the phantom's spacing must be 0.5 to 12 mm, not {spacing_mm}")
    shape = [max(1, round(fov / s)) for fov, s in zip(FOV_MM, spacing_mm, strict=True)]
    return Geometry.from_axes(shape, _AXES_LPS, spacing_mm, center_lps_mm=(0.0, 0.0, 0.0))


class Shading:
    """Smooth multiplicative field, fixed in the scanner: exp(strength x a quadratic that spans about -1..1)."""

    def __init__(self, strength: float, seed: int, inside_lps_mm: npt.NDArray[np.float64]) -> None:
        random = np.random.default_rng([seed, 1])
        linear = random.normal(size=3)
        self._linear = 0.45 * linear / np.linalg.norm(linear)
        self._square = random.uniform(0.25, 0.75, size=3)  # coil arrays: brighter near the surface
        self._mixed = random.uniform(-0.35, 0.35, size=3)
        self._strength = strength
        self._log_mean = 0.0
        x, y, z = inside_lps_mm.T.astype(np.float32)
        self._log_mean = float(np.log(np.mean(self(x, y, z), dtype=np.float64)))

    def __call__(
        self, x: npt.NDArray[np.float32], y: npt.NDArray[np.float32], z: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float32]:
        """Field at patient coordinates, mean 1 over the points given at the start."""
        u, v, w = (a / np.float32(100.0) for a in (x, y, z))
        a, b, c = (np.float32(f) for f in self._linear)
        d, e, f = (np.float32(f) for f in self._square)
        g, h, i = (np.float32(f) for f in self._mixed)
        log = u * (a + d * u + g * v) + v * (b + e * v + h * w) + w * (c + f * w + i * u)
        return np.asarray(np.exp(np.float32(self._strength) * log - np.float32(self._log_mean)), np.float32)

    def on(self, geometry: Geometry) -> npt.NDArray[np.float32]:
        """Field on a grid, shape (i, j, k)."""
        i, j, k = (np.arange(n, dtype=np.float64) for n in geometry.shape)
        out = np.empty(geometry.shape[::-1], np.float32)
        m = geometry.affine_lps
        plane = [(m[r, 0] * i)[None, :] + (m[r, 1] * j)[:, None] + m[r, 3] for r in range(3)]
        for n in range(geometry.shape[2]):
            x, y, z = ((plane[r] + m[r, 2] * k[n]).astype(np.float32) for r in range(3))
            out[n] = self(x, y, z)
        return out.transpose(2, 1, 0)
