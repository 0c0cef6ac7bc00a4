"""Scores summed up: mean, median, tail and worst of every measure, overall and by group, with bootstrap intervals.

Intervals are 95 % percentile intervals of 2000 resamples of the cases (seeded), from five cases on; cases of one site
are taken as independent, so an interval says nothing of sites that are not in the set. The tail is the 5th percentile
where more is better, else the 95th (of the absolute value for signed measures). Refused cases are never left out of a
mean in silence:
``dice`` is of those segmented, ``dice_with_refused_as_0`` counts refused and failed cases as 0. Entries without the
structure are counted apart (``absent``), and have no part in either.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mediseg.evaluate.repeat import MATRICES, REPEAT_COLUMNS, Repeat
from mediseg.evaluate.scoring import SCORE_COLUMNS, Score

ALL = "all"
RESAMPLES = 2000
FEWEST = 5  # cases, below which resampling says nothing
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
Better = Literal["high", "low", "zero"]
Numbers = npt.NDArray[np.float64]

#: measure -> which way is better
MEASURES: dict[str, Better] = {
    "dice": "high",
    "dice_with_refused_as_0": "high",
    "hd95_mm": "low",
    "assd_mm": "low",
    "size_error_percent": "zero",
    "angle_error_deg": "zero",
    "center_error_mm": "low",
    "acpc_angle_error_deg": "zero",
    "acpc_midpoint_error_mm": "low",
}
_REPEAT_MEASURES: dict[str, Better] = {
    "dice_to_first": "high",
    "dice": "high",
    "angle_change_deg": "zero",
    "center_change_mm": "low",
    "angle_error_deg": "zero",
    "center_error_mm": "low",
    "acpc_angle_error_deg": "zero",
    "acpc_midpoint_error_mm": "low",
}


@dataclass(frozen=True, slots=True)
class Statistic:
    """One measure over ``n`` cases; ``*_low`` and ``*_high`` are 95 % bootstrap intervals. nan where n is 0.

    ``infinite``: cases left out because the measure is infinite (one mask empty). For signed measures ``mean`` is
    signed; ``median``, ``tail`` and ``worst`` are of the absolute value.
    """

    n: int = 0
    mean: float = math.nan
    mean_low: float = math.nan
    mean_high: float = math.nan
    median: float = math.nan
    median_low: float = math.nan
    median_high: float = math.nan
    tail: float = math.nan
    tail_low: float = math.nan
    tail_high: float = math.nan
    worst: float = math.nan
    worst_id: str = ""
    infinite: int = 0


@dataclass(frozen=True)
class Group:
    """All cases, or those of a site. ``absent``: empty references, of which ``absent_refused`` were refused."""

    name: str
    cases: int
    refused: int
    failed: int
    absent: int
    absent_refused: int
    measures: Mapping[str, Statistic]


def by_group(scores: Sequence[Score], seed: int = 0) -> tuple[Group, ...]:
    """Return the summary of all cases, then of each group in order of name (where there is more than one)."""
    names = sorted({s.group for s in scores})
    parts = [(name, [s for s in scores if s.group == name]) for name in names] if len(names) > 1 else []
    return tuple(_group(name, part, seed) for name, part in [(ALL, list(scores)), *parts])


def _group(name: str, scores: Sequence[Score], seed: int) -> Group:
    present = [s for s in scores if s.present]
    absent = [s for s in scores if not s.present]
    measures = {}
    for measure, better in MEASURES.items():
        if measure == "dice_with_refused_as_0":
            pairs = [(s.id, s.dice if s.status == "done" else 0.0) for s in present]
        else:
            pairs = [(s.id, float(getattr(s, measure))) for s in present if s.status == "done"]
        measures[measure] = statistic(pairs, better, seed)
    return Group(
        name,
        cases=len(scores),
        refused=sum(s.status == "refused" for s in present),
        failed=sum(s.status == "failed" for s in scores),
        absent=len(absent),
        absent_refused=sum(s.status == "refused" for s in absent),
        measures=measures,
    )


def statistic(pairs: Iterable[tuple[str, float]], better: Better, seed: int = 0) -> Statistic:
    """Sum up (id, value) pairs; nan values are no cases, infinite ones are counted apart."""
    known = [(name, value) for name, value in pairs if not math.isnan(value)]
    finite = [(name, value) for name, value in known if math.isfinite(value)]
    if not finite:
        return Statistic(infinite=len(known))
    values = np.array([value for _, value in finite])
    sizes = np.abs(values) if better == "zero" else values
    at = int(sizes.argmin() if better == "high" else sizes.argmax())
    percent = 5 if better == "high" else 95
    drawn = np.random.default_rng(seed).integers(len(values), size=(RESAMPLES, len(values)))
    mean, median, tail = (
        (float(how(of)), *_interval(how(of[drawn], axis=1), len(values)))
        for how, of in ((np.mean, values), (np.median, sizes), (_Percentile(percent), sizes))
    )
    return Statistic(len(values), *mean, *median, *tail, float(values[at]), finite[at][0], len(known) - len(finite))


@dataclass(frozen=True)
class _Percentile:
    percent: float

    def __call__(self, values: Numbers, axis: int | None = None) -> Any:
        return np.percentile(values, self.percent, axis=axis)


def _interval(values: Numbers, cases: int) -> tuple[float, float]:
    if cases < FEWEST:
        return math.nan, math.nan
    low, high = np.percentile(values, (2.5, 97.5))
    return float(low), float(high)


@dataclass(frozen=True)
class RepeatGroup:
    """All results of one kind of perturbation (and variant); ``base``: what angle and centre changes are against."""

    kind: str
    variant: str
    base: str
    cases: int
    refused: int
    measures: Mapping[str, Statistic]


def by_variant(rows: Sequence[Repeat], seed: int = 0) -> tuple[RepeatGroup, ...]:
    """Return a summary a variant; for matrices also of the coarser ones against the finest."""
    keys = list(dict.fromkeys((row.kind, row.variant) for row in rows))
    groups = [_repeat_group(kind, variant, rows, seed) for kind, variant in keys]
    return (*groups, *_between_matrices(rows, seed))


def _repeat_group(kind: str, variant: str, rows: Sequence[Repeat], seed: int) -> RepeatGroup:
    mine = [row for row in rows if (row.kind, row.variant) == (kind, variant)]
    measures = {
        name: statistic([(row.id, float(getattr(row, name))) for row in mine], better, seed)
        for name, better in _REPEAT_MEASURES.items()
    }
    refused = sum(row.status == "refused" for row in mine)
    return RepeatGroup(kind, variant, "the slice as it is", len(mine), refused, measures)


def _between_matrices(rows: Sequence[Repeat], seed: int) -> list[RepeatGroup]:
    changes = {(row.id, row.variant): row.angle_change_deg for row in rows if row.kind == "matrix"}
    finest, *coarser = (str(n) for n in MATRICES)
    found = []
    for matrix in coarser:
        ids = [one for one, variant in changes if variant == matrix and (one, finest) in changes]
        both = [(one, changes[one, matrix] - changes[one, finest]) for one in ids]
        if both:
            measures = {"angle_change_deg": statistic(both, "zero", seed)}
            found.append(RepeatGroup("matrix", matrix, f"matrix {finest}", len(both), 0, measures))
    return found


def worst(scores: Sequence[Score]) -> list[Score]:
    """Return those segmented where there is a reference, lowest Dice first."""
    return sorted((s for s in scores if s.status == "done" and s.present), key=lambda s: (s.dice, s.id))


def scores_csv(scores: Sequence[Score]) -> str:
    """Return cases.csv: a row a case in the manifest's order; what is not known is empty."""
    return _csv(SCORE_COLUMNS, (astuple(score) for score in scores))


def repeats_csv(rows: Sequence[Repeat]) -> str:
    """Return repeat.csv: a row a case and variant."""
    return _csv(REPEAT_COLUMNS, (astuple(row) for row in rows))


def _csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return table.getvalue()


def _cell(value: object) -> str:
    """Return a cell that no spreadsheet takes for a formula; a number keeps ten digits, nan is empty."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.10g}"
    line = " ".join(str(value).split())
    return f"'{line}" if line.startswith(_FORMULA_STARTS) else line


def as_json(value: Score | Repeat | Group | RepeatGroup) -> dict[str, Any]:
    """Return a record in JSON types: numbers that are not finite become null."""
    from mediseg.record import json_value

    plain: dict[str, Any] = json_value(asdict(value))
    return plain
