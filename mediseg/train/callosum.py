"""Train the corpus-callosum network on mid-sagittal slices, and export it as a bundle.

The slices are 512 x 512 at 0.5 mm, face left, level with the AC-PC line and centred on its midpoint (a folder with
``index.csv``, ``images/*.jpg``, ``masks/*.png``). The network sees them at 1 mm: turned, shifted, zoomed, cut, coarse,
noisy and recoloured, with what stands around a head in other scans. The targets are area fractions, not labels, so
that the probability can be resampled to a finer grid and thresholded there.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from dataclasses import field as field_
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch

from mediseg.errors import UsageError
from mediseg.numerics.intensity import normalize_percentiles
from mediseg.train.callosum_maps import Slab, load_slabs
from mediseg.train.loop import Batch
from mediseg.train.negatives import Sources, draw_negative, load_sources
from mediseg.train.painted_slices import draw_painted, whole_slice_affine

HELD_OUT_SITES = ("Pitt", "Olin", "CMU_b", "MaxMun_d")
DEV_SHARE = 0.03
SOURCE_MM = 0.5
GENTLE_SHARE = 0.35  # of the windows are turned, shifted, zoomed and cut, but look nearly as they were scanned
FINE = 2  # the image is warped at twice the network's resolution, then area-averaged

RUNTIME = {
    "name": "callosum-unet",
    "kind": "callosum",
    "licence": "CC-BY-NC-SA-3.0 (weights trained on ABIDE I)",
    "input": {
        "name": "image",
        "dims": 2,
        "spacing_mm": 1.0,
        "orientation": "rows superior to inferior, columns anterior to posterior (face left)",
        "pad_multiple": 16,
        "pad": "zeros at the ends, after normalize",
        "resample": "area average from finer pixels, linear or cubic from coarser ones",
        "normalize": {"kind": "percentiles", "low": 1.0, "high": 99.0, "clip": [-0.5, 1.5]},
    },
    "output": {
        "name": "probability",
        "kind": "probability",
        "threshold": 0.5,
        "join": 0.2,
        "phases": [[0.0, 0.0], [0.5, 0.0], [0.0, 0.5], [0.5, 0.5]],
        "use": "run once a phase (pixels of 1 mm by which the grid is shifted down and to the right), resample each "
        "probability linearly to the image's own grid and average; keep what reaches threshold and of that the largest "
        "part, where parts joined by a probability of join or more count as one",
    },
}
METADATA = {
    "version": "0.1.0",
    "changelog": {"0.1.0": "first version"},
    "task": "Segmentation of the corpus callosum on the mid-sagittal slice",
    "description": "A 2-D U-Net (0.9 M parameters, 1 mm) that gives the callosum's probability on a whole T1 slice",
    "authors": "mediseg",
    "copyright": "The mediseg authors",
    "intended_use": "Research. Not a medical device; not for diagnosis. T1-weighted mid-sagittal slices",
    "data_source": "ABIDE I (Di Martino et al. 2014); masks by Kucharsky Hiess et al. 2015",
    "data_type": "8-bit images and masks",
    "references": [
        "Di Martino A. et al. The autism brain imaging data exchange. Mol Psychiatry 19:659-667, 2014",
        "Kucharsky Hiess R. et al. Corpus callosum area and brain volume in autism spectrum disorder. "
        "J Autism Dev Disord 45:3107-3114, 2015",
    ],
    "network_data_format": {
        "inputs": {
            "image": {
                "type": "image",
                "format": "magnitude",
                "modality": "MR",
                "num_channels": 1,
                "spatial_shape": ["16*n", "16*n"],
                "dtype": "float32",
                "value_range": [-0.5, 1.5],
                "is_patch_data": False,
                "channel_def": {"0": "T1-weighted mid-sagittal slice, 1 mm, face left"},
            }
        },
        "outputs": {
            "probability": {
                "type": "probabilities",
                "format": "segmentation",
                "num_channels": 1,
                "spatial_shape": ["16*n", "16*n"],
                "dtype": "float32",
                "value_range": [0, 1],
                "is_patch_data": False,
                "channel_def": {"0": "corpus callosum"},
            }
        },
    },
}

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Generator = np.random.Generator
Shape = tuple[int, int]  # rows, columns


@dataclass(frozen=True, slots=True)
class Slices:
    """Images and masks (n, 512, 512) uint8, masks 0 or 255, with one id and one site each."""

    images: Bytes
    masks: Bytes
    ids: tuple[str, ...]
    sites: tuple[str, ...]

    def only(self, keep: Sequence[bool]) -> Slices:
        """Return the slices where ``keep`` is true."""
        at = [i for i, wanted in enumerate(keep) if wanted]
        return Slices(self.images[at], self.masks[at], tuple(self.ids[i] for i in at), tuple(self.sites[i] for i in at))


def load(data: Path, cache: Path | None = None) -> Slices:
    """Read every slice of ``data``; the pixels are kept in ``cache`` (.npy) to open quickly the next time."""
    index = data / "index.csv"
    if not index.is_file():
        msg = f"no index.csv in {data}: --data must name the folder with index.csv, images/ and masks/"
        raise FileNotFoundError(msg)
    with index.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    ids = tuple(row["id"] for row in rows)
    pixels = np.load(cache) if cache is not None and cache.is_file() else None
    if pixels is None or pixels.shape[1] != len(ids):
        pixels = np.stack(
            [[_grey(data / "images" / f"{i}.jpg") for i in ids], [_grey(data / "masks" / f"{i}.png") for i in ids]]
        )
        if cache is not None:
            cache.parent.mkdir(parents=True, exist_ok=True)
            np.save(cache, pixels)
    return Slices(pixels[0], pixels[1], ids, tuple(row["site"] for row in rows))


def training_part(slices: Slices, seed: int = 0) -> Slices:
    """Leave out the held-out sites and the development slices (a random 3 % of the rest)."""
    dev = np.random.default_rng(seed).random(len(slices.ids)) < DEV_SHARE
    return slices.only([s not in HELD_OUT_SITES and not d for s, d in zip(slices.sites, dev, strict=True)])


@dataclass(frozen=True, slots=True)
class Made:
    """What is drawn beside real slices: ``slabs`` to paint callosa from, ``plain`` sources of slices without one."""

    slabs: tuple[Slab, ...] = ()
    plain: Sources = field_(default_factory=dict)


NOTHING_MADE = Made()


def load_made(
    data: Path | None, cache: Path, say: Callable[[str], None] | None = None, *, painted: bool, plain: bool
) -> Made:
    """Read what is asked for under ``data`` (labelmaps/, heads_nichart/, spine/). Raises UsageError without a folder.

    ``painted``: label maps to paint from; ``plain``: slices without a callosum.
    """
    if data is None:
        if painted or plain:
            raise UsageError("augmentation.painted and .plain need data.maps: a folder with labelmaps/ and the like")
        return Made()
    return Made(tuple(load_slabs(data, cache, say=say)) if painted else (), load_sources(data) if plain else {})


def batches(
    slices: Slices,
    seed: int = 0,
    pixels: int = 8 * 192 * 192,
    gentle: float = GENTLE_SHARE,
    *,
    painted: float = 0.0,
    plain: float = 0.0,
    made: Made = NOTHING_MADE,
) -> Batch:
    """Return ``batch(step)``: windows (N, 1, S, S) and area fractions of the same shape, drawn from (seed, step).

    ``gentle``: share of the real windows whose grey levels stay nearly as scanned. ``painted``: share of all windows
    that is painted from label maps; ``plain``: share of windows without a callosum.
    """

    def window(rng: Generator, size: int) -> tuple[Floats, Floats]:
        kind = rng.random()
        if kind < painted:
            slab, shape = made.slabs[int(rng.integers(len(made.slabs)))], (size, size)
            return draw_painted(rng, slab, whole_slice_affine(rng, shape), shape)
        if kind < painted + plain:
            return draw_negative(rng, made.plain, (size, size)), np.zeros((size, size), np.float32)
        i = int(rng.integers(len(slices.ids)))
        return draw(rng, slices.images[i], slices.masks[i], size, gentle)

    def batch(step: int) -> tuple[torch.Tensor, torch.Tensor]:
        rng = np.random.default_rng((seed, step))
        size = int(rng.choice((128, 160, 192, 256), p=(0.4, 0.1, 0.35, 0.15)))
        return stacked([window(rng, size) for _ in range(max(1, round(pixels / size**2)))])

    return batch


def stacked(pairs: Sequence[tuple[Floats, Floats]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return windows and targets as (N, 1, rows, columns)."""
    windows, targets = (torch.from_numpy(np.stack(part)[:, None]) for part in zip(*pairs, strict=True))
    return windows, targets


