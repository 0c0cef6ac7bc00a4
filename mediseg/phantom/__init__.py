"""Phantoms: images of the project's own, made of analytic shapes, with everything about them known."""

from mediseg.phantom.head import HEAD_VERSION, HeadTruth, head_labels, head_truth, phantom_head

__all__ = ["HEAD_VERSION", "HeadTruth", "head_labels", "head_truth", "phantom_head"]
