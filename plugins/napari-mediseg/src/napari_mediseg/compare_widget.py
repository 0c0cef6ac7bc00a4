"""Compare two runs or two time points: side by side under one camera, with a table of the differences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import napari
from qtpy.compat import isalive
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QHeaderView,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

import mediseg
from napari_mediseg._napari import when_closed
from napari_mediseg.cases import is_case, read_case
from napari_mediseg.compare import Row, compared
from napari_mediseg.layers import LayerTuple, origin_of
from napari_mediseg.viewing import watch
from napari_mediseg.work import MessageLine, add_layers, hear_layers, in_thread

_SHOWN = ("midsagittal", "callosum", "composite")
_COLUMNS = ("", "A", "B", "B - A", "unit")
_TABLE_PIXELS, _ROW_PIXELS = 400, 24


class CompareWidget(QWidget):
    """Pick two case folders, press Compare."""

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self.viewer = napari_viewer
        watch(napari_viewer)
        self.picked = [QComboBox(), QComboBox()]
        form = QFormLayout()
        for name, box in zip("AB", self.picked, strict=True):
            box.setObjectName(name)
            browse = QPushButton("…")
            browse.clicked.connect(lambda _, b=box: self._browse(b))
            row = QHBoxLayout()
            row.addWidget(box, 1)
            row.addWidget(browse)
            form.addRow(name, row)
        self.button = QPushButton("Compare")
        self.button.setObjectName("compare")
        self.button.clicked.connect(self._compare)
        self.side: Any = None
        self.table = _table()
        self.message = MessageLine()
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(self.button)
        layout.addWidget(self.table, 1)
        layout.addWidget(self.message)
        hear_layers(self, napari_viewer, self._list, removed=False)
        self._list()

    def add_case(self, folder: Path) -> None:
        """Offer a case folder."""
        for box in self.picked:
            if box.findData(folder) < 0:
                box.addItem(f"{folder.parent.name}/{folder.name}", folder)

    def _list(self) -> None:
        for layer in self.viewer.layers:
            origin = origin_of(layer.metadata)
            if origin is not None and origin.case is not None:
                self.add_case(origin.case)
        if self.picked[1].count() > 1 and self.picked[0].currentIndex() == self.picked[1].currentIndex():
            self.picked[1].setCurrentIndex(self.picked[1].count() - 1)

    def _browse(self, box: QComboBox) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "A finished case", str(Path.home()))
        if not chosen:
            return
        if not is_case(Path(chosen)):
            self.message.fail(f"{Path(chosen).name} is no finished case: it has no report.json")
            return
        self.add_case(Path(chosen))
        box.setCurrentIndex(box.findData(Path(chosen)))

    def _compare(self, _checked: object = None) -> None:
        first, second = (box.currentData() for box in self.picked)
        if first is None or second is None:
            self.message.fail("choose two finished cases; run a recipe, or browse for their folders")
            return
        self.button.setEnabled(False)
        in_thread(
            self,
            lambda: (compared(first, second), _side(first, "A"), _side(second, "B")),
            done=self._show,
            failed=self._failed,
        )

    def _failed(self, error: BaseException) -> None:
        self.button.setEnabled(True)
        self.message.fail(error)

    def _show(self, found: tuple[tuple[Row, ...], list[LayerTuple], list[LayerTuple]]) -> None:
        rows, left, right = found
        _fill(self.table, rows)
        if len(left) != len(right) or not left:
            self.button.setEnabled(True)
            self.message.tell("the two cases hold different images: only the table is shown")
            return
        self._side_by_side(rows, left, right)

    def _side_by_side(self, rows: tuple[Row, ...], left: list[LayerTuple], right: list[LayerTuple]) -> None:
        """Both cases in cells of one grid, in a window of their own: napari moves them with one camera.

        A grid would take every open layer into its cells, and what somebody is painting must not be touched.
        """
        side = napari.Viewer(title="A and B")
        watch(side)
        self.side = side
        number = id(side)
        when_closed(side, lambda: self._forget(number))
        table = _table()
        _fill(table, rows)
        side.window.add_dock_widget(table, name="A and B", area="right")

        def shown(added: list[Any]) -> None:
            side.grid.stride = len(left)
            side.grid.shape = (1, 2)
            side.grid.enabled = True
            side.reset_view()
            self.button.setEnabled(True)
            self.message.tell("left A, right B; one camera moves both")

        add_layers(side, [*left, *right], then=shown)  # the lowest layers fill the first cell

    def _forget(self, number: int) -> None:
        """Let go of the second window once it is closed, and with it of both cases' arrays."""
        if id(self.side) == number:
            self.side = None
            if isalive(self):
                self.button.setEnabled(True)


def _fill(table: QTableWidget, rows: tuple[Row, ...]) -> None:
    table.setRowCount(len(rows))
    for n, row in enumerate(rows):
        texts = (row.name, _text(row.first), _text(row.second), _text(row.difference, signed=True), row.unit)
        for column, text in enumerate(texts):
            item = QTableWidgetItem(text)
            item.setToolTip(f"{row.name}, {row.unit}" if row.unit else row.name)  # a long name is cut off
            if 0 < column < len(texts) - 1:
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            table.setItem(n, column, item)


def _table() -> QTableWidget:
    """Return the empty table: the name gives way, numbers and units are always seen, rows scroll by the pixel."""
    table = QTableWidget(0, len(_COLUMNS))
    table.setHorizontalHeaderLabels(list(_COLUMNS))
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
    table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    table.verticalHeader().hide()
    table.verticalHeader().setDefaultSectionSize(_ROW_PIXELS)
    header = table.horizontalHeader()
    header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
    header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
    table.setMinimumWidth(_TABLE_PIXELS)
    return table


def _side(folder: Path, name: str) -> list[LayerTuple]:
    """Return what a case shows in its cell."""
    try:
        scene = read_case(folder)
    except mediseg.InputError:
        return []
    kept = []
    for data, keywords, kind in scene:
        origin = origin_of(keywords["metadata"])
        if origin is not None and origin.role in _SHOWN:
            kept.append((data, {**keywords, "name": f"{name}: {keywords['name']}", "visible": True}, kind))
    return kept


def _text(value: float | None, *, signed: bool = False) -> str:
    if value is None:
        return "–"
    return f"{value:+.2f}" if signed else f"{value:.2f}"
