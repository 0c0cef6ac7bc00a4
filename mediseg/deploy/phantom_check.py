"""The main job on the phantom, held against what its makers measured: figures in, faults out."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mediseg._resources import shipped
from mediseg.errors import MedisegError

if TYPE_CHECKING:
    from mediseg.phantom import HeadTruth
    from mediseg.record import ModelRecord, StepRecord
    from mediseg.runner import Case, ProgressCallback

RECIPE = "corpus-callosum"
FILE_NAME = "doctor.json"
MEASURES = ("area", "perimeter", "thickness_mean")
#: How far a figure may lie from the stored one: (share of it, or absolute). Processors and versions of ONNX Runtime
#: round differently, which moves a border by hundredths of a millimetre; a wrong result is off by far more.
RELATIVE, ABSOLUTE_DEG, ABSOLUTE_MM, ABSOLUTE_DICE = 0.02, 0.5, 0.5, 0.01


@dataclass(frozen=True)
class Figure:
    """One figure of the phantom run and where it has to lie."""

    name: str
    value: float
    low: float
    high: float

    @property
    def is_good(self) -> bool:
        """True within the limits; never for a figure that is no number."""
        return self.low <= self.value <= self.high


@dataclass(frozen=True)
class PhantomRun:
    """What the run gave: status and reason, figures, the steps with time and memory, models that ran."""

    status: str
    reason: str
    figures: tuple[Figure, ...] = ()
    steps: tuple[StepRecord, ...] = ()
    models: Mapping[str, str] | None = None


def phantom_run(
    expected: Mapping[str, Any], *, threads: int = 2, progress: ProgressCallback | None = None
) -> PhantomRun:
    """Run the main job on the phantom as a DICOM study, in a temporary folder that is taken away again.

    ``expected`` is what ``stored()`` returns. Never raises for what is wrong with the installation: it is the answer.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="mediseg-doctor-") as folder:
            case = run_phantom(Path(folder), threads, progress)
    except (MedisegError, OSError) as error:
        return PhantomRun("failed", str(error))
    steps, models = case.record.steps, models_of(case)
    if case.status != "done":
        return PhantomRun(case.status, case.reason, (), steps, models)
    found = figures_of(case.values)
    limits = expected["figures"]
    figures = tuple(Figure(name, found[name], *map(float, limits[name])) for name in limits)
    return PhantomRun(case.status, "", figures, steps, models)


def run_phantom(folder: Path, threads: int, progress: ProgressCallback | None = None) -> Case:
    """Write the phantom study into ``folder`` and run the main job there."""
    from mediseg.casefile import RunOptions
    from mediseg.demo import write_demo_study
    from mediseg.runner import run

    study = write_demo_study(folder / "phantom")
    return run(RECIPE, study, folder / "out", options=RunOptions(threads=threads), progress=progress)


def figures_of(values: Mapping[str, Any]) -> dict[str, float]:
    """Return what is compared: overlap with the phantom's truth, errors against it, and the measurements (mm, deg)."""
    from mediseg.phantom import head_truth

    truth = head_truth()
    robust = values["localization"].estimates["robust"]
    off = values["localization"].roi.center_lps_mm - truth.roi.center_lps_mm
    figures = {
        "brain_dice": _dice(values["brain"].mask.resample(truth.brain).mask(), truth.brain.mask()),
        "callosum_dice": _dice(_callosum(values, truth), truth.callosum.mask()),
        "plane_error_deg": float(values["midsagittal"].plane.angle_to_deg(truth.plane.normal_lps)),
        "roi_angle_deg": float(robust.angle_deg),
        "roi_angle_error_deg": abs(float(robust.angle_deg) - truth.estimates["robust"].angle_deg),
        "roi_center_error_mm": float(np.linalg.norm(off)),
        "brain_ml": float(values["brain"].mask.volume_ml()),
    }
    return figures | {name: float(values["measurements"][name].value) for name in MEASURES}


def _callosum(values: Mapping[str, Any], truth: HeadTruth) -> Any:
    return values["callosum"].probability.resample(truth.callosum.geometry).array >= 0.5


def _dice(one: Any, other: Any) -> float:
    sizes = float(np.count_nonzero(one)) + float(np.count_nonzero(other))
    return 2.0 * float(np.count_nonzero(one & other)) / max(1.0, sizes)


def models_of(case: Case) -> dict[str, str]:
    """Return name and SHA-256 of every model that a case used."""
    found: dict[str, str] = {}
    for step in case.record.steps:
        if step.model is not None:
            _add(step.model, found)
    return dict(sorted(found.items()))


def _add(model: ModelRecord, found: dict[str, str]) -> None:
    found[model.name] = model.sha256
    for one in model.companions:
        _add(one, found)


def stored() -> dict[str, Any]:
    """Return the stored expectations (data/doctor.json)."""
    expected: dict[str, Any] = json.loads((shipped("data") / FILE_NAME).read_text(encoding="utf-8"))
    return expected


def write_expectations(folder: Path) -> Path:
    """Measure the phantom run here and store the limits of its figures; run again whenever a model or step changes."""
    from mediseg.phantom import HEAD_VERSION

    with tempfile.TemporaryDirectory(prefix="mediseg-doctor-") as temporary:
        case = run_phantom(Path(temporary), 2)
    limits = {name: _limits(name, value) for name, value in figures_of(case.values).items()}
    record = {
        "schema_version": 1,
        "recipe": RECIPE,
        "phantom_version": HEAD_VERSION,
        "models": models_of(case),
        "figures": limits,
    }
    path = folder / FILE_NAME
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return path


def _limits(name: str, value: float) -> list[float]:
    if name.endswith("_dice"):
        return [round(value - ABSOLUTE_DICE, 4), 1.0]
    if "_error_" in name:
        slack = ABSOLUTE_MM if name.endswith("_mm") else ABSOLUTE_DEG
        return [0.0, round(value + slack, 3)]
    slack = ABSOLUTE_DEG if name.endswith("_deg") else RELATIVE * abs(value)
    return [round(value - slack, 3), round(value + slack, 3)]
