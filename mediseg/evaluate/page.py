"""evaluation.html: the tables, the worst cases as pictures, what was refused; one file without anything to fetch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mediseg.evaluate import tables
from mediseg.record import INTENDED_USE
from mediseg.report.html import clean, environment, number

if TYPE_CHECKING:
    from mediseg.evaluate.evaluation import Evaluation

#: measure -> (heading, unit, decimals)
_LABELS = {
    "dice": ("Dice", "", 4),
    "dice_with_refused_as_0": ("Dice, refused as 0", "", 4),
    "hd95_mm": ("HD95", "mm", 2),
    "assd_mm": ("ASSD", "mm", 3),
    "size_error_percent": ("Size error", "%", 1),
    "angle_error_deg": ("ROI angle error", "°", 2),
    "center_error_mm": ("ROI centre error", "mm", 2),
    "acpc_angle_error_deg": ("AC-PC angle error", "°", 2),
    "acpc_midpoint_error_mm": ("AC-PC midpoint error", "mm", 2),
    "dice_to_first": ("Dice to the first result", "", 4),
    "angle_change_deg": ("ROI angle change", "°", 2),
    "center_change_mm": ("ROI centre change", "mm", 2),
}


@dataclass(frozen=True)
class Row:
    """One line of a table, as text."""

    name: str
    cells: tuple[str, ...]
    is_all: bool = False


@dataclass(frozen=True)
class Table:
    """A measure by group, or a perturbation by measure."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[Row, ...]


def render(evaluation: Evaluation) -> str:
    """Return the page's text. Only ids and groups as the manifest gives them stand on it, no path and no name."""
    from jinja2 import ChoiceLoader, PackageLoader

    env = environment()
    own = env.overlay(loader=ChoiceLoader([PackageLoader("mediseg.evaluate"), *([env.loader] if env.loader else [])]))
    not_done = [s for s in evaluation.scores if s.status != "done"]
    overall = evaluation.groups[0]
    text = own.get_template("evaluation.html.j2").render(
        evaluation=evaluation,
        overall=overall,
        tiles=_tiles(overall),
        tables=[_by_measure(m, evaluation.groups) for m in tables.MEASURES if _worth_showing(m, overall)],
        absent=_absent(evaluation.groups),
        repeats=[_by_variant(group) for group in evaluation.repeat_groups],
        worst=evaluation.figures,
        not_done=not_done,
        false_alarms=[s for s in evaluation.scores if s.status == "done" and not s.present],
        summary=evaluation.summary(),
        intended_use=INTENDED_USE,
    )
    return clean(text)


def _worth_showing(measure: str, overall: tables.Group) -> bool:
    """Return whether a table says anything: with no refusal both tables of Dice are the same."""
    same = measure == "dice_with_refused_as_0" and overall.refused + overall.failed == 0
    return overall.measures[measure].n > 0 and not same


def _tiles(overall: tables.Group) -> list[tuple[str, str, str, str]]:
    """Label, value, unit and note of what a reader wants first."""
    dice = overall.measures["dice"]
    known = not math.isnan(dice.mean_low)
    interval = f"95 % interval {number(dice.mean_low, 4)} to {number(dice.mean_high, 4)}" if known else ""
    tiles = [
        ("Mean Dice", number(dice.mean, 4), "", interval),
        ("5th percentile", number(dice.tail, 4), "", f"median {number(dice.median, 4)}"),
        ("Worst Dice", number(dice.worst, 4), "", dice.worst_id),
    ]
    for name in ("hd95_mm", "angle_error_deg"):
        one = overall.measures[name]
        if one.n:
            label, unit, digits = _LABELS[name]
            tiles.append((f"{label}, median", number(one.median, digits), unit, f"p95 {number(one.tail, digits)}"))
    present = overall.cases - overall.absent
    tiles.append(("Refused or failed", str(overall.refused + overall.failed), "", f"of {present}"))
    return tiles


def _absent(groups: Sequence[tables.Group]) -> Table:
    """How many images without the structure were refused, as they should be; no rows where there are none."""
    rows = tuple(
        Row(
            group.name or "(none)",
            (str(group.absent), str(group.absent_refused), f"{100 * group.absent_refused / group.absent:.1f} %"),
            group.name == tables.ALL,
        )
        for group in groups
        if group.absent
    )
    return Table("Images without the structure", ("", "n", "Refused", "Share"), rows)


def _by_measure(measure: str, groups: Sequence[tables.Group]) -> Table:
    label, unit, _ = _LABELS[measure]
    better = tables.MEASURES[measure]
    tail = "5th percentile" if better == "high" else "95th percentile"
    of = " |x|" if better == "zero" else ""
    heads = ("", "n", "Mean", f"Median{of}", f"{tail}{of}", "Worst", "Worst case")
    rows = tuple(_row(group.name, group.measures[measure], measure, group.name == tables.ALL) for group in groups)
    return Table(f"{label} ({unit})" if unit else label, heads, rows)


def _row(name: str, one: tables.Statistic, measure: str, is_all: bool = False) -> Row:
    digits = _LABELS[measure][2]

    def with_interval(value: float, low: float, high: float) -> str:
        if math.isnan(low):
            return number(value, digits)
        return f"{number(value, digits)} ({number(low, digits)} to {number(high, digits)})"

    count = f"{one.n} + {one.infinite} infinite" if one.infinite else str(one.n)
    return Row(
        name or "(none)",
        (
            count,
            with_interval(one.mean, one.mean_low, one.mean_high),
            with_interval(one.median, one.median_low, one.median_high),
            with_interval(one.tail, one.tail_low, one.tail_high),
            number(one.worst, digits),
            one.worst_id,
        ),
        is_all,
    )


def _by_variant(group: tables.RepeatGroup) -> Table:
    title = f"{group.kind} {group.variant}".strip()
    refused = f", {group.refused} refused" if group.refused else ""
    heads = ("", "n", "Mean", "Median |x|", "Tail |x|", "Worst", "Worst case")
    rows = tuple(
        _row(f"{_LABELS[name][0]}{f' ({_LABELS[name][1]})' if _LABELS[name][1] else ''}", one, name)
        for name, one in group.measures.items()
        if one.n
    )
    return Table(f"{title}, against {group.base} ({group.cases} cases{refused})", heads, rows)
