"""A finished case folder as one scene: images, label maps, ROI and scan plan, at their places in the patient."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mediseg import Brain, InputError, RotatedROI, ScanPlan, Segment, Segmentation, Volume, load, plan_scan
from mediseg.io import read_roi
from mediseg.record import CaseRecord
from napari_mediseg.frames import LateImage, placing_of
from napari_mediseg.layers import KEY, LayerTuple, Origin, image_layer, labels_layer
from napari_mediseg.shapes import plan_layer, roi_layer

_IMAGES = ("corrected.nii.gz", "composite.nii.gz", "midsagittal.nii.gz", "callosum_probability.nii.gz")


def is_case(folder: Path) -> bool:
    """True for a folder that mediseg has finished a case in."""
    report = folder / "report.json"
    return report.is_file() and b'"schema_version"' in report.read_bytes()[:200]


def record_of(folder: Path) -> CaseRecord:
    """Return a case's report.json. Raises InputError."""
    try:
        return CaseRecord.from_json((folder / "report.json").read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(f"{folder.name}/report.json cannot be read; run the case again") from error


def read_case(folder: Path) -> list[LayerTuple]:
    """Return the scene of a case. Files that the recipe dropped are left out. Raises InputError."""
    record = record_of(folder)
    layers = [*_images(folder), *_labels(folder, record)]
    roi_path = folder / "roi.json"
    if roi_path.is_file():
        roi = read_roi(roi_path)
        plan = scan_plan_of(folder, record, roi)
        if plan is not None:
            layers.append(plan_layer(plan, roi, case=folder))
        layers.append(roi_layer(roi, case=folder))
    if not layers:
        reason = record.reason or "the recipe kept no image"
        raise InputError(f"the case {record.case} has nothing to show: {reason}")
    return layers


def notice_of(record: CaseRecord) -> str:
    """Return what the report warns of, as one notice; "" where there is nothing to say."""
    lines = [record.reason] if record.reason else []
    lines += [f"{one.code}: {one.message}" for one in record.warnings]
    return "" if not lines else f"{record.case}: " + "\n".join(lines)


def scan_plan_of(folder: Path, record: CaseRecord, roi: RotatedROI) -> ScanPlan | None:
    """Return the plan of an ROI made with the case's own settings, None where the recipe has no plan."""
    settings = record.recipe.parameters.get("plan_scan")
    if not isinstance(settings, dict):
        return None
    return plan_scan(roi, brain_of(folder), **{**settings, "align": "callosum"})


def brain_of(folder: Path) -> Brain | None:
    """Return the brain of a case, for planning; None where there is none on file."""
    path = folder / "brain_mask.nii.gz"
    if not path.is_file():
        return None
    mask = load(path)
    labels = Segmentation((mask.array > 0).astype(np.uint8), mask.geometry, (Segment(1, "brain"),))
    return Brain(labels, mask, 1.0)


def _images(folder: Path) -> list[LayerTuple]:
    layers: list[LayerTuple] = []
    found = {name: load(folder / name) for name in _IMAGES if (folder / name).is_file()}
    corrected, field_path = found.get("corrected.nii.gz"), folder / "bias_field.nii.gz"
    if corrected is not None and field_path.is_file():
        layers.append(_image_before(corrected, field_path, folder))
    for name, volume in found.items():
        role = name.split(".")[0]
        shown: dict[str, Any] = {}
        if role == "callosum_probability":
            shown = {"visible": False, "colormap": "magma", "limits": (0.0, 1.0)}
        layers.append(image_layer(volume, role.replace("_", " "), case=folder, role=role, path=folder / name, **shown))
    return layers


def _image_before(corrected: Volume, field_path: Path, folder: Path) -> LayerTuple:
    """The image that went in, read when it is shown: corrected = head / field."""

    def head() -> Volume:
        return corrected.with_array(corrected.array * load(field_path).array)

    _, keywords, kind = image_layer(corrected, "image", case=folder, role="image", visible=False)
    placing = placing_of(corrected.geometry)
    keywords["metadata"] = {KEY: Origin(None, placing, case=folder, role="image")}
    return LateImage(placing, head), keywords, kind


def _labels(folder: Path, record: CaseRecord) -> list[LayerTuple]:
    model = _model_of(record, "segment_callosum")
    wanted = {
        "brain_mask": ((Segment(1, "brain"),), _model_of(record, "extract_brain")),
        "gaps": ((Segment(1, "no station"),), ""),
        "provenance": (tuple(Segment(n, f"station {n}") for n in range(1, 13)), ""),
        "callosum_parts": (_parts(record), model),
        "callosum": ((Segment(1, "corpus callosum"),), model),
    }
    layers = []
    for role, (segments, made_by) in wanted.items():
        path = folder / f"{role}.nii.gz"
        if path.is_file():
            volume = load(path)
            labels = Segmentation(volume.array.astype(np.uint8), volume.geometry, segments)
            shown = {"visible": role in ("callosum", "brain_mask"), "opacity": 0.25 if role == "brain_mask" else 0.5}
            name = role.replace("_", " ")
            layers.append(labels_layer(labels, name, case=folder, role=role, model=made_by, path=path, **shown))
    return layers


def _model_of(record: CaseRecord, step: str) -> str:
    found = next((one.model for one in record.steps if one.name == step and one.model is not None), None)
    return "" if found is None else f"{found.name} {found.version}".strip()


def _parts(record: CaseRecord) -> tuple[Segment, ...]:
    settings = record.recipe.parameters.get("measure_callosum")
    scheme = str(settings.get("parts", "")) if isinstance(settings, dict) else ""
    start = f"area_{scheme}_"
    names: Sequence[str] = [one.name.removeprefix(start) for one in record.measurements if one.name.startswith(start)]
    return tuple(Segment(n, f"{scheme} {name}".replace("_", " ")) for n, name in enumerate(names, 1))
