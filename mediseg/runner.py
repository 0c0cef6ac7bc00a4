"""One case: read, run the recipe's steps, write everything, and ``report.json`` last, so that it marks completion."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mediseg.casefile import Job, RunOptions, case_record, check_models, earlier_record, model_record
from mediseg.casefolder import case_folder, written_in
from mediseg.errors import Cancelled, Exit, InputError, MedisegError, OutputError, Refusal, UsageError, Warn
from mediseg.meter import Meter, measured
from mediseg.numerics.compute import COMPUTE, Compute
from mediseg.outputs import Written, lookup, write_values
from mediseg.recipe import INPUTS, Recipe, RecipeStep, load_recipe

if TYPE_CHECKING:
    from mediseg.io.cases import CaseInput
    from mediseg.io.dicom.uids import DicomOptions
    from mediseg.record import CaseRecord, ModelRecord, StepRecord
    from mediseg.volume import Volume


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a case stands: ``done`` of ``total`` stages are finished, ``stage`` has begun."""

    case: str
    stage: str
    done: int
    total: int


@dataclass(frozen=True)
class Case:
    """How one case ended: ``done``, ``refused`` (read, but not fit) or ``failed``.

    ``values`` are the steps' results by name (empty for a case that was resumed or ran in another process); ``paths``
    the files written; ``exit_code`` what a command with only this case ends with.
    """

    name: str
    status: str
    reason: str
    folder: Path
    record: CaseRecord
    values: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[Warn, ...] = ()
    paths: tuple[Path, ...] = ()
    exit_code: int = Exit.DONE
    resumed: bool = False


ProgressCallback = Callable[[Progress], None]
CancelCheck = Callable[[], bool]


def run(
    recipe: str,
    path: str | Path,
    out: str | Path,
    *,
    settings: Mapping[str, object] | None = None,
    options: RunOptions | None = None,
    progress: ProgressCallback | None = None,
    cancel: CancelCheck | None = None,
) -> Case:
    """Run a recipe on one study or file and write its case folder into ``out``.

    ``settings`` are ``{"step.param": value}``. ``progress`` is called at each stage; ``cancel`` is asked before each
    and stops the run when it answers True. A refused case is returned with its reason, not raised.

    Raises UsageError, InputError (nothing readable), OutputError and Cancelled.
    """
    from mediseg.io.cases import find_cases

    loaded = load_recipe(recipe, settings)
    check_models(loaded)
    cases = find_cases([Path(path)], loaded.input)
    if len(cases) != 1:
        raise UsageError(f"{Path(path).name} holds {len(cases)} cases; mediseg.run takes one, the command line a batch")
    if cases[0].error is not None:
        raise cases[0].error
    case = run_case(loaded, cases[0], Path(out), options or RunOptions(), progress, cancel)
    if case.exit_code == Exit.UNREADABLE:
        raise InputError(case.reason)
    return case


def run_case(
    recipe: Recipe,
    item: CaseInput,
    out: Path,
    options: RunOptions,
    progress: ProgressCallback | None = None,
    cancel: CancelCheck | None = None,
) -> Case:
    """Run a checked recipe on one case. Never raises for what is wrong with the case itself.

    Raises OutputError when its folder cannot be written, UsageError for a missing model, Cancelled.
    """
    from mediseg.io.dicom.find import unpacked_once

    with unpacked_once():
        return _run(Job(recipe, item, out / item.name, options), progress, cancel)


def _run(job: Job, progress: ProgressCallback | None, cancel: CancelCheck | None) -> Case:
    item, options = job.item, job.options
    if options.resume and (record := earlier_record(job)) is not None:
        code = Exit.DONE if record.status == "done" else Exit.REFUSED
        return Case(item.name, record.status, record.reason, job.folder, record, exit_code=code, resumed=True)
    _ = item.digest  # a file that cannot be read to its end fails here, before anything is written
    token = COMPUTE.set(Compute(options.threads, options.device))
    try:
        # what overflows or divides by zero in a hostile image shows in its values, which the steps look at
        with case_folder(job.folder), np.errstate(over="ignore", divide="ignore", invalid="ignore", under="ignore"):
            return _Work(job, progress, cancel).do()
    finally:
        COMPUTE.reset(token)