def draw(
    rng: Generator, image: Bytes, mask: Bytes, size: int, gentle_share: float = GENTLE_SHARE
) -> tuple[Floats, Floats]:
    """Return one augmented window (size, size) at 1 mm, normalised, and the callosum's area fractions in it."""
    if rng.random() < 0.02:
        noise = _texture(rng, size) + rng.normal(0, rng.uniform(0, 0.3), (size, size))
        return normalize_percentiles(noise.astype(np.float32)), np.zeros((size, size), np.float32)
    gentle = rng.random() < gentle_share
    if rng.random() < 0.55:
        image = surround(rng, image)
    matrix = window_affine(rng, image.shape[0], size)
    shape = (size, size)
    where = bend(rng, mask, matrix, shape, share=0.0 if gentle else 0.7)
    target = resized(sampled(mask, where), shape)
    fine = sampled(image, where)
    seen = touch(rng, fine, shape) if gentle else acquire(rng, field(rng, contrast(rng, fine)), shape)
    seen, target = cut(rng, seen, target)
    return normalize_percentiles(seen), target


def window_affine(rng: Generator, frame: int, size: int) -> npt.NDArray[np.float64]:
    """Return the 2 x 3 matrix from fine window pixels (0.5 mm) to frame pixels (0.5 mm).

    Turned up to 30 degrees (one in six: 45), zoomed 0.8-1.25 with up to 6 % more along one axis, the frame's centre
    up to 45 mm from the window's (more in large windows; a few lie beyond the callosum altogether).
    """
    angle = np.deg2rad(rng.uniform(-1, 1) * (45 if rng.random() < 1 / 6 else 30))
    zoom = np.exp(rng.uniform(np.log(0.8), np.log(1.25)))
    stretch = np.exp(rng.uniform(-0.06, 0.06))
    reach = 45.0 + (size - 192) / 2
    shift = rng.uniform(-reach, reach, 2)
    if rng.random() < 0.04:
        away = rng.uniform(0, 2 * np.pi)
        shift = rng.uniform(100, 140) * np.array([np.cos(away), np.sin(away)])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = turn @ np.diag([stretch / zoom, 1 / (stretch * zoom)])
    middle = np.full(2, (FINE * size - 1) / 2) + shift / SOURCE_MM
    return np.column_stack([linear, np.full(2, (frame - 1) / 2) - linear @ middle])


