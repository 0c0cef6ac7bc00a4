"""Run a recipe on an image: series picker, settings, progress, cancel. The work itself is a job of its own process."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari.layers import Image
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

import mediseg
from mediseg import RotatedROI, UsageError, Volume
from napari_mediseg.cases import notice_of, read_case, record_of
from napari_mediseg.form import StepForm
from napari_mediseg.jobs import Job, Outcome, Prepared, Request, Stage
from napari_mediseg.layers import LayerTuple, Origin, origin_of, volume_of
from napari_mediseg.shapes import roi_state
from napari_mediseg.viewing import watch
from napari_mediseg.work import MessageLine, add_layers, hear_layers, in_thread, notice

_COLUMNS = ("", "series", "description", "orientation", "voxels", "mm", "note")


@dataclass(frozen=True, eq=False)
class _Asked:
    """What a run was asked for, fixed at the press of Run: what the user selects afterwards changes nothing."""

    recipe: str
    layer_name: str
    volumes: tuple[tuple[str, Volume], ...]
    path: Path | None
    series: str
    out: Path
    settings: dict[str, Any]


class RunWidget(QWidget):
    """Pick an image and a recipe, press Run."""

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self.viewer = napari_viewer
        watch(napari_viewer)
        self.job: Job | None = None
        self._forms: list[StepForm] = []
        self._plan_of: tuple[str, Path] | None = None
        self._build()
        hear_layers(self, napari_viewer, self._list_layers)
        self._list_layers()
        self._show_recipe()

    # ------------------------------------------------------------ building

    def _build(self) -> None:
        self.image = QComboBox()
        self.image.setObjectName("image")
        self.recipe = QComboBox()
        self.recipe.setObjectName("recipe")
        for one in mediseg.recipes():
            self.recipe.addItem(one.name)
            self.recipe.setItemData(self.recipe.count() - 1, one.summary, Qt.ItemDataRole.ToolTipRole)
        self.recipe.setCurrentText("corpus-callosum")
        self.out = QLineEdit(str(Path.home() / "mediseg-results"))
        browse = QPushButton("…")
        browse.setToolTip("Choose the folder for the results")
        browse.clicked.connect(self._browse)
        folder = QHBoxLayout()
        folder.addWidget(self.out)
        folder.addWidget(browse)
        top = QFormLayout()
        top.addRow("image", self.image)
        top.addRow("recipe", self.recipe)
        top.addRow("results in", folder)
        self.series = _table()
        self.forms = QWidget()
        self._forms_layout = QVBoxLayout(self.forms)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setWidget(self.forms)
        self.run_button = QPushButton("Run")
        self.run_button.setObjectName("run")
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setObjectName("cancel")
        self.cancel_button.setEnabled(False)
        buttons = QHBoxLayout()
        buttons.addWidget(self.run_button)
        buttons.addWidget(self.cancel_button)
        self.bar = QProgressBar()
        self.bar.setFormat("")
        self.message = MessageLine()
        layout = QVBoxLayout(self)
        layout.addLayout(top)
        layout.addWidget(self.series)
        layout.addWidget(scroll, 1)
        layout.addLayout(buttons)
        layout.addWidget(self.bar)
        layout.addWidget(self.message)
        self.image.currentIndexChanged.connect(lambda _: self._show_plan())
        self.recipe.currentTextChanged.connect(lambda _: self._show_recipe())
        self.run_button.clicked.connect(self._run)
        self.cancel_button.clicked.connect(self._cancel)

    def _browse(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Folder for the results", self.out.text())
        if chosen:
            self.out.setText(chosen)

    # ------------------------------------------------------------ what can be chosen

    def _list_layers(self) -> None:
        chosen = self.image.currentData()
        images = [one for one in self.viewer.layers if isinstance(one, Image)]
        self.image.blockSignals(True)
        self.image.clear()
        for layer in images:
            self.image.addItem(layer.name, layer)
        if chosen in images:
            self.image.setCurrentIndex(images.index(chosen))
        self.image.blockSignals(False)
        self._show_plan()

    def _show_recipe(self) -> None:
        loaded = next(one for one in mediseg.recipes() if one.name == self.recipe.currentText())
        for form in self._forms:
            self._forms_layout.removeWidget(form)
            form.deleteLater()
        self._forms = [StepForm(step.info, dict(step.settings), self._rois) for step in loaded.steps]
        while self._forms_layout.count():
            self._forms_layout.takeAt(0)
        for form in self._forms:
            self._forms_layout.addWidget(form)
        self._forms_layout.addStretch(1)
        self._show_plan()

    def _rois(self) -> dict[str, RotatedROI]:
        states = [(one.name, roi_state(one.metadata)) for one in self.viewer.layers]
        return {name: state.to_roi() for name, state in states if state is not None}

    def _show_plan(self) -> None:
        """Show what ``mediseg plan`` says of the study, without holding up the window."""
        path, recipe = self._path(), self.recipe.currentText()
        if path is None:
            self._plan_of = None
            self.series.setRowCount(0)
            self.series.hide()
            return
        if self._plan_of == (recipe, path):
            return
        self._plan_of = (recipe, path)
        in_thread(self, lambda: mediseg.plan(recipe, path), done=self._fill, failed=self.message.fail)

    def _fill(self, plan: Any) -> None:
        case = plan.cases[0]
        self.series.setRowCount(len(case.rows))
        for n, row in enumerate(case.rows):
            shape, spacing = (" x ".join(f"{v:g}" for v in values) for values in (row.shape, row.spacing_mm))
            texts = ("●" if row.used else "", row.series, row.description, row.orientation, shape, spacing, row.note)
            for column, text in enumerate(texts):
                item = QTableWidgetItem(text)
                item.setToolTip("\n".join([text, *row.warnings]))
                self.series.setItem(n, column, item)
        self.series.resizeColumnsToContents()
        self.series.setVisible(len(case.rows) > 0)
        self.series.clearSelection()
        if case.error:
            self.message.tell(case.error)
        elif case.chosen:
            self.message.tell(f"would run on: {case.chosen}. Choose another row to run on that series instead.")

    def _path(self) -> Path | None:
        layer = self.image.currentData()
        origin: Origin | None = None if layer is None else origin_of(layer.metadata)
        return None if origin is None else origin.path

    # ------------------------------------------------------------ running

    def _run(self) -> None:
        try:
            asked = self._asked()
        except mediseg.MedisegError as error:
            self.message.fail(error)
            return
        prepared = Prepared()
        self.run_button.setEnabled(False)
        self.cancel_button.setEnabled(True)
        self.bar.setRange(0, 0)
        self.message.tell(f"{asked.recipe} on {asked.layer_name}: starting")
        self.job = Job(Request(asked.recipe, Path(), asked.out))
        in_thread(
            self,
            _work,
            self.job,
            asked,
            prepared,
            told=self._stage,
            done=lambda scene: self._done(asked, scene),
            failed=self._failed,
        )

    def _asked(self) -> _Asked:
        layer = self.image.currentData()
        if layer is None:
            raise UsageError("there is no image; drop a study on the window, or open File > Open sample > mediseg")
        recipe = next(one for one in mediseg.recipes() if one.name == self.recipe.currentText())
        layers = [layer]
        if recipe.input == "stations":
            layers = [one for one in self.viewer.layers if isinstance(one, Image) and _is_station(one)] or [layer]
        volumes = tuple((one.name, volume_of(one.data, one.metadata, _matrix(one))) for one in layers)
        settings = {key: value for form in self._forms for key, value in form.changed().items()}
        origin = origin_of(layer.metadata)
        path = None if origin is None else origin.path
        return _Asked(
            recipe.name, layer.name, volumes, path, self._picked_series(), Path(self.out.text()).expanduser(), settings
        )

    def _picked_series(self) -> str:
        rows = self.series.selectionModel().selectedRows()
        if not rows or self.series.item(rows[0].row(), 0).text():
            return ""
        return str(self.series.item(rows[0].row(), 1).text())

    def _cancel(self) -> None:
        if self.job is not None:
            self.message.tell("stopping …")
            self.job.cancel()

    def _stage(self, stage: Stage) -> None:
        self.bar.setRange(0, stage.total)
        self.bar.setValue(stage.done)
        self.bar.setFormat(f"{stage.name.replace('_', ' ')}  %v/%m")

    def _done(self, asked: _Asked, result: tuple[Outcome, list[LayerTuple], str]) -> None:
        outcome, scene, warned = result
        layers = [(data, {**more, "name": f"{asked.layer_name}: {more['name']}"}, kind) for data, more, kind in scene]
        self._rest()
        word = "done" if outcome.status == "done" else f"refused: {outcome.reason}"
        self.message.tell(f"{asked.recipe} on {asked.layer_name}: {word}. Files: {outcome.folder}")
        add_layers(self.viewer, layers)
        notice(warned)

    def _failed(self, error: BaseException) -> None:
        self._rest()
        if isinstance(error, mediseg.Cancelled):
            self.message.tell(str(error))
        else:
            self.message.fail(error)

    def _rest(self) -> None:
        self.job = None
        self.run_button.setEnabled(True)
        self.cancel_button.setEnabled(False)
        self.bar.setRange(0, 1)
        self.bar.setValue(0)
        self.bar.setFormat("")


def _work(job: Job, asked: _Asked, prepared: Prepared) -> Generator[Stage, None, Any]:
    """Bring the input to disk, run, read the scene: all of it off the GUI thread."""
    try:
        if asked.path is None or len(asked.volumes) > 1:
            path = prepared.volumes(asked.volumes, together=len(asked.volumes) > 1)
        elif asked.series:
            path = prepared.series(asked.path, asked.series)
        else:
            path = asked.path
        job.request = Request(asked.recipe, path, asked.out, prepared.settings(asked.settings))
        yield from job.stages()
    finally:
        prepared.discard()
    assert job.outcome is not None
    folder = job.outcome.folder
    try:
        scene = read_case(folder)
    except mediseg.InputError:
        scene = []  # refused before there was anything to show; the reason is told
    return job.outcome, scene, notice_of(record_of(folder))


def _is_station(layer: Any) -> bool:
    origin = origin_of(layer.metadata)
    return origin is not None and origin.role == "station"


def _matrix(layer: Any) -> Any:
    from napari_mediseg._napari import layer_matrix

    return layer_matrix(layer)


def _table() -> QTableWidget:
    table = QTableWidget(0, len(_COLUMNS))
    table.setObjectName("series")
    table.setHorizontalHeaderLabels(list(_COLUMNS))
    table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.verticalHeader().hide()
    table.setMaximumHeight(140)
    table.hide()
    return table
