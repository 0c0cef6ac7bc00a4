"""``mediseg evaluate``: predictions against references."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mediseg.cli._progress import Counter
from mediseg.errors import Cancelled, Exit, OutputError, UsageError, did_you_mean

if TYPE_CHECKING:
    from mediseg.evaluate.evaluation import Evaluation
    from mediseg.evaluate.manifest import Manifest
    from mediseg.evaluate.scoring import Score
    from mediseg.evaluate.tables import RepeatGroup, Statistic

_EXAMPLE = "mediseg evaluate manifest.yaml --model callosum-bisenetv2 --out evaluation"
_TABLE = (
    ("dice", "mean", "Dice mean", 4),
    ("dice", "median", "median", 4),
    ("dice", "tail", "p5", 4),
    ("dice", "worst", "worst", 4),
    ("hd95_mm", "median", "HD95 mm", 2),
    ("assd_mm", "mean", "ASSD mm", 3),
    ("size_error_percent", "mean", "size %", 1),
    ("angle_error_deg", "median", "angle deg", 2),
    ("angle_error_deg", "tail", "p95", 2),
    ("center_error_mm", "tail", "centre p95", 2),
    ("acpc_angle_error_deg", "median", "AC-PC deg", 2),
    ("acpc_angle_error_deg", "tail", "p95", 2),
    ("acpc_midpoint_error_mm", "tail", "AC-PC mm p95", 2),
)


_REPEAT_TABLE = (
    ("dice_to_first", "mean", "Dice to first", 4),
    ("dice", "mean", "Dice to reference", 4),
    ("dice", "tail", "p5", 4),
    ("dice", "worst", "worst", 4),
    ("angle_change_deg", "median", "angle change deg", 2),
    ("angle_change_deg", "tail", "p95", 2),
    ("angle_change_deg", "worst", "worst", 2),
    ("angle_error_deg", "tail", "angle error p95", 2),
    ("center_change_mm", "tail", "centre change p95 mm", 2),
    ("acpc_angle_error_deg", "tail", "AC-PC deg p95", 2),
    ("acpc_midpoint_error_mm", "tail", "AC-PC mm p95", 2),
)


@click.command("evaluate", short_help="predictions against references", epilog=f"Example: {_EXAMPLE}")
@click.argument("manifest")
@click.option(
    "--out", metavar="DIR", help="Folder for cases.csv, summary.json and evaluation.html; else nothing is written."
)
@click.option("--root", metavar="DIR", help="Folder of the manifest's paths, in place of the one it names.")
@click.option("--split", default="test", show_default=True, help="train, dev, test or all.")
@click.option("--group", "groups", multiple=True, help="Only this group (site); may be given again.")
@click.option("--model", metavar="NAME", help="Make the predictions now, with this model or bundle folder.")
@click.option("--limit", type=click.IntRange(1), help="Only the first cases.")
@click.option(
    "--repeat", default="", metavar="KINDS", help="Also repeatability: rotation,matrix,turned,contrast,noise."
)
@click.option("--seed", default=0, show_default=True, help="Of perturbations and intervals.")
@click.option("--threads", type=click.IntRange(1, 256), default=2, show_default=True, help="Threads of the network.")
@click.option("--device", type=click.Choice(["cpu", "cuda", "auto"]), default="cpu", show_default=True)
@click.option("--quiet", is_flag=True, help="No progress.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a case on stdout, in place of the table.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def command(manifest: str, out: str | None, **options: Any) -> int:
    """Judge the predictions of MANIFEST, or those that --model makes now, against its references.

    Prints Dice, border distances, size, and the ROI's angle and centre by group; --out also writes every case and a
    page with the worst ten as pictures.
    """
    from mediseg.evaluate.evaluation import evaluate, write_evaluation
    from mediseg.evaluate.repeat import kinds_of
    from mediseg.io.atomic import make_writable

    if out is not None and not out:
        raise UsageError("--out is empty; name the folder for the results")
    kinds = kinds_of(options["repeat"])
    chosen = _chosen(manifest, options)
    if out is not None:
        make_writable(next(folder for folder in (Path(out), *Path(out).parents) if folder.exists()))
    lines = _Lines(options["as_json"])
    with (
        _on(options["threads"], options["device"]),
        Counter(len(chosen.entries), "case", quiet=options["quiet"]) as done,
    ):

        def finished(score: Score) -> None:
            done.one("" if score.status == "done" else f"{score.id}: {score.status}: {score.reason}")
            lines.print(score)

        split = "" if options["split"] == "all" else options["split"]
        seed, model = options["seed"], options["model"]
        try:
            result = evaluate(chosen, model=model, split=split, repeat=kinds, seed=seed, progress=finished)
        except KeyboardInterrupt as error:
            raise Cancelled("interrupted; files are written at the end, so there are none") from error
    if not options["as_json"]:
        click.echo(_table(result))
    if out is not None:
        write_evaluation(result, Path(out))
        if not options["quiet"]:
            click.echo(f"see {Path(out) / 'evaluation.html'}", err=True)
    if lines.failure is not None:
        raise OutputError(f"stdout cannot be written ({lines.failure.strerror})")
    return _exit_code(result)


def _chosen(path: str, options: dict[str, Any]) -> Manifest:
    from mediseg.evaluate.manifest import load_manifest

    manifest = load_manifest(path, options["root"])
    if options["groups"]:
        known = {entry.group for entry in manifest.entries}
        for group in options["groups"]:
            if group not in known:
                raise UsageError(f'--group: no entry is of the group "{group}"{did_you_mean(group, known)}')
    split = None if options["split"] == "all" else options["split"]
    kept = manifest.only(split, options["groups"] or None)
    return replace(kept, entries=kept.entries[: options["limit"]])


@contextmanager
def _on(threads: int, device: str) -> Iterator[None]:
    from mediseg.numerics.compute import COMPUTE, Compute

    token = COMPUTE.set(Compute(threads, device))
    try:
        yield
    finally:
        COMPUTE.reset(token)


class _Lines:
    """Prints a JSON line a case. Nobody reads any more: the cases go on, the failure is told at the end."""

    def __init__(self, wanted: bool) -> None:
        self.wanted = wanted
        self.failure: OSError | None = None

    def print(self, score: Score) -> None:
        from mediseg.evaluate.tables import as_json

        if not self.wanted or self.failure is not None:
            return
        try:
            click.echo(json.dumps(as_json(score), separators=(",", ":"), ensure_ascii=False))
        except OSError as error:
            self.failure = error


def _table(result: Evaluation) -> str:
    """Return the figures by group, then by perturbation; columns that nothing stands in are left out."""
    shown = [column for column in _TABLE if result.groups[0].measures[column[0]].n]
    some_absent = any(group.absent for group in result.groups)
    rows = [["group", "n", "refused", *(head for _, _, head, _ in shown), *(["absent", "refused"] * some_absent)]]
    for group in result.groups:
        absent = [str(group.absent), str(group.absent_refused)] if some_absent else []
        counts = [group.name or "(none)", str(group.cases - group.absent), str(group.refused + group.failed)]
        rows.append([*counts, *_cells(group.measures, shown), *absent])
    if not result.repeat_groups:
        return _aligned(rows)
    shown = [column for column in _REPEAT_TABLE if any(_has(one, column[0]) for one in result.repeat_groups)]
    again = [["perturbation", "n", "refused", *(head for _, _, head, _ in shown)]]
    for one in result.repeat_groups:
        name = f"{one.kind} {one.variant}".strip() + (f" vs {one.base.split()[-1]}" if "matrix" in one.base else "")
        again.append([name, str(one.cases), str(one.refused), *_cells(one.measures, shown)])
    return f"{_aligned(rows)}\n\n{_aligned(again)}"


def _has(group: RepeatGroup, measure: str) -> bool:
    return measure in group.measures and group.measures[measure].n > 0


def _cells(measures: Mapping[str, Statistic], columns: Sequence[tuple[str, str, str, int]]) -> list[str]:
    return [
        _number(getattr(measures[name], part), digits) if name in measures else "-" for name, part, _, digits in columns
    ]


def _number(value: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(w) if n == 0 else cell.rjust(w) for n, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )


def _exit_code(result: Evaluation) -> int:
    """Return 0 where all went well, 1 where some did not, and what the only case ended with."""
    bad = [s.status for s in result.scores if s.status == "failed" or (s.status == "refused" and s.present)]
    if not bad:
        return Exit.DONE
    if len(result.scores) > 1:
        return Exit.SOME_FAILED
    return Exit.REFUSED if bad == ["refused"] else Exit.UNREADABLE