def bend(rng: Generator, mask: Bytes, matrix: npt.NDArray[np.float64], shape: Shape, share: float) -> Floats:
    """Return the frame position (2R, 2C, 2) of every fine window pixel: the affine, and for a share a soft bend.

    The bend is random and smooth (up to about 3 mm), and moves the callosum's border by up to 1.6 mm on each side along
    the gradient of its blurred mask, for thinner and thicker ones: the slices hold few old or diseased brains.
    """
    rows, columns = shape
    fine = np.arange(FINE * max(shape), dtype=np.float32)
    place = np.stack(np.meshgrid(fine[: FINE * columns], fine[: FINE * rows]), axis=-1)
    if rng.random() < share:
        knots = int(rng.integers(5, 14))
        moves = rng.normal(0, rng.uniform(0, 1.3), (knots, knots, 2)).astype(np.float32)
        moves = cv2.resize(moves, (columns, rows), interpolation=cv2.INTER_CUBIC)
        halved = matrix @ np.array([[FINE, 0, (FINE - 1) / 2], [0, FINE, (FINE - 1) / 2], [0, 0, 1]])
        shrunk = cv2.warpAffine(mask, halved, (columns, rows), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        soft = cv2.GaussianBlur(shrunk.astype(np.float32), (0, 0), rng.uniform(2.0, 3.0))
        inward = np.stack(np.gradient(soft)[::-1], axis=-1)
        steepest = float(np.abs(inward).max())
        moves -= np.float32(rng.uniform(-0.8, 1.6) / max(steepest, 1e-3)) * inward
        place += FINE * cv2.resize(moves, (FINE * columns, FINE * rows), interpolation=cv2.INTER_LINEAR)
    return cv2.transform(place, matrix).astype(np.float32)


def surround(rng: Generator, image: Bytes) -> Bytes:
    """Fill what is black around and below the head with texture: face, neck, cushions, a wrapped shoulder.

    The slices end below the brain and have no face. The texture never comes nearer than about 60 mm above, 25 mm below
    the frame's centre, and never over the head itself.
    """
    half = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    side = half.shape[0]
    grid = (np.arange(side, dtype=np.float32) - (side - 1) / 2)[None], (np.arange(side, dtype=np.float32))[:, None]
    columns, rows = grid[0], grid[1] - (side - 1) / 2
    region = np.zeros(half.shape, bool)
    if rng.random() < 0.7:  # face: in front, below
        region |= _ellipse(columns, rows, (rng.uniform(-85, -50), rng.uniform(45, 85)), rng.uniform(30, 65, 2))
    if rng.random() < 0.7:  # neck and throat: straight down
        top, left = rng.uniform(30, 65), rng.uniform(-60, -10)
        region |= (rows > top) & (columns > left) & (columns < left + rng.uniform(50, 120))
    if rng.random() < 0.3:  # anything far away
        radius = rng.uniform(100, 125)
        region |= columns**2 + rows**2 > radius**2
    level = np.float32(rng.uniform(0.1, 1.1) * max(30.0, float(np.percentile(half, 97))))
    paint = np.clip(_texture(rng, side) * level, 0, 255)
    body = cv2.morphologyEx((half > 12).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))
    weight = cv2.GaussianBlur((region & (body == 0)).astype(np.float32), (0, 0), rng.uniform(0.5, 2.0))
    shape = (image.shape[1], image.shape[0])
    weight, paint = cv2.resize(weight, shape), cv2.resize(paint, shape)
    mixed: Bytes = (image * (1 - weight) + paint * weight).astype(np.uint8)
    return mixed


