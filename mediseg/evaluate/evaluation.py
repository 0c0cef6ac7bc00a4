"""A whole manifest judged: scores, repeatability, summaries, pictures of the worst; written as files."""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mediseg import __version__
from mediseg.errors import UsageError
from mediseg.evaluate import tables
from mediseg.evaluate.manifest import Manifest
from mediseg.evaluate.pictures import pictures
from mediseg.evaluate.repeat import Repeat, repeated
from mediseg.evaluate.scoring import Judged, Score, judge, model_of
from mediseg.inference import Bundle
from mediseg.record import INTENDED_USE
from mediseg.report.svg import Figure

WORST = 10
Progress = Callable[[Score], None]


@dataclass(frozen=True)
class Evaluation:
    """What came of a manifest. ``figures``: the worst, lowest Dice first, with their scores and pictures."""

    manifest: Manifest
    split: str
    model: Bundle | None
    seed: int
    scores: tuple[Score, ...]
    repeats: tuple[Repeat, ...]
    groups: tuple[tables.Group, ...]
    repeat_groups: tuple[tables.RepeatGroup, ...]
    figures: tuple[tuple[Score, tuple[Figure, ...]], ...]

    def summary(self) -> dict[str, Any]:
        """Return summary.json's content: what was judged, with what, and every table. NaN becomes null."""
        model = self.model
        used = [model, *model.companions] if model else []
        return {
            "mediseg": __version__,
            "manifest": {
                "name": self.manifest.name,
                "sha256": self.manifest.sha256,
                "split": self.split,
                "licence": sorted({e.licence for e in self.manifest.entries}),
                "origin": sorted({e.origin for e in self.manifest.entries}),
            },
            "models": [{"name": one.name, "version": one.version, "sha256": one.sha256} for one in used],
            "seed": self.seed,
            "resamples": tables.RESAMPLES,
            "groups": [tables.as_json(group) for group in self.groups],
            "repeatability": [tables.as_json(group) for group in self.repeat_groups],
            "intended_use": INTENDED_USE,
        }


def evaluate(
    manifest: Manifest,
    *,
    model: str | None = None,
    split: str = "",
    repeat: Sequence[str] = (),
    seed: int = 0,
    progress: Progress | None = None,
) -> Evaluation:
    """Judge every entry of a manifest.

    ``model``: make the predictions now (a shipped name or a bundle's folder); None takes those that the manifest names.
    ``repeat``: kinds of perturbation (mediseg.evaluate.repeat.KINDS), for callosum models. ``progress`` is called with
    each score. Refused and unreadable entries are scores too, never raised. Raises UsageError.
    """
    bundle = model_of(manifest, model)
    if repeat and (model is None or bundle is None or bundle.settings["kind"] != "callosum"):
        raise UsageError("--repeat segments slices again: give --model NAME of a callosum model")
    scores: list[Score] = []
    repeats: list[Repeat] = []
    worst = _Worst(WORST)
    for entry in manifest.entries:
        judged = judge(entry, model)
        scores.append(judged.score)
        worst.offer(judged)
        if model is not None:
            repeats.extend(repeated(judged, repeat, model, seed))
        if progress is not None:
            progress(judged.score)
    return Evaluation(
        manifest,
        split,
        bundle,
        seed,
        tuple(scores),
        tuple(repeats),
        tables.by_group(scores, seed),
        tables.by_variant(repeats, seed),
        worst.figures(),
    )


@dataclass
class _Worst:
    """Keeps the pictures of the lowest Dice only, so that no more images than needed stay in memory."""

    most: int
    kept: list[tuple[float, int, Score, tuple[Figure, ...]]] = field(default_factory=list)
    offered: int = 0

    def offer(self, judged: Judged) -> None:
        self.offered += 1
        score = judged.score
        if score.status != "done" or not score.present:
            return
        if len(self.kept) < self.most or -score.dice > self.kept[0][0]:
            heapq.heappush(self.kept, (-score.dice, -self.offered, score, pictures(judged)))
            if len(self.kept) > self.most:
                heapq.heappop(self.kept)

    def figures(self) -> tuple[tuple[Score, tuple[Figure, ...]], ...]:
        ordered = sorted(self.kept, key=lambda item: (-item[0], -item[1]))
        return tuple((score, figures) for _, _, score, figures in ordered)


def write_evaluation(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Write cases.csv, repeat.csv (if any), summary.json and evaluation.html. Raises OutputError."""
    from mediseg.evaluate.page import render
    from mediseg.io.atomic import write_text_atomically

    summary = json.dumps(evaluation.summary(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    texts = {"cases.csv": tables.scores_csv(evaluation.scores)}
    if evaluation.repeats:
        texts["repeat.csv"] = tables.repeats_csv(evaluation.repeats)
    texts |= {"summary.json": summary, "evaluation.html": render(evaluation)}
    for name, text in texts.items():
        write_text_atomically(folder / name, text)
    return [folder / name for name in texts]
