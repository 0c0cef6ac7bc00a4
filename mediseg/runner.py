"""One case: read, run the recipe's steps, write everything, and ``report.json`` last, so that it marks completion."""

from __future__ import annotations

import hashlib
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mediseg.errors import Cancelled, Exit, InputError, MedisegError, OutputError, Refusal, UsageError, Warn
from mediseg.numerics.compute import COMPUTE, Compute
from mediseg.outputs import NAMES, Written, all_measurements, lookup, write_values
from mediseg.recipe import INPUTS, Recipe, RecipeStep, load_recipe
from mediseg.volume import Volume

if TYPE_CHECKING:
    from mediseg.io.cases import CaseInput
    from mediseg.record import CaseRecord, ModelRecord, StepRecord


@dataclass(frozen=True)
class RunOptions:
    """What a user may choose beside the recipe; all of it but ``resume`` changes files and so belongs to the record."""

    threads: int = 2
    device: str = "cpu"
    resume: bool = True
    dicom: bool = True
    seg_type: str = "binary"
    deterministic_uids: bool = False

    def parameters(self) -> dict[str, Any]:
        """The options that shape the output files."""
        return {
            "threads": self.threads,
            "device": self.device,
            "dicom": self.dicom,
            "seg_type": self.seg_type,
            "deterministic_uids": self.deterministic_uids,
        }


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
    folder = out / item.name
    work = _Work(recipe, item, folder, options, progress, cancel)
    if options.resume:
        finished = work.finished()
        if finished is not None:
            return finished
    _fresh(folder)
    token = COMPUTE.set(Compute(options.threads, options.device))
    try:
        return work.do()
    finally:
        COMPUTE.reset(token)


