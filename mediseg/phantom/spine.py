"""A spine phantom: vertebrae, discs, cord, CSF, muscle, fat and skin along a bent curve, everything about it known.

Points of patient space become coordinates about the curve: how far along it, to the left of it, behind it. End plates
stand at right angles to the curve, so that a Cobb angle is the difference of two of its slopes. The image is made of
analytic shapes and band-limited random textures; it is not a person's.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from mediseg.errors import UsageError
from mediseg.geometry import Array, Geometry
from mediseg.phantom._texture import Texture
from mediseg.volume import Volume

Pixels = npt.NDArray[np.float32]
SPINE_VERSION = 1
TOP_MM = 360.0  # the phantom reaches from here down to minus this
_WHITE_LEVEL = 1200.0
_LEVELS = (
    [(f"C{n}", 16.0 + 0.3 * n) for n in range(1, 8)]
    + [(f"T{n}", 19.0 + 0.8 * n) for n in range(1, 13)]
    + [(f"L{n}", 32.0 + 0.8 * n) for n in range(1, 6)]
    + [("S1", 30.0), ("S2", 26.0), ("S3", 22.0)]
)


@dataclass(frozen=True)
class SpineTruth:
    """Where the phantom's vertebrae are: names, centres (n, 3) LPS mm, and unit directions of the spine there."""

    names: tuple[str, ...]
    centers_lps_mm: Array
    directions_lps: Array

    def cobb_deg(self, upper: str, lower: str) -> float:
        """Angle between the end plates of two vertebrae, in space."""
        a, b = (self.directions_lps[self.names.index(name)] for name in (upper, lower))
        return float(np.degrees(np.arccos(np.clip(a @ b, -1, 1))))


@dataclass(frozen=True)
class _Curve:
    """The spine's middle line x(z), y(z): lordosis and kyphosis, and a lateral bow of a given Cobb angle."""

    cobb_deg: float
    scale: float

    def at(self, z: Array) -> tuple[Array, Array, Array, Array]:
        """Return x, y and their slopes against z."""
        wave = 2 * np.pi / 300.0
        amplitude = np.tan(np.radians(self.cobb_deg / 2)) / wave
        fade = 2 * np.pi / 620.0
        x = amplitude * np.sin(wave * (z - 20))
        y = 16.0 * np.sin(fade * (z + 40)) - 0.02 * z
        return x, y, amplitude * wave * np.cos(wave * (z - 20)), 16.0 * fade * np.cos(fade * (z + 40)) - 0.02


