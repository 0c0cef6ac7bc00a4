"""``mediseg run``: a recipe on studies or files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mediseg.errors import InputError, OutputError, UsageError

if TYPE_CHECKING:
    from mediseg.attempt import Executor
    from mediseg.batch import Batch
    from mediseg.casefile import RunOptions
    from mediseg.io.cases import CaseInput
    from mediseg.recipe import Recipe
    from mediseg.runner import Case


def run_options(function: Any) -> Any:
    """Give a command the options that `run` and `demo` share."""
    options = (
        click.option("--set", "settings", multiple=True, metavar="STEP.PARAM=VALUE", help="Change a step's setting."),
        click.option("--workers", type=click.IntRange(1, 256), default=1, show_default=True, help="Cases at a time."),
        click.option("--threads", type=click.IntRange(1, 256), default=2, show_default=True, help="Threads a case."),
        click.option("--device", type=click.Choice(["cpu", "cuda", "auto"]), default="cpu", show_default=True),
        click.option(
            "--executor", type=click.Choice(["local", "dask"]), default="local", show_default=True,
            help="Where cases run: here, or on a Dask cluster (extra: cluster).",
        ),
        click.option("--scheduler", metavar="ADDRESS", help="Of the Dask scheduler, such as tcp://host:8786."),
        click.option(
            "--layout", type=click.Choice(["mediseg", "bids"]), default="mediseg", show_default=True,
            help="bids: a BIDS-derivatives dataset, with the ordinary tree in its folder mediseg.",
        ),
        click.option(
            "--case-name", metavar="TEMPLATE", default="{name}", show_default=True,
            help="How cases are named: {name}, {index} and {hash} may stand in it.",
        ),
        click.option("--resume/--no-resume", default=True, show_default=True, help="Skip what is done already."),
        click.option("--dicom/--no-dicom", default=True, show_default=True, help="DICOM results for DICOM input."),
        click.option(
            "--seg-type", type=click.Choice(["binary", "labelmap"]), default="binary", show_default=True,
            help="Kind of DICOM segmentation.",
        ),
        click.option(
            "--dicom-report/--no-dicom-report", default=False, show_default=True,
            help="Also the report's pages as DICOM images (Secondary Capture).",
        ),
        click.option(
            "--dicom-pdf/--no-dicom-pdf", default=False, show_default=True,
            help="Also the report as a PDF in a DICOM object (extra: pdf).",
        ),
        click.option("--deterministic-uids", is_flag=True, help="Same input, same UIDs."),
        click.option("--quiet", is_flag=True, help="No progress, no summary."),
        click.option("--json", "as_json", is_flag=True, help="One JSON object a case on stdout."),
        click.option("--debug", is_flag=True, help="Show the traceback of an error."),
    )  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


@click.command(
    "run",
    short_help="run a recipe on studies or files",
    epilog="Example: mediseg run corpus-callosum study.zip --out results",
)
@click.argument("recipe")
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option("--out", required=True, metavar="DIR", help="Folder for the results; made if it is not there.")
@run_options
def command(recipe: str, inputs: tuple[str, ...], out: str, **options: Any) -> int:
    """Run RECIPE on every INPUT: DICOM folders, zips or files, NIfTI, MGH, NRRD, MetaImage, or folders of those.

    Results land in --out, one folder a case, with a report page each and an index over all.
    """
    from mediseg.io.cases import find_cases
    from mediseg.io.dicom.find import unpacked_once
    from mediseg.recipe import load_recipe, parse_settings

    loaded = load_recipe(recipe, parse_settings(options["settings"]))
    check_place(options)
    with unpacked_once():
        items = find_cases([_whole(Path(one), options["executor"]) for one in inputs], loaded.input)
        if not out:
            raise UsageError("--out is empty; name the folder for the results")
        return run_items(loaded, items, Path(out), options)


def check_place(options: dict[str, Any]) -> None:
    """Raise UsageError for options that do not say where the cases shall run."""
    if options["executor"] == "dask" and not options["scheduler"]:
        raise UsageError("--executor dask needs --scheduler, such as tcp://host:8786; see docs/cluster.md")
    if options["executor"] == "local" and options["scheduler"]:
        raise UsageError("--scheduler is for --executor dask")
    if options["executor"] == "dask" and options["workers"] != 1:
        raise UsageError("--workers counts processes here; a Dask cluster has as many workers as were started for it")


def _whole(path: Path, executor: str) -> Path:
    """Return a path that workers with another working folder find, too; one that is missing stays as it was typed."""
    return path.absolute() if executor == "dask" and path.exists() else path


def run_items(recipe: Recipe, items: Sequence[CaseInput], out: Path, options: dict[str, Any]) -> int:
    """Run cases with a progress display, print what came of them, return the exit status."""
    from mediseg.batch import run_batch
    from mediseg.cli._progress import Display

    if len(items) == 1 and items[0].error is not None:
        raise items[0].error
    named = [_renamed(item, options["case_name"], n) for n, item in enumerate(items, start=1)]
    if len({item.name for item in named}) != len(named):
        raise UsageError(f'--case-name "{options["case_name"]}" gives two cases the same name; add {{index}}')
    inner = layout(out, options["layout"], [item.name for item in named])
    lines = _Lines()

    def finished(case: Case) -> None:
        display.case(case)
        if options["as_json"]:
            lines.print(case)

    with Display(len(named), quiet=options["quiet"]) as display:
        batch = run_batch(
            recipe,
            named,
            inner,
            _run_options(options),
            workers=options["workers"],
            executor=_executor(options),
            progress=None if options["quiet"] else display.stage,
            finished=finished,
        )
    if options["layout"] == "bids":
        from mediseg.io.bids_write import write_dataset

        write_dataset(out, [(case.name, case.status in ("done", "refused")) for case in batch.cases])
    if not options["quiet"]:
        _summary(batch, inner)
    if lines.failure is not None:
        raise OutputError(f"stdout cannot be written ({lines.failure.strerror}); the cases are done, see {out.name}")
    return batch.exit_code


def layout(out: Path, layout: str, names: Sequence[str]) -> Path:
    """Return the folder that the cases are written into, once it is sure that they may be."""
    if layout != "bids":
        return out
    from mediseg.casefile import version
    from mediseg.io.bids_write import INNER, begin_dataset, check_dataset

    check_dataset(out, names)
    begin_dataset(out, version())
    return out / INNER


def _executor(options: dict[str, Any]) -> Executor | None:
    if options["executor"] == "local":
        return None
    from mediseg.cluster import on_scheduler

    return on_scheduler(options["scheduler"])


def _run_options(options: dict[str, Any]) -> RunOptions:
    from mediseg.casefile import RunOptions
    from mediseg.report.pdf import needs_fpdf

    if options["dicom_pdf"]:
        needs_fpdf()
    return RunOptions(
        threads=options["threads"],
        device=options["device"],
        resume=options["resume"],
        dicom=options["dicom"],
        seg_type=options["seg_type"],
        dicom_report=options["dicom_report"],
        dicom_pdf=options["dicom_pdf"],
        deterministic_uids=options["deterministic_uids"],
    )


def _renamed(item: CaseInput, template: str, index: int) -> CaseInput:
    from mediseg.io.cases import safe_name

    if template == "{name}":
        return item
    try:
        content = item.digest[:8] if "{hash" in template else ""
    except InputError:
        return item  # it has no hash; that it cannot be read is told when its turn comes, and stops no other
    try:
        name = template.format(name=item.name, index=index, hash=content)
    except (LookupError, ValueError, AttributeError, TypeError) as error:
        raise UsageError(f'--case-name "{template}": only {{name}}, {{index}} and {{hash}} may stand in it') from error
    if safe_name(name.replace(" ", "_")) != name.replace(" ", "_"):
        raise UsageError(f'--case-name gives "{name}", which is no portable file name')
    return replace(item, name=name)


class _Lines:
    """Prints a line a case on stdout. Nobody reads any more: the cases go on, the failure is told at the end."""

    def __init__(self) -> None:
        self.failure: OSError | None = None

    def print(self, case: Case) -> None:
        if self.failure is not None:
            return
        try:
            click.echo(json.dumps(json.loads(case.record.to_json()), separators=(",", ":")))
        except OSError as error:
            self.failure = error


def _summary(batch: Batch, out: Path) -> None:
    counts = [(s, sum(c.status == s for c in batch.cases)) for s in ("done", "refused", "failed")]
    text = ", ".join(f"{count} {status}" for status, count in counts if count)
    click.echo(f"{text}; see {out / 'index.html'}", err=True)
