"""Phantoms: images of the project's own, made of analytic shapes, with everything about them known."""

from mediseg.phantom.head import HEAD_VERSION, HeadTruth, head_labels, head_truth, phantom_head
from mediseg.phantom.spine import SpineTruth, phantom_spine, spine_truth

__all__ = [
    "HEAD_VERSION", "HeadTruth", "SpineTruth", "head_labels", "head_truth", "phantom_head", "phantom_spine",
    "spine_truth",
]  # fmt: skip
