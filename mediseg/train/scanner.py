"""What a scanner does to a 2-D image: coils, bias field, matrix, motion, ringing, spikes, noise, lost rows, display.

Every fault is drawn from a numpy generator, takes and gives float32 (rows, columns) with air near 0 and the brightest
tissue near 1, and costs a millisecond or two. MONAI has ringing, spikes, Rician noise and elastic deformation, at 1.1,
5.0, 2.5 and 8.1 ms for 192 x 192 pixels on one core; here they are numpy and OpenCV, which do not need torch.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Generator = np.random.Generator

#: From the sharpest to the coarsest matrix, in mm.
FINEST_MM, COARSEST_MM = 0.4, 2.0
_AIR = np.float32(0.004)


def scan(rng: Generator, image: Floats, pixel_mm: float) -> Floats:
    """Return ``image`` (pixels of ``pixel_mm``) as some scanner would give it, on the same grid.

    The order is the one of acquisition: coil and field, matrix with ringing, motion, spikes and noise, then the rows
    that were lost, the display curve and the field of view. Each fault has its own chance.
    """
    image = np.clip(image, 0, None)
    if rng.random() < 0.7:
        image = shaded(rng, image)
    if rng.random() < 0.35:
        image = coil(rng, image)
    if rng.random() < 0.12:
        image = ghosted(rng, image)
    image = acquired(rng, image, pixel_mm)
    if rng.random() < 0.05:
        image = lost_rows(rng, image)
    if rng.random() < 0.6:
        image = curved(rng, image)
    if rng.random() < 0.06:
        image = inverted(rng, image)
    return image


def shaded(rng: Generator, image: Floats) -> Floats:
    """Multiply by a smooth random field, up to about threefold from end to end."""
    knots = int(rng.integers(2, 6))
    coarse = rng.normal(0, rng.uniform(0.05, 0.4), (knots, knots)).astype(np.float32)
    return image * np.exp(cv2.resize(coarse, image.shape[::-1], interpolation=cv2.INTER_CUBIC))


def coil(rng: Generator, image: Floats) -> Floats:
    """Let the brightness fall off towards one side, as from a surface coil or the end of a head coil."""
    rows, columns = (np.linspace(-1, 1, n, dtype=np.float32) for n in image.shape)
    angle, depth, start = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 2.0), rng.uniform(-0.6, 0.6)
    far = np.float32(np.cos(angle)) * columns[None] + np.float32(np.sin(angle)) * rows[:, None] - np.float32(start)
    return image / (1 + np.float32(depth) * np.clip(far, 0, None) ** 2)


def ghosted(rng: Generator, image: Floats) -> Floats:
    """Move the head between lines of k-space: in a few jumps, or to and fro; along rows or columns."""
    lines_first = rng.random() < 0.5
    k = np.fft.fft2(image if lines_first else image.T)
    lines = k.shape[0]
    order = np.fft.fftfreq(lines)
    if rng.random() < 0.5:  # pulsation: every n-th line is moved
        moved = np.sin(2 * np.pi * np.arange(lines) / rng.uniform(2, 8)) * rng.uniform(0.2, 1.5)
    else:  # jumps: the rest of the scan is moved, but not k-space's middle, or it would be the picture
        moved = np.where(np.abs(order) > rng.uniform(0.03, 0.2), rng.normal(0, 1.5), 0.0) * np.sign(order)
    k *= np.exp(-2j * np.pi * order * moved)[:, None]
    back = np.abs(np.fft.ifft2(k)).astype(np.float32)
    return np.ascontiguousarray(back if lines_first else back.T)


def acquired(rng: Generator, image: Floats, pixel_mm: float) -> Floats:
    """Bring the image to a matrix of 0.4 to 2 mm (pixels up to 1.6 times longer than wide), add noise, and back."""
    sharp = rng.random() < 0.4
    mm = np.exp(rng.uniform(np.log(FINEST_MM), np.log(COARSEST_MM))) * np.exp(rng.uniform(-0.24, 0.24, 2))
    mm = np.maximum(np.clip(mm, FINEST_MM, COARSEST_MM), 0.0 if not sharp else pixel_mm)
    size = image.shape[::-1]
    grid = [max(24, round(n * pixel_mm / float(max(step, pixel_mm)))) for n, step in zip(size, mm, strict=True)]
    if sharp:
        grid = list(size)
    if rng.random() < 0.3:
        image = np.asarray(
            cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.3, 0.9)) / min(1.0, pixel_mm)), np.float32
        )
    shrunk = cv2.resize(image, (grid[0], grid[1]), interpolation=cv2.INTER_AREA)
    coarse = noisy(rng, ringing(rng, np.asarray(shrunk, np.float32)))
    if list(size) == grid:
        return coarse
    kind = (cv2.INTER_CUBIC, cv2.INTER_LINEAR, cv2.INTER_NEAREST)[int(rng.choice(3, p=(0.5, 0.45, 0.05)))]
    return np.clip(cv2.resize(coarse, size, interpolation=kind), 0, None)


def ringing(rng: Generator, image: Floats) -> Floats:
    """Cut off k-space beyond 0.4-0.8 of its radius, along both axes, in one image of twelve."""
    share, chance = rng.uniform(0.4, 0.8, 2), rng.random()
    if chance > 1 / 12:
        return image
    k = np.fft.rfft2(image)
    k[np.abs(np.fft.fftfreq(image.shape[0])) > share[0] / 2] = 0
    k[:, np.fft.rfftfreq(image.shape[1]) > share[1] / 2] = 0
    return np.clip(np.fft.irfft2(k, image.shape), 0, None).astype(np.float32)


def noisy(rng: Generator, image: Floats) -> Floats:
    """Add spikes (stripes), Rician noise and an offset; half of the time empty air stays exactly 0, as after a mask."""
    empty = image <= _AIR
    if rng.random() < 0.04:
        image = image + stripes(rng, image.shape)
    if rng.random() < 0.75:
        sigma = np.float32(rng.uniform(0.0, 0.07) * (rng.random() if rng.random() < 0.5 else 1.0))
        parts = rng.standard_normal((2, *image.shape), dtype=np.float32) * sigma
        image = np.hypot(image + parts[0], parts[1])
    if rng.random() < 0.15:
        image = image + np.float32(rng.uniform(0, 0.3))
    image = np.clip(image, 0, None)
    return np.where(empty, np.float32(0), image) if rng.random() < 0.5 else image


def stripes(rng: Generator, shape: tuple[int, ...]) -> Floats:
    """Return the stripes of one bright point of k-space."""
    waves = rng.uniform(3, 0.45 * min(shape)) * np.exp(1j * rng.uniform(0, 2 * np.pi))
    rows, columns = (np.linspace(0, 2 * np.pi, n, dtype=np.float32) for n in shape)
    phase = np.float32(waves.real) * columns[None] + np.float32(waves.imag) * rows[:, None]
    return np.cos(phase + np.float32(rng.uniform(0, 6))) * np.float32(rng.uniform(0.01, 0.08))


def lost_rows(rng: Generator, image: Floats) -> Floats:
    """Lose one to three rows or columns (slices of an axial or coronal stack): black, or the neighbour's copy."""
    image = image.copy()
    lines = image if rng.random() < 0.7 else image.T
    for _ in range(int(rng.integers(1, 4))):
        at, wide = int(rng.integers(1, lines.shape[0] - 4)), int(rng.integers(1, 4))
        lines[at : at + wide] = 0 if rng.random() < 0.5 else lines[at - 1]
    return image