def _fresh(folder: Path) -> None:
    """Make the case's folder and take away what an earlier run left, its marker first."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("report.json", "report.html", "error.txt", *NAMES):
            if not (folder / name).is_dir():
                (folder / name).unlink(missing_ok=True)
        for old in (folder / "dicom").glob("*.dcm"):
            old.unlink()
    except OSError as error:
        raise OutputError(f"cannot write into {folder.name}: {error.strerror}") from error


@dataclass
class _Work:
    """What one run of a case has gathered so far."""

    recipe: Recipe
    item: CaseInput
    folder: Path
    options: RunOptions
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
            for step in self.recipe.steps:
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
            return self._close("failed", self._keep_traceback(error), Exit.BUG, [])

    def _stage(self, name: str) -> None:
        if self.cancel is not None and self.cancel():
            raise Cancelled(f"stopped before {name}; finished cases stay, the next run resumes")
        if self.progress is not None:
            self.progress(Progress(self.item.name, name, self.stages, len(self.recipe.steps) + 2))
        self.stages += 1

    def _read(self) -> None:
        self._stage("read")
        with _measured() as meter:
            read = self.item.read(self.recipe.input)
        self.values[INPUTS[self.recipe.input]] = read
        volumes = read if isinstance(read, tuple) else (read,)
        warnings = tuple(w for volume in volumes for w in volume.warnings)
        self.warnings += warnings
        self._record("read", meter, None, warnings)

    def _run_step(self, step: RecipeStep) -> None:
        self._stage(step.info.name)
        arguments = {name: lookup(self.values, source) for name, source in step.sources.items()}
        model = _model_record(step)
        warnings: tuple[Warn, ...] = ()
        with _measured() as meter:
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

    def _record(self, name: str, meter: _Meter, model: ModelRecord | None, warnings: tuple[Warn, ...]) -> None:
        from mediseg.record import StepRecord

        codes = tuple(w.code for w in warnings)
        peak, seconds = round(meter.peak_mb, 1), round(meter.seconds, 3)
        self.steps.append(StepRecord(name=name, seconds=seconds, peak_mb=peak, model=model, warnings=codes))

    def _keep_traceback(self, error: Exception) -> str:
        """Save where it broke (never the message's values: they could hold a name). Returns the line for the user."""
        from mediseg.io.atomic import write_bytes_atomically

        frames = "".join(traceback.format_list(traceback.extract_tb(error.__traceback__)))
        path = self.folder / "error.txt"
        write_bytes_atomically(path, f"{type(error).__name__}\n{frames}".encode())
        return f"a bug in mediseg ({type(error).__name__}); where it happened is in {self.item.name}/error.txt"

    def _finish(self, status: str, reason: str, code: Exit) -> Case:
        """Write all files; ``report.json`` is the last."""
        from mediseg.io.atomic import write_bytes_atomically
        from mediseg.report import render_case

        self._stage("write")
        with _measured() as meter:
            written = self._write_files()
            record = self._case_record(status, reason, [])
            html = render_case(record, self.values)
            write_bytes_atomically(self.folder / "report.html", html.encode())
            written.append(Written("report.html", "html"))
        self._record("write", meter, None, ())
        return self._close(status, reason, code, written)

    def _close(self, status: str, reason: str, code: Exit, written: list[Written]) -> Case:
        """Write ``report.json``: from now on the case is complete."""
        from mediseg.io.atomic import write_bytes_atomically

        record = self._case_record(status, reason, written)
        write_bytes_atomically(self.folder / "report.json", record.to_json())
        paths = (*(self.folder / one.path for one in written), self.folder / "report.json")
        return Case(self.item.name, status, reason, self.folder, record, self.values, tuple(self.warnings), paths, code)

    def _write_files(self) -> list[Written]:
        written = write_values(self.values, self.folder, self.recipe.outputs)
        if self.options.dicom and (self.recipe.outputs is None or "dicom" in self.recipe.outputs):
            written += self._write_dicom()
        return written

    def _write_dicom(self) -> list[Written]:
        head = self.values.get(INPUTS[self.recipe.input])
        if not isinstance(head, Volume) or head.source is None or head.source.kind != "dicom":
            return []
        from mediseg.io.dicom.outputs import write_dicom_outputs
        from mediseg.io.dicom.uids import DicomOptions

        options = DicomOptions(self.options.seg_type, self.options.deterministic_uids, self.item.digest)
        paths, warnings = write_dicom_outputs(self.values, head, self.folder / "dicom", options)
        self.warnings += warnings
        return [Written(path.relative_to(self.folder).as_posix(), "dicom") for path in paths]

    def _case_record(self, status: str, reason: str, written: list[Written]) -> CaseRecord:
        from mediseg import record as model

        head = self.values.get(INPUTS[self.recipe.input])
        plane, brain = self.values.get("midsagittal"), self.values.get("brain")
        localization = self.values.get("localization")
        confidences = [v.confidence for v in (brain, localization) if v is not None]
        return model.CaseRecord.model_validate(
            {
                "status": status,
                "reason": reason,
                "case": self.item.name,
                "recipe": self._recipe_record(),
                "mediseg": _version(),
                "input": (self._input_record(head),),
                "source": model.source_record(head, plane.tilt_deg if plane else None) if head is not None else None,
                "steps": tuple(self.steps),
                "measurements": tuple(model.measurement_record(m) for m in all_measurements(self.values)),
                "roi": model.roi_record(localization, self.values.get("callosum")) if localization else None,
                "quality": model.quality_record(confidences, self.warnings),
                "warnings": tuple(model.warning_record(w) for w in self.warnings),
                "outputs": tuple(
                    model.OutputRecord(path=w.path, kind=w.kind, sha256=_sha256(self.folder / w.path)) for w in written
                ),
            }
        )

    def _recipe_record(self) -> Any:
        from mediseg.record import RecipeRecord, json_value

        parameters = json_value({**self.recipe.parameters(), "run": self.options.parameters()})
        return RecipeRecord(name=self.recipe.name, sha256=self.recipe.sha256, parameters=parameters)

    def _input_record(self, head: Volume | None) -> Any:
        from mediseg.record import InputRecord

        series = head.source.series_uid if head is not None and head.source is not None else None
        return InputRecord(path=self.item.name, sha256=self.item.digest, series_uid=series)

    def finished(self) -> Case | None:
        """Return the case as an earlier run left it, if nothing it depends on has changed and it did not fail."""
        from mediseg.record import CaseRecord

        try:
            record = CaseRecord.from_json((self.folder / "report.json").read_bytes())
        except (OSError, ValueError):
            return None
        models = {step.info.name: _model_record(step) for step in self.recipe.steps}
        same = (
            record.status in ("done", "refused")
            and record.mediseg == _version()
            and record.recipe == self._recipe_record()
            and [one.sha256 for one in record.input] == [self.item.digest]
            and all(step.model == models.get(step.name) for step in record.steps)
            and all((self.folder / one.path).is_file() for one in record.outputs)
        )
        if not same:
            return None
        code = Exit.DONE if record.status == "done" else Exit.REFUSED
        return Case(self.item.name, record.status, record.reason, self.folder, record, exit_code=code, resumed=True)


def _version() -> str:
    import mediseg

    return mediseg.__version__


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _model_record(step: RecipeStep) -> ModelRecord | None:
    if "model" not in step.settings:
        return None
    from mediseg.inference import load_bundle
    from mediseg.record import ModelRecord

    bundle = load_bundle(step.settings["model"])
    return ModelRecord(name=bundle.name, version=bundle.version, sha256=bundle.sha256, licence=bundle.licence)


class _Meter:
    """Wall-clock time and the process's highest resident memory, sampled every 20 ms by a thread."""

    def __init__(self) -> None:
        import psutil

        self._process = psutil.Process()
        self._begin = time.perf_counter()
        self._stop = threading.Event()
        self.peak_mb = self._resident_mb()
        self.seconds = 0.0
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _resident_mb(self) -> float:
        return float(self._process.memory_info().rss) / 1e6

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            self.peak_mb = max(self.peak_mb, self._resident_mb())

    def stop(self) -> None:
        """End the measurement (twice does no harm)."""
        if not self._stop.is_set():
            self.seconds = time.perf_counter() - self._begin
            self._stop.set()
            self._thread.join()
            self.peak_mb = max(self.peak_mb, self._resident_mb())


@contextmanager
def _measured() -> Iterator[_Meter]:
    meter = _Meter()
    try:
        yield meter
    finally:
        meter.stop()
