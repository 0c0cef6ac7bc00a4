"""mediseg: medical-imaging segmentation, localisation and stitching. Research use; not a medical device.

Every name is loaded when it is first used, so that ``import mediseg`` stays light (no torch, SimpleITK or napari).
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing takes a while to load, in which a Ctrl-C would find nobody to answer it
    from typing import Any

__version__ = "0.1.0"

_HOME = {
    "mediseg.errors": ("MedisegError", "UsageError", "InputError", "Refusal", "OutputError", "Cancelled", "Warn"),
    "mediseg.geometry": ("Geometry", "Plane", "Rigid"),
    "mediseg.volume": ("Volume", "Source", "Segment", "Segmentation", "RotatedROI", "CodedConcept"),
    "mediseg.results": (
        "BiasCorrection", "Brain", "Midsagittal", "Callosum", "Frame", "Estimate", "Localization",
        "Measurement", "Measurements", "SliceGroup", "ScanPlan", "Stitched",
    ),
    "mediseg.steps.bias": ("correct_bias",),
    "mediseg.steps.brain": ("extract_brain",),
    "mediseg.steps.midsagittal": ("find_midsagittal",),
    "mediseg.steps.callosum": ("segment_callosum",),
    "mediseg.steps.localize": ("localize_roi",),
    "mediseg.steps.morphometry": ("measure_callosum",),
    "mediseg.steps.scanplan": ("plan_scan",),
    "mediseg.steps.stitch": ("stitch_stations",),
    "mediseg.io": ("open_study", "load", "write", "Study"),
    "mediseg.phantom": ("phantom_head", "phantom_spine"),
    "mediseg.casefile": ("RunOptions",),
    "mediseg.runner": ("run", "Case"),
    "mediseg.planning": ("plan",),
    "mediseg.recipe": ("recipes",),
}  # fmt: skip
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}
__all__ = sorted([*_MODULE_OF, "__version__", "steps"])  # noqa: PLE0605 - built from the table above


def __getattr__(name: str) -> Any:
    if name == "steps":  # the package, which can also be called: ``mediseg.steps()`` lists them
        return import_module("mediseg.steps")
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'mediseg' has no attribute '{name}'")
    value = getattr(import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
