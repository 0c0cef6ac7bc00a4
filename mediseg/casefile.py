"""What one case depends on and what came of it: its record, and whether an earlier run's record still holds."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mediseg.errors import Warn
from mediseg.outputs import Written, all_measurements
from mediseg.recipe import INPUTS, Recipe, RecipeStep
from mediseg.volume import Volume

if TYPE_CHECKING:
    from mediseg.io.cases import CaseInput
    from mediseg.record import BiasRecord, CaseRecord, ModelRecord, RecipeRecord, StepRecord
    from mediseg.results import BiasCorrection, Brain


@dataclass(frozen=True)
class RunOptions:
    """What a user may choose beside the recipe; all of it but ``resume`` changes files and so belongs to the record."""

    threads: int = 2
    device: str = "cpu"
    resume: bool = True
    dicom: bool = True
    seg_type: str = "binary"
    dicom_report: bool = False
    dicom_pdf: bool = False
    deterministic_uids: bool = False

    def parameters(self) -> dict[str, Any]:
        """The options that shape the output files."""
        return {
            "threads": self.threads,
            "device": self.device,
            "dicom": self.dicom,
            "seg_type": self.seg_type,
            "dicom_report": self.dicom_report,
            "dicom_pdf": self.dicom_pdf,
            "deterministic_uids": self.deterministic_uids,
        }


@dataclass(frozen=True)
class Job:
    """One case to be done: what, on what, where, how."""

    recipe: Recipe
    item: CaseInput
    folder: Path
    options: RunOptions

    def first_volume(self, values: Mapping[str, Any]) -> Volume | None:
        """Return what was read: the head, the slice, or the first station."""
        read = values.get(INPUTS[self.recipe.input])
        return read[0] if isinstance(read, tuple) else read


def version() -> str:
    """Return mediseg's own version."""
    import mediseg

    return mediseg.__version__


def case_record(
    job: Job,
    outcome: tuple[str, str],
    values: Mapping[str, Any],
    steps: Sequence[StepRecord],
    warnings: Sequence[Warn],
    written: Sequence[Written],
) -> CaseRecord:
    """Return ``report.json``'s content; ``outcome`` is the status and its reason."""
    from mediseg import record as model

    head, plane, localization = job.first_volume(values), values.get("midsagittal"), values.get("localization")
    confidences = [v.confidence for v in (values.get("brain"), localization) if v is not None]
    series = head.source.series_uid if head is not None and head.source is not None else None
    return model.CaseRecord.model_validate(
        {
            "status": outcome[0],
            "reason": outcome[1],
            "case": job.item.name,
            "recipe": _recipe_record(job),
            "mediseg": version(),
            "input": (model.InputRecord(path=job.item.name, sha256=job.item.digest, series_uid=series),),
            "source": None if head is None else model.source_record(head, plane.tilt_deg if plane else None),
            "steps": tuple(steps),
            "measurements": tuple(model.measurement_record(m) for m in all_measurements(values)),
            "roi": model.roi_record(localization, values.get("callosum")) if localization else None,
            "bias": _bias_record(head, values.get("bias"), values.get("brain")),
            "quality": model.quality_record(confidences, warnings),
            "warnings": tuple(model.warning_record(w) for w in warnings),
            "outputs": tuple(
                model.OutputRecord(path=w.path, kind=w.kind, sha256=_sha256(job.folder / w.path)) for w in written
            ),
        }
    )


_SAMPLES = 100_000  # of the brain's voxels: enough for two digits


def _bias_record(head: Volume | None, bias: BiasCorrection | None, brain: Brain | None) -> BiasRecord | None:
    """Return how even the brain was and is; None where there is no brain mask on the corrected image's grid.

    The classes are told on the corrected image and are the same voxels for both. Every n-th voxel of the mask counts.
    """
    if head is None or bias is None or brain is None or brain.mask.geometry != head.geometry:
        return None
    from mediseg.numerics.uniformity import tissue_classes, uniformity
    from mediseg.record import BiasRecord, UniformityRecord

    inside = np.flatnonzero(brain.mask.labels)
    at = np.unravel_index(inside[:: max(1, inside.size // _SAMPLES)], head.geometry.shape)
    volumes = (head, bias.corrected, brain.distance)
    before, after, depth_mm = (np.asarray(volume.array[at], np.float32) for volume in volumes)
    white, grey = tissue_classes(after, -depth_mm)
    rows = (UniformityRecord(**asdict(uniformity(values, white, grey))) for values in (before, after))
    return BiasRecord(before=next(rows), after=next(rows))


def earlier_record(job: Job) -> CaseRecord | None:
    """Return the record of an earlier run, if nothing it depends on has changed and the case did not fail."""
    from mediseg.record import CaseRecord

    try:
        record = CaseRecord.from_json((job.folder / "report.json").read_bytes())
    except (OSError, ValueError):
        return None
    models = {step.info.name: model_record(step) for step in job.recipe.steps}
    same = (
        record.status in ("done", "refused")
        and record.mediseg == version()
        and record.recipe == _recipe_record(job)
        and [one.sha256 for one in record.input] == [job.item.digest]
        and all(step.model == models.get(step.name) for step in record.steps)
        and all((job.folder / one.path).is_file() for one in record.outputs)
    )
    return record if same else None


def model_record(step: RecipeStep) -> ModelRecord | None:
    """Return which network a step uses, after checking it; None for a step without one. Raises UsageError."""
    if "model" not in step.settings:
        return None
    from mediseg.inference import Bundle, load_bundle
    from mediseg.record import ModelRecord

    def record(bundle: Bundle) -> ModelRecord:
        with_ = tuple(record(one) for one in bundle.companions)
        return ModelRecord(
            name=bundle.name, version=bundle.version, sha256=bundle.sha256, licence=bundle.licence, companions=with_
        )

    return record(load_bundle(step.settings["model"]))


def check_models(recipe: Recipe) -> None:
    """Raise UsageError where a step's model is missing, damaged, or for another kind of step than the shipped one."""
    from mediseg.inference import load_bundle

    for step in recipe.steps:
        if "model" in step.settings:
            shipped = load_bundle(str(step.info.settings["model"].default))
            _ = load_bundle(step.settings["model"], str(shipped.settings["kind"])).companions


def _recipe_record(job: Job) -> RecipeRecord:
    from mediseg.record import RecipeRecord, json_value

    parameters = json_value({**job.recipe.parameters(), "run": job.options.parameters()})
    return RecipeRecord(name=job.recipe.name, sha256=job.recipe.sha256, parameters=parameters)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
