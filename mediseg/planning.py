"""What a recipe would do with an input, without doing it: what was found, what would run, why the rest was left out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mediseg.errors import Exit, MedisegError, exit_of
from mediseg.volume import Volume

if TYPE_CHECKING:
    from mediseg.io.cases import CaseInput
    from mediseg.io.select import Rejected
    from mediseg.io.study import Stack, Study

_MANY_ALIKE = 4  # rows of one series that differ in nothing but their label are told as one from here on


@dataclass(frozen=True)
class Row:
    """One stack (or a series without one, or a file) of the table. ``description`` never names the patient."""

    series: str
    description: str
    modality: str
    orientation: str
    shape: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    used: bool
    note: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class PlannedCase:
    """What would happen to one case: ``chosen`` says on what it would run and why; empty where it cannot, see error."""

    name: str
    kind: str
    rows: tuple[Row, ...]
    chosen: str
    error: str
    exit_code: int
    other_files: int = 0
    damaged: str = ""


@dataclass(frozen=True)
class Plan:
    """The plan of a recipe for all cases of an input."""

    recipe: str
    wanted: str
    steps: tuple[str, ...]
    cases: tuple[PlannedCase, ...]

    @property
    def exit_code(self) -> int:
        """What a run would end with, as far as headers tell."""
        return int(exit_of(case.exit_code for case in self.cases))

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as JSON types."""
        return {**asdict(self), "exit_code": self.exit_code}


def plan(recipe: str, inputs: str | Path | Iterable[str | Path]) -> Plan:
    """Return what ``mediseg run RECIPE INPUT...`` would work on. Writes nothing, decodes no DICOM pixel.

    Raises UsageError for an unknown recipe or a path that does not exist; what is wrong with a case stands in it.
    """
    from mediseg.io.cases import find_cases
    from mediseg.recipe import load_recipe

    loaded = load_recipe(recipe)
    paths = [inputs] if isinstance(inputs, str | Path) else list(inputs)
    cases = tuple(_planned(case, loaded.input) for case in find_cases(paths, loaded.input))
    return Plan(loaded.name, loaded.input, tuple(step.info.name for step in loaded.steps), cases)


def _planned(case: CaseInput, wanted: str) -> PlannedCase:
    if case.error is not None:
        return PlannedCase(case.name, case.kind, (), "", str(case.error), int(case.error.exit_code))
    return _planned_study(case, wanted) if case.study is not None else _planned_files(case, wanted)


def _planned_study(case: CaseInput, wanted: str) -> PlannedCase:
    from mediseg.io.select import choose, damaged, sorted_out

    study = case.study
    assert study is not None
    broken = damaged(study.broken) if study.broken else ""
    try:
        choice = choose(study, wanted)
    except MedisegError as error:
        rejected = sorted_out(study, wanted)[1]
        rows = _table(study, (), rejected)
        return PlannedCase(case.name, case.kind, rows, "", str(error), int(error.exit_code), study.ignored, broken)
    rows = _table(study, choice.stacks, choice.rejected)
    return PlannedCase(case.name, case.kind, rows, choice.reason, "", int(Exit.DONE), study.ignored, broken)


def _table(study: Study, used: Iterable[Stack], rejected: Iterable[Rejected]) -> tuple[Row, ...]:
    """One row a stack, and one a series without any; many alike of one series (time points) are one row."""
    chosen, reasons = {id(stack) for stack in used}, {id(item): why for item, why in rejected}
    rows: list[Row] = []
    for series in study.series:
        if series.stacks:
            rows += _merged([_row(stack, id(stack) in chosen, reasons.get(id(stack), "")) for stack in series.stacks])
        else:
            number = "" if series.info.number is None else str(series.info.number)
            note = reasons.get(id(series), series.unfit or "")
            rows.append(Row(number, series.info.description, series.info.modality, "", (), (), False, note))
    return tuple(rows)


def _merged(rows: list[Row]) -> list[Row]:
    """Tell alike rows once, where there are more than a few of them."""
    alike: dict[Row, list[Row]] = {}
    for row in rows:
        alike.setdefault(replace(row, description=""), []).append(row)
    return [row for group in alike.values() for row in _told(group)]


def _told(group: list[Row]) -> list[Row]:
    if len(group) < _MANY_ALIKE:
        return group
    return [replace(group[0], description=f"{group[0].description} and {len(group) - 1} more like it")]


def _row(stack: Stack, used: bool, why: str) -> Row:
    geometry = stack.geometry
    words = ", ".join(word for word in (stack.info.description, stack.label) if word)
    return Row(
        series="" if stack.info.number is None else str(stack.info.number),
        description=words,
        modality=stack.info.modality,
        orientation="" if geometry is None else geometry.codes,
        shape=() if geometry is None else geometry.shape,
        spacing_mm=() if geometry is None else _rounded(geometry.spacing_mm),
        used=used,
        note="used" if used else why or stack.unfit or "",
        warnings=tuple(f"{warn.code}: {warn.message}" for warn in stack.warnings),
    )


def _rounded(values: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(round(value, 4) for value in values)


def _planned_files(case: CaseInput, wanted: str) -> PlannedCase:
    try:
        read = case.read(wanted)
    except MedisegError as error:
        return PlannedCase(case.name, case.kind, (), "", str(error), int(error.exit_code))
    volumes = read if isinstance(read, tuple) else (read,)
    rows = tuple(_file_row(volume) for volume in volumes)
    return PlannedCase(case.name, case.kind, rows, "the file itself" if len(rows) == 1 else "all files", "", 0)


def _file_row(volume: Volume) -> Row:
    geometry = volume.geometry
    name = volume.source.files[0].name if volume.source is not None and volume.source.files else ""
    warnings = tuple(f"{warn.code}: {warn.message}" for warn in volume.warnings)
    return Row("", name, "", geometry.codes, geometry.shape, _rounded(geometry.spacing_mm), True, "used", warnings)