def touch(rng: Generator, fine: Floats, shape: Shape) -> Floats:
    """Bring the fine image to ``shape`` nearly as it is: a little gamma, field and noise, so that real looks count."""
    gamma, sigma = np.exp(rng.uniform(-0.2, 0.2)), rng.uniform(0, 0.02)
    coarse = rng.normal(0, 0.1, (3, 3)).astype(np.float32)
    image = cv2.resize(fine, shape[::-1], interpolation=cv2.INTER_AREA) ** np.float32(gamma)
    image = image * np.exp(cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC))
    return np.clip(image + rng.normal(0, sigma, image.shape).astype(np.float32) * (image > 0), 0, None)


def coarser(rng: Generator, fine: Floats) -> Floats:
    """Return the fine image as a scan of a coarser matrix shows it: pixels of 1 to 2.2 window pixels, anywhere.

    Smoothed, sampled at a random phase and interpolated back. What is thin beside the callosum (the dark line between
    it and a bright artery) goes; where its border is stays.
    """
    step = FINE * float(np.exp(rng.uniform(0, np.log(2.2))))
    smooth = cv2.GaussianBlur(fine, (0, 0), step * float(rng.uniform(0.3, 0.6)))
    phase = rng.uniform(0, step, 2)
    matrix = np.array([[step, 0, phase[0] - step], [0, step, phase[1] - step]])
    rows, columns = (int(np.ceil(n / step)) + 2 for n in fine.shape)
    how = cv2.WARP_INVERSE_MAP | cv2.INTER_LINEAR
    coarse = cv2.warpAffine(smooth, matrix, (columns, rows), flags=how, borderMode=cv2.BORDER_REPLICATE)
    kind = cv2.INTER_CUBIC if rng.random() < 0.3 else cv2.INTER_LINEAR
    back = cv2.warpAffine(coarse, matrix, fine.shape[::-1], flags=kind, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(np.clip(back, 0, None), np.float32)


def contrast(rng: Generator, image: Floats) -> Floats:
    """Recolour: a random rising curve, a gamma, and for one in ten the head turned dark for bright."""
    top = max(1e-3, float(np.percentile(image, 99.5)))
    scaled = np.clip(image / np.float32(top), 0, 1.5)
    if rng.random() < 0.5:
        steps = rng.gamma(rng.uniform(1.0, 6.0), size=8)
        knots = np.concatenate([[0.0], np.cumsum(steps) / steps.sum()])
        curve = np.interp(scaled, np.linspace(0, 1.5, 9), knots * 1.5).astype(np.float32)
        scaled = curve + np.float32(rng.uniform(0, 0.5)) * (scaled - curve)
    if rng.random() < 0.6:
        scaled = scaled ** np.float32(np.exp(rng.uniform(-0.5, 0.5)))
    if rng.random() < 0.1:
        turned = np.clip(np.float32(rng.uniform(0.7, 1.1)) - scaled, 0, None)
        if rng.random() < 0.6:
            head = cv2.morphologyEx((scaled > 0.08).astype(np.float32), cv2.MORPH_CLOSE, np.ones((25, 25), np.uint8))
            turned = turned * cv2.GaussianBlur(head, (0, 0), 2.0)
        scaled = turned
    return scaled


def field(rng: Generator, image: Floats) -> Floats:
    """Multiply by a smooth random field (up to about threefold from end to end) and sometimes add a ghost."""
    if rng.random() < 0.7:
        knots = int(rng.integers(2, 6))
        coarse = rng.normal(0, rng.uniform(0.05, 0.45), (knots, knots)).astype(np.float32)
        image = image * np.exp(cv2.resize(coarse, image.shape[::-1], interpolation=cv2.INTER_CUBIC))
    if rng.random() < 0.08:
        axis = int(rng.integers(2))
        image = image + np.float32(rng.uniform(0.02, 0.12)) * np.roll(image, int(rng.integers(20, 200)), axis)
    return image


def acquire(rng: Generator, fine: Floats, shape: Shape) -> Floats:
    """Bring the fine image to ``shape`` as a scanner would: blur, a matrix (up to 3 pixels), noise, interpolation."""
    if rng.random() < 0.35:
        sigma = rng.uniform(0.3, 2.5, 2) if rng.random() < 0.5 else np.full(2, rng.uniform(0.3, 2.0))
        fine = cv2.GaussianBlur(fine, (0, 0), sigmaX=float(sigma[0]), sigmaY=float(sigma[1]))
    size = np.array(shape[::-1])
    grid = size
    if rng.random() < 0.45:
        pixel = np.exp(rng.uniform(0, np.log(3.0))) * np.exp(rng.uniform(-0.25, 0.25, 2))
        grid = np.maximum(32, np.round(size / np.maximum(pixel, 0.75))).astype(int)
    coarse = cv2.resize(fine, (int(grid[0]), int(grid[1])), interpolation=cv2.INTER_AREA)
    coarse = _noise(rng, coarse)
    if (grid == size).all():
        return coarse
    if (grid > size).any():
        return cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_AREA)
    kind = cv2.INTER_CUBIC if rng.random() < 0.5 else cv2.INTER_LINEAR
    return cv2.resize(coarse, shape[::-1], interpolation=kind)


