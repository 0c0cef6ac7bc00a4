"""The usual brain's outline, by which a head is brought level: points on the mean surface of the training heads.

``python -m mediseg.train.brain_outline DATA HEADS`` writes ``brain_outline.txt`` anew (HEADS: where prepared heads are
kept): every brain is laid onto the mean by a similarity, the signed distances are averaged and mirrored, and so on.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from mediseg.numerics.pose import Pose, fit_pose, unclipped
from mediseg.train.brain_heads import DISTANCE_STEP_MM, REACH_MM, Head, load_heads

Floats = npt.NDArray[np.float64]

FILE = "brain_outline.txt"
#: The search for a pose needs no finer a map than this.
STEP_MM = 4.0
COUNT = 400
_GRID = 64
_ROUNDS = 4


@cache
def outline() -> Floats:
    """Return the points (400, 3): mm to right, anterior and superior from the middle of their box; read-only."""
    text = resources.files("mediseg.train").joinpath(FILE).read_text(encoding="utf-8")
    points = np.array([[float(number) for number in line.split()] for line in text.splitlines()])
    points.setflags(write=False)
    return points


def pose_of(head: Head) -> Pose:
    """Return how the outline lies in a head, in mm of the head's own voxels."""
    return fit_pose(_coarse(head), STEP_MM, outline())


def _coarse(head: Head) -> npt.NDArray[np.float32]:
    every = round(STEP_MM / head.voxel_mm)
    distance = head.distance[::every, ::every, ::every].astype(np.float32) * np.float32(DISTANCE_STEP_MM)
    return unclipped(distance, STEP_MM, REACH_MM)


def mean_outline(heads: list[Head]) -> Floats:
    """Return ``COUNT`` points spread over the mean surface of the heads' brains, about the middle of their box."""
    fields = [_coarse(head) for head in heads]
    poses = [Pose(np.eye(3), 1.0, np.argwhere(field < 0).mean(axis=0) * STEP_MM, 0.0, 1.0) for field in fields]
    points = np.empty((0, 3))
    for _ in range(_ROUNDS):
        usual = float(np.exp(np.mean([np.log(pose.size) for pose in poses])))
        mean = np.mean([_laid(field, pose, usual) for field, pose in zip(fields, poses, strict=True)], axis=0)
        points = _spread(_surface((mean + mean[::-1]) / 2))
        poses = [fit_pose(field, STEP_MM, points) for field in fields]
    middle = (points.max(axis=0) + points.min(axis=0)) / 2
    return points - [0.0, middle[1], middle[2]]


def _laid(field: npt.NDArray[np.float32], pose: Pose, usual: float) -> npt.NDArray[np.float64]:
    """Return a brain's distance as the outline's frame sees it."""
    size = pose.size / usual
    steps = (np.arange(_GRID) - (_GRID - 1) / 2) * STEP_MM
    places = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"))
    at = (np.einsum("ab,bxyz->axyz", size * pose.turn, places) + pose.shift[:, None, None, None]) / STEP_MM
    return np.asarray(ndimage.map_coordinates(field, at, order=1, mode="nearest") / size, np.float64)


def _surface(distance: npt.NDArray[np.float64]) -> Floats:
    """Return where the distance passes 0 along the grid's lines, in mm from the grid's middle."""
    found = []
    for axis in range(3):
        here, there = (np.delete(distance, index, axis=axis) for index in (-1, 0))
        at = np.argwhere((here < 0) != (there < 0))
        near, far = here[tuple(at.T)], there[tuple(at.T)]
        place = at.astype(np.float64)
        place[:, axis] += near / (near - far)
        found.append(place)
    return (np.concatenate(found) - (_GRID - 1) / 2) * STEP_MM


def _spread(points: Floats) -> Floats:
    """Choose ``COUNT`` points, each as far as can be from those chosen before."""
    chosen = [0]
    gap = np.linalg.norm(points - points[0], axis=1)
    while len(chosen) < COUNT:
        chosen.append(int(gap.argmax()))
        gap = np.minimum(gap, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return points[chosen]


if __name__ == "__main__":
    np.savetxt(Path(__file__).with_name(FILE), mean_outline(load_heads(Path(sys.argv[1]), Path(sys.argv[2]))), "%.1f")