@dataclass(frozen=True)
class _Anatomy:
    """One person: the curve, the heights of the discs, and textures."""

    curve: _Curve
    seed: int

    @cached_property
    def edges(self) -> Array:
        """Upper end of every level along the spine (mm), from the top; the last one is the lower end."""
        random = np.random.default_rng([self.seed, 11])
        heights = np.array([h for _, h in _LEVELS]) * random.uniform(0.94, 1.06, len(_LEVELS)) * self.curve.scale
        return np.asarray(TOP_MM - 25.0 - np.concatenate([[0.0], np.cumsum(heights)]))

    @cached_property
    def levels(self) -> Array:
        """Brightness of every body, brightness and height of every disc: random, fixed by the seed (n, 3)."""
        random = np.random.default_rng([self.seed, 12])
        n = len(_LEVELS)
        return np.column_stack(
            [random.uniform(0.38, 0.55, n), random.uniform(0.3, 0.85, n), random.uniform(0.16, 0.24, n)]
        )

    def truth(self) -> SpineTruth:
        middles = (self.edges[:-1] + self.edges[1:]) / 2
        x, y, dx, dy = self.curve.at(middles)
        directions = np.column_stack([dx, dy, np.ones_like(dx)])
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        return SpineTruth(tuple(name for name, _ in _LEVELS), np.column_stack([x, y, middles]), directions)

    def signal(self, points: Array) -> Pixels:
        """Return the tissue's brightness (0 air to about 1 CSF) at points (..., 3) LPS mm."""
        x, y, z = (points[..., n].astype(np.float32) for n in range(3))
        cx, cy, dx, dy = (part.astype(np.float32) for part in self.curve.at(z.astype(np.float64)))
        left, back = x - cx, y - cy
        along = z + dx * left + dy * back
        share = np.clip((TOP_MM - along) / (2 * TOP_MM), 0, 1)  # 0 at the top, 1 at the bottom
        out = self._body(x, y, z, points)
        near = (np.abs(left) < 32) & (back > -32) & (back < 84)
        parts = [part[near] for part in (left, back, along, share)]
        inner = out[near]
        self._posterior(inner, *parts)
        self._vertebrae(inner, *parts)
        self._canal(inner, *parts)
        out[near] = inner
        return out

    def _texture(self, number: int, size_mm: float) -> Texture:
        return Texture(np.random.default_rng([self.seed, 20 + number]), size_mm)

    def _body(self, x: Pixels, y: Pixels, z: Pixels, points: Array) -> Pixels:
        """Muscle and organs inside a skin, fat under the back, air in front of the neck."""
        coarse, fine = self._texture(0, 26.0)(points), self._texture(1, 7.0)(points)
        out = np.asarray(0.3 + 0.13 * coarse + 0.07 * fine, np.float32)
        depth = (82 + 9 * np.sin(z / 75) + 5 * np.cos(z / 33) - y - 0.0012 * x * x).astype(np.float32)
        fat = 10 + 5 * np.sin(z / 52 + 1)
        _lay(out, 0.78 + 0.1 * fine, _edge(depth - fat, -1))
        _lay(out, np.float32(0.55), _edge(depth - 2.5, -1))
        _lay(out, np.float32(0.0), _edge(depth, -1))
        front = (y + 88 + 8 * np.sin(z / 60 + 2) + 0.02 * np.clip(z - 190, 0, None) ** 1.15).astype(np.float32)
        _lay(out, np.float32(0.0), _edge(front - 4 * coarse, -1))
        return out

    def _posterior(self, out: Pixels, left: Pixels, back: Pixels, along: Pixels, share: Pixels) -> None:
        """Spinous processes and the fat between them, one a level."""
        slanted = along + 0.35 * (back - 40)
        level, inside = self._level(slanted)
        bone, fat = self.levels[level, 0].astype(np.float32), np.float32(0.66)
        here = _edge(slanted - self.edges[-1] - 20, 1, 6.0) * _edge(slanted - self.edges[0], -1, 6.0)
        where = _ellipse(left, back - 50 - 6 * share, 6 + 3 * share, 15 + 4 * share) * here
        _lay(out, fat + (bone - fat) * _edge((inside - 0.42) * 20, 1), where)

    def _level(self, along: Pixels) -> tuple[npt.NDArray[np.intp], Pixels]:
        """Return which level, and the share of its height from its top."""
        level = np.clip(np.searchsorted(-self.edges, -along, side="right") - 1, 0, len(_LEVELS) - 1)
        top, bottom = self.edges[level], self.edges[level + 1]
        return level, ((top - along) / (top - bottom)).astype(np.float32)

    def _vertebrae(self, out: Pixels, left: Pixels, back: Pixels, along: Pixels, share: Pixels) -> None:
        level, inside = self._level(along)
        half_y, half_x = 8 + 10 * share, 12 + 12 * share
        body = _ellipse(left, back, half_x, half_y, power=4)
        grain = self._texture(2, 5.0)(np.stack([left, back, along], axis=-1))
        disc = self.levels[level, 2].astype(np.float32)
        height = (self.edges[level] - self.edges[level + 1]).astype(np.float32)
        nucleus = _ellipse(left, back - 1, 0.62 * half_x, 0.62 * half_y)
        spongy = self.levels[level, 0].astype(np.float32) + 0.06 * grain
        core = np.asarray(0.22 + (self.levels[level, 1].astype(np.float32) - 0.22) * nucleus, np.float32)
        from_plate = (inside - disc) * height  # mm below the upper end plate
        plate = np.exp(-(from_plate**2) / 1.3) + np.exp(-(((1 - inside) * height) ** 2) / 1.3)
        bone = spongy * (1 - 0.75 * np.clip(plate, 0, 1))
        here = (along > self.edges[-1]) & (along < self.edges[0])
        _lay(out, np.float32(0.1), body * here)
        inner = _ellipse(left, back, half_x - 1.6, half_y - 1.6, power=4) * here
        _lay(out, core + (bone - core) * _edge(from_plate, 1), inner)

    def _canal(self, out: Pixels, left: Pixels, back: Pixels, along: Pixels, share: Pixels) -> None:
        behind = back - (8 + 10 * share) - 10.5
        _lay(out, np.float32(0.95), _ellipse(left, behind, 9.5, 7.5))
        conus = along - self.edges[19]  # ends at L1's upper plate
        cord = _ellipse(left, behind - 0.6, 5.6, 4.2) * _edge(conus, 1, 6.0)
        _lay(out, np.float32(0.5), cord)
        strands = np.sin(2.4 * left + 0.02 * along) * np.sin(1.9 * behind + 0.03 * along)
        _lay(
            out, np.float32(0.6), np.clip(strands, 0, 1) * _ellipse(left, behind - 2, 6.5, 4.5) * _edge(conus, -1, 6.0)
        )