@dataclass
class _Work:
    """What one run of a case has gathered so far."""

    job: Job
    progress: ProgressCallback | None
    cancel: CancelCheck | None
    values: dict[str, Any] = field(default_factory=dict)
    steps: list[StepRecord] = field(default_factory=list)
    warnings: list[Warn] = field(default_factory=list)
    stages: int = 0

    def do(self) -> Case:
        status, reason, code = "done", "", Exit.DONE
        try:
            self._read()
            for step in self.job.recipe.steps:
                self._run_step(step)
        except Refusal as refusal:
            status, reason, code = "refused", str(refusal), Exit.REFUSED
            self.warnings += refusal.warnings
        except (UsageError, OutputError, Cancelled):
            raise
        except MedisegError as error:
            status, reason, code = "failed", str(error), error.exit_code
        except Exception as error:  # noqa: BLE001 - one case's bug must not stop the others
            status, reason, code = "failed", self._keep_traceback(error), Exit.BUG
        try:
            return self._finish(status, reason, code)
        except MedisegError:
            raise
        except Exception as error:  # noqa: BLE001 - the same, while writing
            return self._close("failed", self._keep_traceback(error), Exit.BUG, written_in(self.job.folder))

    def _stage(self, name: str) -> None:
        if self.cancel is not None and self.cancel():
            raise Cancelled(f"stopped before {name}; finished cases stay, the next run resumes")
        if self.progress is not None:
            self.progress(Progress(self.job.item.name, name, self.stages, len(self.job.recipe.steps) + 2))
        self.stages += 1

    def _read(self) -> None:
        self._stage("read")
        with measured() as meter:
            read = self.job.item.read(self.job.recipe.input)
        self.values[INPUTS[self.job.recipe.input]] = read
        volumes = read if isinstance(read, tuple) else (read,)
        warnings = tuple(w for volume in volumes for w in volume.warnings)
        self.warnings += warnings
        self._record("read", meter, None, warnings)

    def _run_step(self, step: RecipeStep) -> None:
        self._stage(step.info.name)
        arguments = {name: lookup(self.values, source) for name, source in step.sources.items()}
        model = model_record(step)
        warnings: tuple[Warn, ...] = ()
        with measured() as meter:
            try:
                result = step.info.function(**arguments, **step.settings)
                warnings = result.warnings
            except Refusal as refusal:
                warnings = refusal.warnings
                raise
            finally:
                meter.stop()
                self._record(step.info.name, meter, model, warnings)
        self.values[step.info.gives] = result
        self.warnings += warnings

    def _record(self, name: str, meter: Meter, model: ModelRecord | None, warnings: tuple[Warn, ...]) -> None:
        from mediseg.record import StepRecord

        codes = tuple(w.code for w in warnings)
        peak, seconds = round(meter.peak_mb, 1), round(meter.seconds, 3)
        self.steps.append(StepRecord(name=name, seconds=seconds, peak_mb=peak, model=model, warnings=codes))

    def _keep_traceback(self, error: Exception) -> str:
        """Save where it broke (never the message's values: they could hold a name). Returns the line for the user."""
        from mediseg.io.atomic import write_bytes_atomically

        frames = "".join(traceback.format_list(traceback.extract_tb(error.__traceback__)))
        path = self.job.folder / "error.txt"
        write_bytes_atomically(path, f"{type(error).__name__}\n{frames}".encode())
        return f"a bug in mediseg ({type(error).__name__}); where it happened is in {self.job.item.name}/error.txt"

    def _finish(self, status: str, reason: str, code: Exit) -> Case:
        """Write all files; ``report.json`` is the last."""
        from mediseg.io.atomic import write_bytes_atomically
        from mediseg.report import render_case

        self._stage("write")
        with measured() as meter:
            written = self._write_files()
            record = self._case_record(status, reason, [])
            written += self._write_dicom_report(record)
            html = render_case(record, self.values)
            write_bytes_atomically(self.job.folder / "report.html", html.encode())
            written.append(Written("report.html", "html"))
        self._record("write", meter, None, ())
        return self._close(status, reason, code, written)

    def _close(self, status: str, reason: str, code: Exit, written: list[Written]) -> Case:
        """Write ``report.json``: from now on the case is complete."""
        from mediseg.io.atomic import write_bytes_atomically

        record = self._case_record(status, reason, written)
        write_bytes_atomically(self.job.folder / "report.json", record.to_json())
        paths = (*(self.job.folder / one.path for one in written), self.job.folder / "report.json")
        return Case(
            self.job.item.name, status, reason, self.job.folder, record, self.values, tuple(self.warnings), paths, code
        )

    def _write_files(self) -> list[Written]:
        """Write DICOM while a second thread packs the volumes, which is zlib's work and leaves Python free."""
        with ThreadPoolExecutor(1) as second:
            volumes = second.submit(copy_context().run, self._write_volumes)
            dicom = self._write_dicom()
            return volumes.result() + dicom

    def _write_volumes(self) -> list[Written]:
        return write_values(self.values, self.job.folder, self.job.recipe.outputs)

    def _dicom_head(self) -> Volume | None:
        """Return what DICOM may be derived from; None where the source was none, or nobody wants any."""
        head, options = self.job.first_volume(self.values), self.job.options
        is_dicom = head is not None and head.source is not None and head.source.kind == "dicom"
        return head if is_dicom and options.dicom and self._keeps("dicom") else None

    def _keeps(self, output: str) -> bool:
        return self.job.recipe.outputs is None or output in self.job.recipe.outputs

    def _dicom_options(self) -> DicomOptions:
        from mediseg.io.dicom.uids import DicomOptions

        options = self.job.options
        # the corrected head is as large as the source: a recipe that drops it as NIfTI drops it here too
        keeps_corrected = self._keeps("corrected.nii.gz")
        return DicomOptions(options.seg_type, options.deterministic_uids, self.job.item.digest, keeps_corrected)

    def _write_dicom(self) -> list[Written]:
        head = self._dicom_head()
        if head is None:
            return []
        from mediseg.io.dicom.outputs import write_dicom_outputs

        paths, warnings = write_dicom_outputs(self.values, head, self.job.folder / "dicom", self._dicom_options())
        self.warnings += warnings
        return self._dicom_files(paths)

    def _write_dicom_report(self, record: CaseRecord) -> list[Written]:
        head, options = self._dicom_head(), self.job.options
        if head is None or not (options.dicom_report or options.dicom_pdf):
            return []
        from mediseg.io.dicom.outputs import write_report_pages, write_report_pdf
        from mediseg.report.pages import render_pages

        pages, folder, settings = render_pages(record, self.values), self.job.folder / "dicom", self._dicom_options()
        paths = write_report_pages(pages, head, folder, settings, record.intended_use) if options.dicom_report else []
        if options.dicom_pdf:
            from mediseg.report.pdf import render_pdf

            title = f"mediseg report: {record.recipe.name}"
            paths += write_report_pdf(render_pdf(pages, title), head, folder, settings, title)
        return self._dicom_files(paths)

    def _dicom_files(self, paths: list[Path]) -> list[Written]:
        return [Written(path.relative_to(self.job.folder).as_posix(), "dicom") for path in paths]

    def _case_record(self, status: str, reason: str, written: list[Written]) -> CaseRecord:
        return case_record(self.job, (status, reason), self.values, self.steps, self.warnings, written)