def curved(rng: Generator, image: Floats) -> Floats:
    """Apply a gamma and, half of the time, a random rising curve."""
    top = np.float32(max(1e-3, float(np.percentile(image[::2, ::2], 99.5))))
    scaled = np.clip(image / top, 0, 1.5)
    scaled = cv2.pow(scaled, float(np.exp(rng.uniform(-0.4, 0.4))))
    if rng.random() < 0.5:
        steps = rng.gamma(rng.uniform(2.0, 8.0), size=8)
        knots = np.concatenate([[0.0], np.cumsum(steps) / steps.sum()]) * 1.5
        table = np.interp(np.linspace(0, 2, 1025), np.linspace(0, 1.5, 9), knots).astype(np.float32)
        scaled = table[(np.clip(scaled, 0, 2) * 512).astype(np.int16)]
    return np.asarray(scaled, np.float32)


def inverted(rng: Generator, image: Floats) -> Floats:
    """Turn dark for bright, in the head alone or everywhere."""
    top = np.float32(max(1e-3, float(np.percentile(image[::2, ::2], 99))))
    scaled = np.clip(image / top, 0, 1.2)
    turned = np.clip(np.float32(rng.uniform(0.9, 1.1)) - scaled, 0, None)
    if rng.random() < 0.7:
        head = cv2.morphologyEx(
            (scaled > 0.1).astype(np.uint8), cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (31, 31))
        )
        turned = turned * cv2.GaussianBlur(head.astype(np.float32), (0, 0), 1.0)
    return np.asarray(turned, np.float32)


def cut_view(rng: Generator, image: Floats, target: Floats, chance: float = 0.35) -> tuple[Floats, Floats]:
    """Set both to 0 outside a random field of view, which may even cut the callosum."""
    if rng.random() > chance:
        return image, target
    keep = np.zeros(image.shape, np.float32)
    edges = []
    for n in image.shape:
        low, high = (int(rng.integers(0, max(1, n // 4))) * int(rng.integers(0, 2)) for _ in range(2))
        edges.append(slice(low, n - high))
    keep[tuple(edges)] = 1
    return image * keep, target * keep
