"""Smart click: a mask refined by single clicks through the network's own probability map. Arrays in, arrays out.

What a network gets wrong of a callosum is mostly a stretch of its border, a pixel or two too far in or out. So a click
moves the border: where it lies says by how much the network's log-odds are off there, and the same holds for border
nearby that faces the same way (regression with a kernel of place, a wide and a narrow Gaussian, times one of direction,
so that the lower border of a thin body stays when its upper one moves). Then a random walker with priors (Grady 2005,
CVPR) decides: every pixel asks the moved probability, its neighbours (less where the probability changes between them)
and the clicks (certain). One sparse system is solved on the window about mask and clicks.
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

# chosen on slices that the network was trained on, never on the held-out ones
_PRIOR = 0.1  # how much a pixel asks the network against its neighbours
_EDGE = 60.0  # how fast neighbours stop to count where the probability changes
_LEAST = 0.02
_SURE = 0.998  # log-odds beyond this tell nothing
_ALONG_MM = (15.0, 3.0)  # how far along the border a click speaks: half of it far, half for the place itself
_FACING = 3  # how soon it stops to speak where the border turns
_BEYOND = 2.0  # a click lies in the middle of what is wrong: the border moves as far again beyond it
_DOUBT = 0.05  # clicks that pull apart are averaged a little rather than obeyed to the letter
_BAND_MM = 8.0  # no border is moved further
_MARGIN_MM = 12.0
_SEED_MM = 0.8
_CRUMB_MM2 = 20.0


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

    ``mask`` is what stands now: only what the last click decides otherwise is changed, so that what a brush has done
    stays. Raises ValueError for shapes that differ, and a click beyond the image.
    """
    if probability.shape != mask.shape or mask.ndim != 2:
        raise ValueError(
            f"the probability has shape {probability.shape}, the mask {mask.shape}: not one slice of one grid"
        )
    if not clicks:
        return mask.copy()
    inside, outside = _seeds(clicks, mask.shape, spacing_mm)
    chance = np.asarray(probability, np.float64)
    window = _window(mask | (chance >= 0.5) | inside | outside, spacing_mm)
    before, after = (_answer(chance, said, window, spacing_mm) for said in (clicks[:-1], clicks))
    out = mask.copy()
    out[window] = np.where(before == after, mask[window], after)
    return _without_crumbs((out | inside) & ~outside, inside, int(_CRUMB_MM2 / (spacing_mm[0] * spacing_mm[1])))


def _answer(
    chance: Floats, clicks: Sequence[Click], window: tuple[slice, slice], spacing_mm: tuple[float, float]
) -> Mask:
    """Return what probability and clicks say together, on the window."""
    inside, outside = _seeds(clicks, chance.shape, spacing_mm)
    moved = np.clip(_moved(chance, clicks, spacing_mm)[window], _LEAST, 1 - _LEAST)
    return _walked(moved, inside[window], outside[window], spacing_mm) >= 0.5


def _moved(chance: Floats, clicks: Sequence[Click], spacing_mm: tuple[float, float]) -> Floats:
    """Return the probability with its border moved as the clicks say."""
    sure = np.clip(chance, 1 - _SURE, _SURE)
    odds = np.log(sure / (1 - sure))
    on = odds >= 0
    if not clicks or not on.any() or on.all():
        return sure
    depth = ndimage.distance_transform_edt(on, spacing_mm) - ndimage.distance_transform_edt(~on, spacing_mm)
    smooth = ndimage.gaussian_filter(depth, [1.0 / one for one in spacing_mm])
    facing = np.stack(np.gradient(smooth, *spacing_mm), axis=-1)
    facing /= np.linalg.norm(facing, axis=-1, keepdims=True) + 1e-9
    at = np.array([(one.row, one.column) for one in clicks])
    side = np.array([1.0 if one.is_inside else -1.0 for one in clicks])
    there = odds[at[:, 0], at[:, 1]]
    wanted = np.where(there * side < 0, -_BEYOND * there, 0.0)
    near = np.argwhere(np.abs(depth) < _BAND_MM)

    def alike(places: npt.NDArray[np.intp]) -> Floats:
        away = (((places[:, None] - at) * np.array(spacing_mm)) ** 2).sum(axis=-1)
        close = np.mean([np.exp(-away / (2 * along**2)) for along in _ALONG_MM], axis=0)
        turned = np.clip((1 + facing[places[:, 0], places[:, 1]] @ facing[at[:, 0], at[:, 1]].T) / 2, 0, 1)
        return np.asarray(close * turned**_FACING)

    weights = np.linalg.solve(alike(at) + _DOUBT * np.eye(len(at)), wanted)
    odds[near[:, 0], near[:, 1]] += alike(near) @ weights
    moved: Floats = 1 / (1 + np.exp(-odds))
    return moved


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
