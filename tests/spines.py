"""Small spines for tests: three slices of the phantom, and stations cut from them."""

from __future__ import annotations

from functools import lru_cache

from mediseg.geometry import Geometry
from mediseg.phantom.spine import phantom_spine, spine_grid
from mediseg.phantom.stations import CutStation, StationPlan, cut_stations, plan_stations
from mediseg.volume import Volume

SHAPE = {"matrix": (110, 130), "slices": 3, "deep_mm": 180.0}


@lru_cache(maxsize=2)
def whole(seed: int = 0) -> Volume:
    """The upper 400 mm."""
    grid: Geometry = spine_grid((1.4, 1.4, 4.0), width_mm=20.0).crop([0, 0, 0], [143, 290, 5])
    return phantom_spine(grid=grid, seed=seed)


def cuts(**lower: object) -> tuple[CutStation, ...]:
    """Two stations of 200 mm that share 60 mm; ``lower`` goes into the second one's plan."""
    first, second = plan_stations(2, overlap_mm=60, top_mm=350, bottom_mm=10, noise=0.01, **SHAPE)
    from dataclasses import replace

    return cut_stations(whole(), (first, replace(second, **lower)))


def stations(**lower: object) -> list[Volume]:
    return [cut.volume for cut in cuts(**lower)]


__all__ = ["SHAPE", "StationPlan", "cuts", "stations", "whole"]
