"""The spine's stations at their places: nudge or turn one by hand, solve again, look at overlaps, measure, save."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image, Layer, Shapes
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QGridLayout,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

import mediseg
from mediseg import Rigid, Stitched, Volume
from napari_mediseg._napari import layer_matrix
from napari_mediseg.controls import button, row
from napari_mediseg.frames import lps_from_world, placing_of, shown_image
from napari_mediseg.layers import KEY, Origin, image_layer, labels_layer, origin_of, volume_of
from napari_mediseg.spine import checkerboard, cobb_deg, length_mm, moved, nudge, stitched_by_hand
from napari_mediseg.viewing import watch
from napari_mediseg.work import MessageLine, add_layers, hear_layers, in_thread

_FLICKER_MS = 400


class StitchWidget(QWidget):
    """Stitch the stations that are open."""

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self.viewer = napari_viewer
        watch(napari_viewer)
        self.motions: dict[int, Rigid] = {}
        self.originals: dict[int, Volume] = {}
        self.result: Stitched | None = None
        self._flicker = QTimer(self)
        self._flicker.setInterval(_FLICKER_MS)
        self._flicker.timeout.connect(self._swap)
        self._build()
        hear_layers(self, napari_viewer, self._list)
        self._list()

    def _build(self) -> None:
        self.station = QComboBox()
        self.station.setObjectName("station")
        self.step = _spin(1.0, " mm")
        self.turn = _spin(0.5, " °")
        arrows = QGridLayout()
        moves = {
            "up": ("▲", 0, 1, (0.0, 0.0, 1.0), 0), "down": ("▼", 1, 1, (0.0, 0.0, -1.0), 0),
            "front": ("◀", 1, 0, (0.0, -1.0, 0.0), 0), "back": ("▶", 1, 2, (0.0, 1.0, 0.0), 0),
            "left_turn": ("⟲", 0, 0, (0.0, 0.0, 0.0), 1), "right_turn": ("⟳", 0, 2, (0.0, 0.0, 0.0), -1),
        }  # fmt: skip
        for name, (text, down, across, shift, turn) in moves.items():
            arrow = button(text, name, f"{name.replace('_', ' ')}", lambda _, s=shift, t=turn: self._nudge(s, t))
            arrows.addWidget(arrow, down, across)
        self.register = QCheckBox("align the rest from there")
        self.register.setChecked(True)
        self.register.setToolTip(
            "On: the overlaps are registered from where the stations lie now. Off: taken as they lie"
        )
        self.solve = button("Solve", "solve", "Stitch the stations as they lie now", self._solve)
        self.flicker = QPushButton("Flicker")
        self.flicker.setObjectName("flicker")
        self.flicker.setCheckable(True)
        self.flicker.toggled.connect(self._set_flicker)
        self.message = MessageLine()
        form = QFormLayout()
        form.addRow("station", self.station)
        form.addRow("step", row(self.step, self.turn))
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addLayout(arrows)
        layout.addWidget(self.register)
        layout.addWidget(self.solve)
        layout.addLayout(
            row(button("Checkerboard", "checkerboard", "The overlaps in squares of both", self._checker), self.flicker)
        )
        layout.addWidget(button("Measure", "measure", "Length of the path, Cobb angle of two lines", self._measure))
        layout.addWidget(button("Save composite …", "save", "NIfTI, or a folder of DICOM", self._save))
        layout.addWidget(self.message)
        layout.addStretch(1)

    # ------------------------------------------------------------ stations

    def _stations(self) -> list[Any]:
        images = [one for one in self.viewer.layers if isinstance(one, Image) and not _is_result(one)]
        return [one for one in images if origin_of(one.metadata) is not None]

    def _list(self) -> None:
        chosen = self.station.currentText()
        self.station.clear()
        stations = self._stations()
        for kept in (self.motions, self.originals):  # of a layer that is gone: the next may be given its number
            for number in kept.keys() - {id(one) for one in stations}:
                del kept[number]
        for one in stations:
            self.station.addItem(one.name, one)
            if id(one) not in self.originals:
                self.originals[id(one)] = volume_of(one.data, one.metadata, layer_matrix(one))
                self.motions[id(one)] = Rigid(np.eye(4))
        self.station.setCurrentText(chosen)

    def _nudge(self, shift: tuple[float, float, float], turn: int) -> None:
        layer = self.station.currentData()
        if layer is None:
            self.message.fail("there is no station; open a spine study, or File > Open sample > mediseg")
            return
        volume, motion = self.originals[id(layer)], self.motions[id(layer)]
        middle = motion.apply(volume.geometry.center_lps_mm)
        step = nudge(middle, np.array(shift) * self.step.value(), turn * self.turn.value(), (1.0, 0.0, 0.0))
        self.motions[id(layer)] = step.after(motion)
        self._replace(layer, moved(volume, self.motions[id(layer)]))

    def _replace(self, layer: Any, volume: Volume) -> None:
        """Show a station where its header lies now."""
        placing = placing_of(volume.geometry)
        origin = layer.metadata[KEY]
        layer.data = shown_image(volume, placing)
        keywords = placing.layer_keywords()
        if "affine" in keywords:
            layer.affine = keywords["affine"]
        else:
            layer.scale, layer.translate = keywords["scale"], keywords["translate"]
        layer.metadata[KEY] = Origin(volume, placing, origin.source, origin.path, origin.case, origin.role)
        at = self.motions[id(layer)].matrix[:3, 3]
        turned = np.degrees(np.arctan2(self.motions[id(layer)].matrix[2, 1], self.motions[id(layer)].matrix[1, 1]))
        self.message.tell(f"{layer.name}: moved P {at[1]:.1f}, S {at[2]:.1f} mm, turned {turned:.1f}°")

    # ------------------------------------------------------------ solving

    def _solve(self, _checked: object = None) -> None:
        layers = self._stations()
        volumes = [self.originals[id(one)] for one in layers]
        motions = [self.motions[id(one)] for one in layers]
        register = self.register.isChecked()
        self.solve.setEnabled(False)
        self.message.tell("solving …")
        in_thread(
            self, lambda: stitched_by_hand(volumes, motions, register=register), done=self._solved, failed=self._failed
        )

    def _failed(self, error: BaseException) -> None:
        self.solve.setEnabled(True)
        self.message.fail(error)

    def _solved(self, result: Stitched) -> None:
        self.solve.setEnabled(True)
        self.result = result
        for one in [one for one in self.viewer.layers if _is_result(one)]:
            self.viewer.layers.remove(one)
        for one in self._stations():
            one.visible = False
        add_layers(
            self.viewer,
            [
                image_layer(result.filled, "composite", role="composite"),
                labels_layer(result.gaps, "gaps", role="gaps", visible=True),
                labels_layer(result.provenance, "provenance", role="provenance", visible=False),
            ],
        )
        lines = [
            f"{pair.upper} / {pair.lower}: {'aligned' if pair.is_accepted else 'as placed'}, "
            f"differ by {100 * pair.step_after:.1f} %"
            for pair in result.transforms.pairs
        ]
        self.message.tell("\n".join([*lines, *(f"{one.code}: {one.message}" for one in result.warnings)]))

    def _checker(self, _checked: object = None) -> None:
        if self.result is None:
            self.message.fail("solve first: the overlaps are shown on the composite's grid")
            return
        board = self.result.placed[0].array
        for one in self.result.placed[1:]:
            board = checkerboard(board, one.array)
        volume = self.result.composite.with_array(np.nan_to_num(board, nan=0.0))
        add_layers(self.viewer, [image_layer(volume, "checkerboard", role="composite")])

    def _set_flicker(self, on: bool) -> None:
        if not on:
            self._flicker.stop()
            return
        if len(self._stations()) < 2:
            self.flicker.setChecked(False)
            self.message.fail("flicker needs two stations")
            return
        self._flicker.start()

    def _swap(self) -> None:
        """Show the chosen station and the others in turn."""
        layer = self.station.currentData()
        if layer is None or layer not in self.viewer.layers:
            self.flicker.setChecked(False)
            return
        layer.visible = not layer.visible

    # ------------------------------------------------------------ measuring, saving

    def _measure(self, _checked: object = None) -> None:
        layer = self.viewer.layers.selection.active
        if layer is None or not isinstance(layer, Shapes) or len(layer.data) == 0:
            self.message.fail("draw a path (length) or two lines (Cobb) on a shapes layer, and select it")
            return
        lines = [lps_from_world(np.array([layer.data_to_world(p) for p in one])) for one in layer.data]
        texts = [f"length {length_mm(line):.1f} mm" for line in lines]
        if len(lines) >= 2 and all(len(line) == 2 for line in lines[-2:]):
            texts.append(f"Cobb {cobb_deg(lines[-2], lines[-1]):.1f}°")
        self.message.tell("\n".join(texts))

    def _save(self, _checked: object = None) -> None:
        if self.result is None:
            self.message.fail("solve first")
            return
        chosen, _ = QFileDialog.getSaveFileName(
            self, "Composite", str(Path.home() / "composite.nii.gz"), "NIfTI (*.nii.gz);;DICOM folder (*)"
        )
        if chosen:
            self.save_to(Path(chosen))

    def save_to(self, path: Path) -> None:
        """Write the composite: NIfTI by its name, else a folder of DICOM (of DICOM stations)."""
        assert self.result is not None
        if not path.suffix:
            path.mkdir(parents=True, exist_ok=True)
        try:
            mediseg.write(self.result, path, self.result.composite.source)
        except mediseg.MedisegError as error:
            self.message.fail(error)
            return
        self.message.tell(f"saved {path}")


def _is_result(layer: Any) -> bool:
    origin = origin_of(layer.metadata)
    return origin is not None and origin.role in ("composite", "gaps", "provenance")


def _spin(value: float, suffix: str) -> QDoubleSpinBox:
    box = QDoubleSpinBox()
    box.setRange(0.1, 50.0)
    box.setValue(value)
    box.setSuffix(suffix)
    return box


__all__ = ["Layer", "StitchWidget"]
