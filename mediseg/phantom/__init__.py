"""Phantoms: images of the project's own, made of analytic shapes, with everything about them known."""

from mediseg.phantom.head import HEAD_VERSION, HeadTruth, head_labels, head_truth, phantom_head
from mediseg.phantom.spine import SpineTruth, phantom_spine, spine_truth
from mediseg.phantom.stations import CutStation, StationPlan, cut_stations, plan_stations

__all__ = [
    "HEAD_VERSION", "CutStation", "HeadTruth", "SpineTruth", "StationPlan", "cut_stations", "head_labels", "head_truth",
    "phantom_head", "phantom_spine", "plan_stations", "spine_truth",
]  # fmt: skip
