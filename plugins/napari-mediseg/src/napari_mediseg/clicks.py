"""Smart click: a mask refined by single clicks through the network's own probability map. Arrays in, arrays out.

A random walker with priors (Grady 2005, CVPR): every pixel asks the network (its probability), its neighbours (less
where the probability changes between them) and the clicks (certain). What the network was unsure of follows a click;
what it was sure of needs more of them. One sparse system is solved on the window about mask and clicks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.sparse import coo_array, csc_array, diags_array
from scipy.sparse.linalg import splu

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

_PRIOR = 0.02  # how much a pixel asks the network against its neighbours
_EDGE = 60.0  # how fast neighbours stop to count where the probability changes
_LEAST = 0.02
_MARGIN_MM = 12.0
_SEED_MM = 0.8
_CRUMB_MM2 = 20.0
_REACH_MM = 9.0  # beyond this a click changes nothing


@dataclass(frozen=True)
class Click:
    """A click on a pixel (row, column): the structure is here, or is not."""

    row: int
    column: int
    is_inside: bool


def refined(
    probability: npt.NDArray[np.floating], mask: Mask, clicks: Sequence[Click], spacing_mm: tuple[float, float]
) -> Mask:
    """Return a mask of one slice (rows, columns) that agrees with every click.

    ``mask`` is what stands now: it is changed near clicks only. Raises ValueError for shapes that differ, and a click
    beyond the image.
    """
    if probability.shape != mask.shape or mask.ndim != 2:
        raise ValueError(
            f"the probability has shape {probability.shape}, the mask {mask.shape}: not one slice of one grid"
        )
    if not clicks:
        return mask.copy()
    inside, outside = _seeds(clicks, mask.shape, spacing_mm)
    window = _window(mask | inside | outside, spacing_mm)
    chance = np.clip(np.asarray(probability[window], np.float64), _LEAST, 1 - _LEAST)
    answer = _walked(chance, inside[window], outside[window], spacing_mm) >= 0.5
    near = ndimage.distance_transform_edt(~(inside | outside), sampling=spacing_mm)[window] <= _REACH_MM
    out = mask.copy()
    out[window] = np.where(near, answer, mask[window])
    return _without_crumbs(out, inside, int(_CRUMB_MM2 / (spacing_mm[0] * spacing_mm[1])))


def _without_crumbs(mask: Mask, inside: Mask, smallest: int) -> Mask:
    """Drop small parts, but the largest and those that were clicked on: a click that cuts in two keeps both halves."""
    labels, count = ndimage.label(mask)
    if count <= 1:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    keep = sizes >= smallest
    keep[[int(sizes.argmax()), *np.unique(labels[inside & mask])]] = True
    keep[0] = False
    return np.asarray(keep[labels])


def _seeds(clicks: Sequence[Click], shape: tuple[int, ...], spacing_mm: tuple[float, float]) -> tuple[Mask, Mask]:
    """Return discs about the clicks, inside ones and outside ones; where they meet, the later click counts."""
    inside, outside = np.zeros(shape, bool), np.zeros(shape, bool)
    rows, columns = np.indices(shape)
    for one in clicks:
        if not (0 <= one.row < shape[0] and 0 <= one.column < shape[1]):
            raise ValueError("a click lies beyond the image")
        away = np.hypot((rows - one.row) * spacing_mm[0], (columns - one.column) * spacing_mm[1])
        disc = away <= _SEED_MM
        disc[one.row, one.column] = True
        inside[disc], outside[disc] = one.is_inside, not one.is_inside
    return inside, outside


def _window(used: Mask, spacing_mm: tuple[float, float]) -> tuple[slice, slice]:
    found = []
    for axis in (0, 1):
        places = np.flatnonzero(used.any(axis=1 - axis))
        margin = int(np.ceil(_MARGIN_MM / spacing_mm[axis]))
        found.append(slice(max(0, int(places[0]) - margin), min(used.shape[axis], int(places[-1]) + 1 + margin)))
    return found[0], found[1]


def _walked(chance: Floats, inside: Mask, outside: Mask, spacing_mm: tuple[float, float]) -> Floats:
    """Solve for the probability that a walker ends inside."""
    count = chance.size
    numbers = np.arange(count).reshape(chance.shape)
    pairs = [(numbers[:-1], numbers[1:], 0), (numbers[:, :-1], numbers[:, 1:], 1)]
    values = chance.ravel()
    first, second, weights = [], [], []
    for a, b, axis in pairs:
        i, j = a.ravel(), b.ravel()
        first.append(i)
        second.append(j)
        weights.append(
            (np.exp(-_EDGE * (values[i] - values[j]) ** 2) + 1e-4) * (min(spacing_mm) / spacing_mm[axis]) ** 2
        )
    i, j, w = np.concatenate(first), np.concatenate(second), np.concatenate(weights)
    adjacency = coo_array((np.r_[w, w], (np.r_[i, j], np.r_[j, i])), shape=(count, count)).tocsc()
    degree = np.asarray(adjacency.sum(axis=0)).ravel()
    seed = (inside | outside).ravel()
    # a click is a prior that outweighs everything else
    trust = np.where(seed, 1e4, _PRIOR)
    wanted = np.where(seed, inside.ravel().astype(np.float64), values)
    system = csc_array(diags_array(degree + trust) - adjacency)
    solved: Floats = splu(system).solve(trust * wanted)
    return solved.reshape(chance.shape)