def cut(rng: Generator, image: Floats, target: Floats) -> tuple[Floats, Floats]:
    """Set both to 0 outside a random field of view (one in three), which may even cut the callosum."""
    if rng.random() > 0.35:
        return image, target
    size = np.array(image.shape)
    low = rng.integers(0, size // 4) * rng.integers(0, 2, 2)
    high = size - rng.integers(0, size // 4) * rng.integers(0, 2, 2)
    keep = np.zeros(image.shape, np.float32)
    keep[low[0] : high[0], low[1] : high[1]] = 1
    return image * keep, target * keep


def _noise(rng: Generator, image: Floats) -> Floats:
    """Add Rician noise and an offset; half of the time what was empty stays exactly 0, as after a mask or a warp."""
    empty = image <= 0.004
    if rng.random() < 0.7:
        sigma = rng.uniform(0.0, 0.09) * (rng.random() if rng.random() < 0.5 else 1.0)
        parts = rng.normal(0, sigma, (2, *image.shape)).astype(np.float32)
        image = np.hypot(image + parts[0], parts[1])
    if rng.random() < 0.2:
        image = image + np.float32(rng.uniform(0, 0.3))
    return np.where(empty, np.float32(0), image) if rng.random() < 0.5 else image


def _texture(rng: Generator, size: int) -> Floats:
    """Return random structures in 0..1: smooth noise of several scales, some of it cut into layers and blobs."""
    total = np.zeros((size, size), np.float32)
    for _ in range(int(rng.integers(1, 4))):
        knots = rng.integers(4, 48, 2)
        layer = cv2.resize(
            rng.random((int(knots[0]), int(knots[1])), np.float32), (size, size), interpolation=cv2.INTER_CUBIC
        )
        if rng.random() < 0.6:
            layer = 1 / (1 + np.exp(-(layer - np.float32(rng.uniform(0.35, 0.75))) * np.float32(rng.uniform(8, 60))))
        total = np.maximum(total, layer * np.float32(rng.uniform(0.3, 1.0)))
    return np.clip(total, 0, 1)


def _ellipse(
    columns: Floats, rows: Floats, middle: tuple[float, float], radii: npt.NDArray[np.float64]
) -> npt.NDArray[np.bool_]:
    inside: npt.NDArray[np.bool_] = ((columns - middle[0]) / radii[0]) ** 2 + ((rows - middle[1]) / radii[1]) ** 2 < 1
    return inside


def resized(image: Floats, shape: Shape) -> Floats:
    """Return ``image`` at ``shape``, averaged over the area of each new pixel."""
    return cv2.resize(image, shape[::-1], interpolation=cv2.INTER_AREA).astype(np.float32)


def sampled(image: Bytes, where: Floats) -> Floats:
    """Return ``image`` / 255 at frame positions (column, row), linearly; 0 beyond the frame."""
    return cv2.remap(image, where, None, cv2.INTER_LINEAR).astype(np.float32) / np.float32(255.0)


def _grey(path: Path) -> Bytes:
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if image is None:
        msg = f"cannot read {path}: the index names it, but it is missing or not an image"
        raise FileNotFoundError(msg)
    return image.astype(np.uint8)
