"""One entry judged: its prediction, read or made now, against its reference. A refusal is a result of its own."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, fields, replace
from typing import Literal

from mediseg.errors import InputError, MedisegError, Refusal, UsageError
from mediseg.evaluate.manifest import Entry, Manifest
from mediseg.evaluate.metrics import acpc_frame, as_callosum, frame_error, overlap, roi_axis, roi_error
from mediseg.evaluate.pairs import read_mask, read_pair
from mediseg.inference import Bundle, load_bundle
from mediseg.results import Callosum, Frame
from mediseg.steps.brain import extract_brain
from mediseg.steps.callosum import segment_callosum
from mediseg.volume import Segmentation, Volume

Status = Literal["done", "refused", "failed"]


@dataclass(frozen=True, slots=True)
class Score:
    """How one entry came out; nan where there is no such number.

    ``present``: the reference is not empty. Sizes are mm2 of a slice, ml of a volume. ``angle_error_deg`` (signed) and
    ``center_error_mm`` are the robust ROI's against the reference mask's, for the callosum on one slice; ``acpc_*``
    those of the AC-PC frame where model and manifest give one;
    ``confidence`` is the step's own.
    """

    id: str
    group: str
    status: Status
    reason: str = ""
    present: bool = True
    dice: float = math.nan
    hd95_mm: float = math.nan
    assd_mm: float = math.nan
    size_error_percent: float = math.nan
    reference_size: float = math.nan
    found_size: float = math.nan
    size_unit: str = ""
    angle_error_deg: float = math.nan
    center_error_mm: float = math.nan
    acpc_angle_error_deg: float = math.nan
    acpc_midpoint_error_mm: float = math.nan
    confidence: float = math.nan
    seconds: float = math.nan


SCORE_COLUMNS = tuple(field.name for field in fields(Score))


@dataclass(frozen=True, eq=False)
class Judged:
    """A score with what it was made from, as far as that came."""

    score: Score
    image: Volume | None = None
    reference: Segmentation | None = None
    found: Segmentation | None = None
    callosum: Callosum | None = None
    acpc: Frame | None = None


def model_of(manifest: Manifest, model: str | None) -> Bundle | None:
    """Return the model that predictions are made with, checked against the entries; None where all are given.

    Raises UsageError for an unknown model, one for another structure, or entries without a prediction and no model.
    """
    if model is None:
        missing = [e.id for e in manifest.entries if e.prediction is None]
        if missing:
            raise UsageError(f"{len(missing)} entries have no prediction (first: {missing[0]}); give --model NAME")
        return None
    bundle = load_bundle(model)
    kind = str(bundle.settings["kind"])
    for entry in manifest.entries:
        if entry.structure != kind:
            raise UsageError(f'the model "{model}" is for {kind}, the label of {entry.id} is of {entry.structure}')
    return bundle


def judge(entry: Entry, model: str | None = None) -> Judged:
    """Read an entry, take its prediction or make it with ``model``, and score it.

    What the step refuses is ``refused``, what cannot be read ``failed``; neither is raised, and neither has a Dice.
    """
    begin = time.perf_counter()
    image: Volume | None = None
    reference: Segmentation | None = None
    try:
        image, reference = read_pair(entry)
        begin = time.perf_counter()
        found, callosum, confidence = predicted(entry, image, model)
    except (Refusal, InputError) as error:
        status: Status = "refused" if isinstance(error, Refusal) else "failed"
        return Judged(_without(entry, status, error, reference, time.perf_counter() - begin), image, reference)
    seconds = time.perf_counter() - begin
    acpc = acpc_frame(image.geometry, entry.acpc.midpoint_mm, entry.acpc.angle_deg) if entry.acpc else None
    score = _score(entry, reference, found, callosum, acpc)
    score = replace(score, confidence=confidence, seconds=seconds)
    return Judged(score, image, reference, found, callosum, acpc)


def predicted(entry: Entry, image: Volume, model: str | None) -> tuple[Segmentation, Callosum | None, float]:
    """Return the mask, the callosum on one slice (else None) and the confidence (nan for a mask that was given)."""
    if model is None:
        if entry.prediction is None:
            raise UsageError(f"{entry.id} has no prediction; give --model NAME")
        mask = read_mask(entry, entry.prediction, image.geometry, values=())
        slice_of_callosum = entry.structure == "callosum" and 1 in mask.geometry.shape and mask.mask().any()
        return mask, as_callosum(mask) if slice_of_callosum else None, math.nan
    if entry.structure == "brain":
        brain = extract_brain(image, model=model)
        return brain.mask, None, brain.confidence
    callosum = segment_callosum(image, model=model)
    return callosum.mask, callosum, roi_axis(callosum)[2]


def _without(
    entry: Entry, status: Status, error: MedisegError, reference: Segmentation | None, seconds: float
) -> Score:
    known = reference is not None
    present = bool(reference.mask().any()) if reference is not None else entry.label is not None
    size, unit = _size(reference) if reference is not None else (math.nan, "")
    reason = " ".join(str(error).split())
    return Score(
        entry.id, entry.group, status, reason, present,
        reference_size=size, size_unit=unit, seconds=seconds if known else math.nan,
    )  # fmt: skip


def _score(
    entry: Entry, reference: Segmentation, found: Segmentation, callosum: Callosum | None, acpc: Frame | None
) -> Score:
    parts = overlap(found.mask(), reference.mask(), reference.geometry.spacing_mm)
    reference_size, unit = _size(reference)
    roi = roi_error(callosum, reference) if callosum is not None else frame_error(None, None)
    line = frame_error(callosum.acpc if callosum is not None else None, acpc)
    return Score(
        entry.id, entry.group, "done", "", bool(reference.mask().any()),
        parts.dice, parts.hd95_mm, parts.assd_mm, parts.size_error_percent, reference_size, _size(found)[0], unit,
        roi.angle_deg, roi.center_mm, line.angle_deg, line.center_mm,
    )  # fmt: skip


def _size(mask: Segmentation) -> tuple[float, str]:
    """Return the area of a slice in mm2, or a volume in ml."""
    if 1 not in mask.geometry.shape:
        return mask.volume_ml(), "ml"
    across = mask.geometry.shape.index(1)
    return mask.volume_ml() * 1000 / mask.geometry.spacing_mm[across], "mm2"