def _edge(distance: Pixels, sign: int, width_mm: float = 0.9) -> Pixels:
    """1 on one side of a surface, 0 on the other, smooth across it (mm)."""
    return np.asarray(1 / (1 + np.exp(np.clip(-sign * distance / (0.4 * width_mm), -30, 30))), np.float32)


def _ellipse(a: Pixels, b: Pixels, half_a: Pixels | float, half_b: Pixels | float, power: int = 2) -> Pixels:
    radius = ((np.abs(a / half_a)) ** power + (np.abs(b / half_b)) ** power) ** (1 / power)
    return _edge(np.asarray((1 - radius) * np.minimum(half_a, half_b), np.float32), 1)


def _lay(out: Pixels, value: Pixels | np.float32, share: Pixels | npt.NDArray[np.bool_]) -> None:
    out += share * (value - out)


def _anatomy(cobb_deg: float, seed: int) -> _Anatomy:
    if not 0 <= cobb_deg <= 60:
        raise UsageError(f"the spine phantom's Cobb angle must be 0 to 60 degrees, not {cobb_deg:g}")
    scale = 1.0 + 0.03 * float(np.random.default_rng([seed, 10]).standard_normal())
    return _Anatomy(_Curve(cobb_deg, float(np.clip(scale, 0.93, 1.03))), seed)


def spine_truth(*, cobb_deg: float = 12.0, seed: int = 0) -> SpineTruth:
    """Return where the vertebrae of ``phantom_spine`` made with the same parameters are."""
    return _anatomy(cobb_deg, seed).truth()


def spine_grid(
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 4.0), width_mm: float = 64.0, tall_mm: float = 2 * TOP_MM
) -> Geometry:
    """Return a sagittal grid over the phantom: i to posterior, j to inferior, k to the right, 200 mm deep."""
    shape = [max(1, round(size / s)) for size, s in zip((200.0, tall_mm, width_mm), spacing_mm, strict=True)]
    axes = np.array([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
    return Geometry.from_axes(shape, axes, spacing_mm, center_lps_mm=(0.0, 0.0, 0.0))


def phantom_spine(
    *,
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 4.0),
    cobb_deg: float = 12.0,
    seed: int = 0,
    grid: Geometry | None = None,
) -> Volume:
    """Return a T2-like image of a whole spine, 720 mm tall, without noise or shading: float32, sagittal (PIR).

    ``spacing_mm`` is along posterior, inferior and right; ``grid`` is any other grid to paint it on, and then decides.
    ``cobb_deg`` is the lateral bow's angle (0 to 60), ``seed`` another person. Raises UsageError for another angle.
    """
    target = spine_grid(spacing_mm) if grid is None else grid
    anatomy = _anatomy(cobb_deg, seed)
    i, j, k = target.shape
    out = np.empty(target.shape, np.float32)
    flat = np.stack(np.meshgrid(np.arange(i), np.arange(j), indexing="ij"), axis=-1)
    for n in range(k):
        ijk = np.concatenate([flat, np.full((i, j, 1), n)], axis=-1)
        out[:, :, n] = anatomy.signal(target.lps_from_ijk(ijk))
    return Volume(np.clip(out, 0, None) * np.float32(_WHITE_LEVEL), target)
