"""All pairs at once: where every station lies, so that the accepted alignments agree best."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mediseg.geometry import Array, Rigid
from mediseg.steps.stitch.align import Alignment
from mediseg.steps.stitch.search import turned

Pairs = Mapping[tuple[int, int], Alignment]


def solved(count: int, pairs: Pairs, anchor: int) -> tuple[tuple[Rigid, ...], frozenset[int]]:
    """Return the motion of every station from its header's space to the anchor's, and which were registered to it.

    ``pairs[a, b]`` tells where b's header lies against a's. A station that no accepted alignment reaches keeps its
    header's place against its neighbour on the way to the anchor.
    """
    accepted = {key: one for key, one in pairs.items() if one.is_accepted}
    placed, reached = _chained(count, accepted, anchor)
    if len(accepted) > len(reached) - 1:
        placed = _balanced(placed, accepted, anchor)
    return placed, frozenset(reached)


def _chained(count: int, accepted: Pairs, anchor: int) -> tuple[tuple[Rigid, ...], set[int]]:
    """Follow the most agreeing alignments from the anchor; then fill what is left from neighbours."""
    placed: dict[int, Rigid] = {anchor: Rigid(np.eye(4))}
    registered = {anchor}
    ranked = sorted(accepted.items(), key=lambda item: (-item[1].ncc_after * len(item[1].points_lps_mm), item[0]))
    while len(placed) < count:
        if _reach(placed, registered, ranked):
            continue
        left = min((abs(n - near), n, near) for n in range(count) if n not in placed for near in placed)
        placed[left[1]] = placed[left[2]]
    return tuple(placed[n] for n in range(count)), registered


def _reach(placed: dict[int, Rigid], registered: set[int], ranked: list[tuple[tuple[int, int], Alignment]]) -> bool:
    """Place one more station by an alignment; False where none leads further."""
    for (a, b), one in ranked:
        if a in placed and b not in placed:
            placed[b] = placed[a].after(one.fixed_from_moving)
            registered |= {b} if a in registered else set()
            return True
        if b in placed and a not in placed:
            placed[a] = placed[b].after(one.fixed_from_moving.inverse())
            registered |= {a} if b in registered else set()
            return True
    return False


def _balanced(placed: tuple[Rigid, ...], accepted: Pairs, anchor: int) -> tuple[Rigid, ...]:
    """Spread what does not close over all alignments: least squares over the corners of every overlap."""
    from scipy.optimize import least_squares

    free = [n for n in range(len(placed)) if n != anchor]
    middles = {n: _middle(n, placed, accepted) for n in free}

    def motions(vector: Array) -> list[Rigid]:
        found = list(placed)
        for at, n in enumerate(free):
            found[n] = _moved(placed[n], middles[n], vector[6 * at : 6 * at + 6])
        return found

    def residuals(vector: Array) -> Array:
        found = motions(vector)
        gaps = [
            found[a].apply(one.points_lps_mm) - found[b].after(one.fixed_from_moving.inverse()).apply(one.points_lps_mm)
            for (a, b), one in accepted.items()
        ]
        # the last term keeps still what no alignment holds
        return np.concatenate([np.concatenate(gaps).ravel(), 1e-4 * vector])

    return tuple(motions(least_squares(residuals, np.zeros(6 * len(free)), x_scale=1.0).x))


def _middle(n: int, placed: tuple[Rigid, ...], accepted: Pairs) -> Array:
    near = [placed[a].apply(one.points_lps_mm.mean(axis=0)) for (a, b), one in accepted.items() if n in (a, b)]
    return np.mean(near, axis=0) if near else np.zeros(3)


def _moved(motion: Rigid, middle: Array, step: Array) -> Rigid:
    """Return a motion followed by a shift (mm) and a turn about a point (hundredths of a radian)."""
    matrix = np.eye(4)
    angle = float(np.linalg.norm(step[3:])) / 100
    if angle > 0:
        matrix[:3, :3] = turned(step[3:] / np.linalg.norm(step[3:]), angle)
    matrix[:3, 3] = middle - matrix[:3, :3] @ middle + step[:3]
    return Rigid(matrix).after(motion)
