"""Paint label maps: one random grey value per structure gives a head image of a contrast nobody has acquired.

The idea is SynthSeg's (Billot et al., Medical Image Analysis 2023): a network that has seen every contrast learns
anatomy, not grey values. Label values are those of ``labelmaps/labels.csv`` (FreeSurfer's, with SimNIBS' 5xx stored as
value minus 300). Only numpy is needed, so that benchmarks paint the same heads without torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Contrast = Literal["t1", "t2", "flair", "pd", "gre", "random"]

#: A right structure and its left twin: both sides are painted alike.
LEFT_OF_RIGHT = {
    41: 2, 42: 3, 43: 4, 44: 5, 46: 7, 47: 8, 49: 10, 50: 11, 51: 12, 52: 13, 53: 17, 54: 18, 57: 25, 58: 26,
    60: 28, 62: 30, 163: 136, 164: 137,
}  # fmt: skip

#: Tissue class of every label; labels of one class get similar means in realistic contrasts.
TISSUE = {
    "white": (2, 7, 16, 28, 85, 13),
    "grey": (3, 8, 10, 11, 12, 17, 18, 26),
    "lesion": (25,),
    "fluid": (4, 5, 14, 15, 24, 72),
    "plexus": (31, 136, 137),
    "vessel": (30, 202, 214),
    "bone": (215,),
    "skull": (165,),
    "marrow": (216,),
    "skin": (211,),
    "soft": (207, 240),
    "muscle": (208, 209),
    "eye": (206, 241),
    "nerve": (212, 230),
}
TISSUE_OF_LABEL = {label: tissue for tissue, labels in TISSUE.items() for label in labels}

#: Means of the tissues in the contrasts that occur most, on a scale where 0 is air and 1 about the brightest tissue.
#: Read off real scans by eye; they are the middle of a wide distribution, not constants of nature.
PRIORS: dict[str, dict[str, float]] = {
    "t1": {"white": 0.75, "grey": 0.52, "lesion": 0.5, "fluid": 0.2, "plexus": 0.4, "vessel": 0.4, "bone": 0.1,
           "skull": 0.25, "marrow": 0.6, "skin": 0.6, "soft": 0.6, "muscle": 0.5, "eye": 0.22, "nerve": 0.65},
    "t2": {"white": 0.35, "grey": 0.5, "lesion": 0.7, "fluid": 0.92, "plexus": 0.8, "vessel": 0.2, "bone": 0.08,
           "skull": 0.2, "marrow": 0.4, "skin": 0.4, "soft": 0.4, "muscle": 0.35, "eye": 0.9, "nerve": 0.4},
    "flair": {"white": 0.5, "grey": 0.62, "lesion": 0.9, "fluid": 0.14, "plexus": 0.4, "vessel": 0.3, "bone": 0.08,
              "skull": 0.2, "marrow": 0.45, "skin": 0.5, "soft": 0.5, "muscle": 0.4, "eye": 0.15, "nerve": 0.5},
    "pd": {"white": 0.68, "grey": 0.8, "lesion": 0.9, "fluid": 0.78, "plexus": 0.8, "vessel": 0.4, "bone": 0.2,
           "skull": 0.35, "marrow": 0.65, "skin": 0.65, "soft": 0.65, "muscle": 0.6, "eye": 0.75, "nerve": 0.7},
    "gre": {"white": 0.6, "grey": 0.7, "lesion": 0.8, "fluid": 0.8, "plexus": 0.7, "vessel": 0.5, "bone": 0.05,
            "skull": 0.12, "marrow": 0.2, "skin": 0.3, "soft": 0.25, "muscle": 0.3, "eye": 0.7, "nerve": 0.5},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Palette:
    """Grey values of the 256 possible labels: ``means`` and ``spreads``, float32 of shape (256,); air is 0 +- 0."""

    means: npt.NDArray[np.float32]
    spreads: npt.NDArray[np.float32]


def draw_contrast(rng: np.random.Generator) -> Contrast:
    """Choose a contrast: T1 in 35 %, T2, FLAIR, PD and gradient echo in 24 % together, else fully random."""
    kinds: tuple[Contrast, ...] = ("t1", "t2", "flair", "pd", "gre", "random")
    return kinds[int(rng.choice(6, p=(0.35, 0.08, 0.06, 0.05, 0.05, 0.41)))]


def draw_palette(rng: np.random.Generator, contrast: Contrast = "random") -> Palette:
    """Draw a grey value and its spread for every label; left and right share theirs.

    ``random`` draws every tissue from 0.02..1, in half of the cases every single structure; the named contrasts scatter
    around ``PRIORS``. The number of draws never depends on the labels of a map, so a palette depends on ``rng`` alone.
    """
    labels = np.array(sorted(TISSUE_OF_LABEL))
    names = list(TISSUE)
    tissue_of = np.array([names.index(TISSUE_OF_LABEL[int(label)]) for label in labels])
    tissue_means, wobble = _tissue_means(rng, names, contrast)
    single = rng.uniform(0.02, 1.0, labels.size)
    by_structure = contrast == "random" and rng.uniform() < 0.5
    scatter = rng.normal(0.0, wobble, labels.size)
    means = single if by_structure else tissue_means[tissue_of] + scatter
    spreads = rng.uniform(0.0, 1.0, labels.size) ** 2 * rng.uniform(0.02, 0.12)
    palette = Palette(np.zeros(256, np.float32), np.zeros(256, np.float32))
    palette.means[labels] = np.clip(means, 0.02, 1.2)
    palette.spreads[labels] = spreads
    for right, left in LEFT_OF_RIGHT.items():
        palette.means[right] = palette.means[left]
        palette.spreads[right] = palette.spreads[left]
    return palette


def _tissue_means(
    rng: np.random.Generator, names: list[str], contrast: Contrast
) -> tuple[npt.NDArray[np.float64], float]:
    """Return one mean per tissue and the scatter (standard deviation) of the structures of a tissue."""
    flat = rng.uniform(0.02, 1.0, len(names))
    wild = rng.normal(0.0, 1.0, len(names))
    if contrast == "random":
        return flat, 0.04
    prior = np.array([PRIORS[contrast][name] for name in names])
    brain = np.array([name in ("white", "grey", "lesion", "fluid", "plexus") for name in names])
    outside = rng.uniform(0.6, 1.25)
    prior = np.where(brain, prior, prior * outside)
    return prior + wild * np.where(brain, 0.07, 0.05 + 0.22 * prior), 0.03


def paint(labels: npt.NDArray[np.uint8], palette: Palette, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Give each voxel its label's mean plus white noise of its label's spread.

    Parameters: ``labels`` uint8 of any shape. Returns: float32 of the same shape; labels without a mean stay 0.
    """
    image = rng.standard_normal(labels.shape, dtype=np.float32)
    image *= palette.spreads[labels]
    image += palette.means[labels]
    return image


def brain_labels() -> npt.NDArray[np.uint8]:
    """Return the label values that count as brain: tissue, ventricles, plexus and the CSF inside the inner skull."""
    inside = ("white", "grey", "lesion", "fluid", "plexus")
    left = [label for name in inside for label in TISSUE[name]] + [30]
    right = [right for right, twin in LEFT_OF_RIGHT.items() if twin in left]
    return np.array(sorted(left + right), np.uint8)
