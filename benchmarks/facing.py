"""How well a callosum's shape tells front from back: ``python benchmarks/facing.py MASKS`` prints error and weights.

MASKS is a folder of face-left masks at 0.5 mm (PNG). Five-fold: the discriminant is fitted on four parts and tried on
the fifth, at 0.5, 1 and 2 mm. A mask's mirror image has its score with the other sign, so one figure tells both errors.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

from mediseg.numerics.facing import asymmetry

RIDGE = 1e-5


LIMIT = 0.5  # what localize_roi warns at


def coarser(mask: np.ndarray, times: int, shift: int) -> np.ndarray:
    """Average blocks of pixels, beginning anywhere."""
    mask = mask[shift % times :, (shift // 3) % times :]
    rows, columns = (n // times for n in mask.shape)
    return mask[: rows * times, : columns * times].reshape(rows, times, columns, times).mean((1, 3))


def fitted(features: np.ndarray) -> np.ndarray:
    """Return the weights that make the mean score 1 with the least spread."""
    weights = np.linalg.solve(np.cov(features.T) + RIDGE * np.eye(features.shape[1]), features.mean(0))
    return weights / (features @ weights).mean()


def main(folder: Path) -> None:
    """Print the errors of each fold's discriminant on masks it has not seen, and the weights of all."""
    masks = [(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) > 0).astype(float) for path in sorted(folder.glob("*.png"))]
    found = {n: np.array([asymmetry(coarser(m, n, i), 0.5 * n) for i, m in enumerate(masks)]) for n in (1, 2, 4)}
    order = np.random.default_rng(0).permutation(len(masks))
    scores = {n: np.zeros(len(masks)) for n in found}
    for fold in range(5):
        test, train = order[fold::5], np.setdiff1d(order, order[fold::5])
        weights = fitted(np.concatenate([found[n][train] for n in found]))
        for n in found:
            scores[n][test] = found[n][test] @ weights
    for n, score in scores.items():
        print(f"{0.5 * n:g} mm: mean {score.mean():.2f} SD {score.std():.2f} least {score.min():.2f}, ", end="")
        print(f"{(score < -LIMIT).sum()} of {len(score)} below -{LIMIT}, {(score <= LIMIT).sum()} not above {LIMIT}")
    print(np.round(fitted(np.concatenate(list(found.values()))), 2).tolist())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
