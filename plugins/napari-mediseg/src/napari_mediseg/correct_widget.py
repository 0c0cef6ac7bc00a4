"""Correct a mask and keep it: rules beside napari's brushes, smart clicks, what changed, Save correction."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image, Labels, Layer
from qtpy.compat import isalive
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

import mediseg
from mediseg import Segment, Segmentation, UsageError
from mediseg.evaluate.corrections import ROLES, About, keep_correction
from napari_mediseg._napari import layer_matrix
from napari_mediseg.clicks import Click, refined
from napari_mediseg.controls import button, row
from napari_mediseg.editing import Change, change, filled, interpolated, largest_part, smoothed
from napari_mediseg.frames import shown_labels
from napari_mediseg.layers import KEY, Origin, labels_layer, native_grid, origin_of, segmentation_of, volume_of
from napari_mediseg.viewing import watch
from napari_mediseg.work import MessageLine, hear_layers, in_thread

_CHANGED = "mediseg_changed"


class CorrectWidget(QWidget):
    """Correct and keep."""

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self.viewer = napari_viewer
        watch(napari_viewer)
        self._clicks: dict[int, list[Click]] = {}
        self._build()
        hear_layers(self, napari_viewer, self._list)
        napari_viewer.mouse_drag_callbacks.append(self._clicked)
        self._list()

    # ------------------------------------------------------------ building

    def _build(self) -> None:
        self.labels = QComboBox()
        self._is_picked = False
        self.labels.activated.connect(self._pick)
        self.labels.setObjectName("labels")
        self.radius = QDoubleSpinBox()
        self.radius.setRange(0.2, 20.0)
        self.radius.setValue(1.0)
        self.radius.setSuffix(" mm")
        self.in_3d = QCheckBox("in 3-D")
        self.in_3d.setToolTip("Smooth and fill in the volume; else slice by slice, on the plane that is shown")
        self.smart = QPushButton("Smart click")
        self.smart.setObjectName("smart")
        self.smart.setCheckable(True)
        self.smart.setToolTip(
            "Click what the mask missed, Alt-click what it should leave out; the network's probability decides the rest"
        )
        self.role = QComboBox()
        self.role.setObjectName("role")
        self.role.addItems(ROLES)
        self.role.setCurrentText("unknown")
        self.role.setToolTip("Who corrected it: a role, never a name")
        self.manifest = QLineEdit(str(Path.home() / "mediseg-corrections" / "corrections.yaml"))
        self.licence = QLineEdit("internal use only")
        browse = QPushButton("…")
        browse.clicked.connect(self._browse)
        self.message = MessageLine()
        top = QFormLayout()
        top.addRow("mask", self.labels)
        top.addRow("smoothing", row(self.radius, self.in_3d))
        keep = QFormLayout()
        keep.addRow("corrected by", self.role)
        keep.addRow("manifest", row(self.manifest, browse))
        keep.addRow("licence", self.licence)
        layout = QVBoxLayout(self)
        layout.addLayout(top)
        layout.addLayout(
            row(
                button("Smooth", "smooth", "Smooth the border; the volume stays", self._smooth),
                button("Fill holes", "fill", "Fill what is closed in", self._fill),
            )
        )
        layout.addLayout(
            row(
                button("Interpolate", "interpolate", "Fill the slices between painted ones", self._interpolate),
                button("Largest part", "largest", "Drop all but the largest part", self._largest),
            )
        )
        layout.addLayout(
            row(self.smart, button("New mask", "new", "An empty mask on the selected image's grid", self._new))
        )
        layout.addWidget(button("What changed", "changed", "Overlay and Dice against the model's mask", self._changed))
        layout.addLayout(keep)
        layout.addWidget(button("Save correction", "save", "One entry of the manifest", self._save))
        layout.addWidget(self.message)
        layout.addStretch(1)

    def _browse(self, _checked: object = None) -> None:
        chosen, _ = QFileDialog.getSaveFileName(self, "Manifest", self.manifest.text(), "Manifest (*.yaml)")
        if chosen:
            self.manifest.setText(chosen)

    def _list(self) -> None:
        chosen = self.labels.currentData()
        layers = [one for one in self.viewer.layers if isinstance(one, Labels) and not _is_overlay(one)]
        # of a layer that is gone no clicks stay: the next may be given its number
        self._clicks = {id(one): self._clicks[id(one)] for one in layers if id(one) in self._clicks}
        self.labels.clear()
        for one in layers:
            self.labels.addItem(one.name, one)
        if chosen not in layers or not self._is_picked:  # layers of a case arrive one by one
            chosen = next((one for one in layers if _role(one) == "callosum"), layers[0] if layers else None)
        if chosen is not None:
            self.labels.setCurrentIndex(layers.index(chosen))

    def _pick(self, _index: int) -> None:
        """From now on the mask is the user's choice."""
        self._is_picked = True

    # ------------------------------------------------------------ rules

    def _smooth(self, _checked: object = None) -> None:
        self._apply("smoothed", lambda mask, layer: smoothed(mask, _spacing(layer), self.radius.value(), self._axis()))

    def _fill(self, _checked: object = None) -> None:
        self._apply("holes filled", lambda mask, _: filled(mask, self._axis()))

    def _interpolate(self, _checked: object = None) -> None:
        self._apply("interpolated", lambda mask, layer: interpolated(mask, _spacing(layer), self.viewer.dims.order[0]))

    def _largest(self, _checked: object = None) -> None:
        self._apply("largest part kept", lambda mask, _: largest_part(mask))

    def _axis(self) -> int | None:
        return None if self.in_3d.isChecked() else int(self.viewer.dims.order[0])

    def _apply(self, done: str, rule: Callable[[Any, Any], Any]) -> None:
        """Change the selected label of the mask by a rule, off the GUI thread; napari's own undo takes it back."""
        layer = self.labels.currentData()
        if layer is None:
            self.message.fail("there is no mask; open a case, or press New mask")
            return
        number = int(layer.selected_label)
        data = np.array(layer.data)
        in_thread(
            self,
            lambda: rule(data == number, layer),
            done=lambda mask: self._put(layer, number, data == number, mask, done),
            failed=self.message.fail,
        )

    def _put(self, layer: Any, number: int, before: Any, mask: Any, done: str) -> None:
        """Write a mask into the layer it was made from, as one step of the layer's history."""
        if layer not in self.viewer.layers:
            self.message.tell("the mask was closed meanwhile; nothing was changed")
            return
        free = (layer.data == 0) | (layer.data == number)
        changed = (before != mask) & free
        if changed.any():
            where = np.nonzero(changed)
            layer.data_setitem(where, np.where(mask[where], number, 0).astype(layer.data.dtype))
        self.message.tell(f"{layer.name}: {done}, {int(changed.sum())} voxels changed (Ctrl-Z takes it back)")

    # ------------------------------------------------------------ smart click

    def _clicked(self, viewer: Any, event: Any) -> Generator[None, None, None]:
        if not isalive(self) or not self.smart.isChecked() or event.button != 1 or viewer.dims.ndisplay != 2:
            return
        press = np.array(event.pos)
        yield
        while event.type == "mouse_move":
            yield
        if np.abs(np.array(event.pos) - press).max() <= 3:  # else it was a drag
            self.click_at(np.array(event.position), is_inside="Alt" not in event.modifiers)

    def click_at(self, world: Any, *, is_inside: bool) -> None:
        """Refine the mask by a click at a point of the world."""
        layer = self.labels.currentData()
        chance = self._probability(layer)
        if chance is None:
            self.message.fail("smart click needs the network's probability: run the recipe, or open its case folder")
            return
        axis = int(np.argmin(layer.data.shape))
        at = np.rint(layer.world_to_data(world)).astype(int)
        row, column = (int(v) for n, v in enumerate(at) if n != axis)
        clicks = self._clicks.setdefault(id(layer), [])
        first, second = (s for n, s in enumerate(_spacing(layer)) if n != axis)
        if not (0 <= row < np.delete(layer.data.shape, axis)[0] and 0 <= column < np.delete(layer.data.shape, axis)[1]):
            return
        number = int(layer.selected_label)
        mask = np.squeeze(np.array(layer.data) == number, axis)
        clicks.append(Click(row, column, is_inside))
        said = tuple(clicks)
        in_thread(
            self,
            lambda: refined(np.squeeze(np.asarray(chance), axis), mask, said, (first, second)),
            done=lambda out: self._put(
                layer, number, np.expand_dims(mask, axis), np.expand_dims(out, axis), f"{len(said)} clicks"
            ),
            failed=self.message.fail,
        )

    def _probability(self, layer: Any) -> Any:
        """Return the probability map on the mask's own grid, None where there is none."""
        if layer is None:
            return None
        grid = native_grid(layer.metadata)
        for one in self.viewer.layers:
            mine = native_grid(one.metadata)
            if _role(one) == "callosum_probability" and grid is not None and mine is not None and mine.same_grid(grid):
                return one.data
        return None

    # ------------------------------------------------------------ new, changed, kept

    def _new(self, _checked: object = None) -> None:
        active = self.viewer.layers.selection.active
        image = active if active is not None and isinstance(active, Image) else None
        origin = None if image is None else origin_of(image.metadata)
        if image is None or origin is None or origin.placing is None:
            self.message.fail("select the image first that the mask is to lie on")
            return
        grid = origin.placing.native
        empty = Segmentation(np.zeros(grid.shape, np.uint8), grid, (Segment(1, "corpus callosum"),))
        data, keywords, kind = labels_layer(empty, f"mask of {image.name}", origin.source)
        self.viewer.add_layer(Layer.create(data, keywords, kind))

    def _changed(self, _checked: object = None) -> None:
        layer = self.labels.currentData()
        origin = None if layer is None else origin_of(layer.metadata)
        if origin is None or origin.placing is None or not isinstance(origin.value, Segmentation):
            self.message.fail("this mask was not opened by mediseg: there is nothing to compare it with")
            return
        before = shown_labels(origin.value, origin.placing)
        found = change(before > 0, np.asarray(layer.data) > 0)
        self._overlay(layer, found)
        self.message.tell(f"Dice {found.dice:.4f} against {origin.model or 'the mask as opened'}: "
                          f"{found.added} voxels added (green), {found.removed} taken away (red)")  # fmt: skip

    def _overlay(self, layer: Any, found: Change) -> None:
        from napari.utils.colormaps import DirectLabelColormap

        old = next((one for one in self.viewer.layers if one.metadata.get(_CHANGED) is layer), None)
        if old is not None:
            old.data = found.overlay
            return
        colours = DirectLabelColormap(color_dict={None: "transparent", 1: "#30e070", 2: "#ff4040"})
        made = Layer.create(
            found.overlay,
            {"name": f"changed in {layer.name}", "affine": layer_matrix(layer), "colormap": colours, "opacity": 0.9,
             "metadata": {_CHANGED: layer}, "axis_labels": ("S", "P", "L"), "units": "mm"},
            "labels",
        )  # fmt: skip
        self.viewer.add_layer(made)
        self.viewer.layers.selection.active = layer

    def _save(self, _checked: object = None) -> None:
        try:
            identity = self.save_to(Path(self.manifest.text()).expanduser())
        except mediseg.MedisegError as error:
            self.message.fail(error)
            return
        self.message.tell(f"kept as {identity}; train on it: mediseg train CONFIG --data {self.manifest.text()}")

    def save_to(self, manifest: Path) -> str:
        """Keep image and mask as an entry of a manifest; returns its id. Raises mediseg's errors."""
        layer = self.labels.currentData()
        if layer is None:
            raise UsageError("there is no mask to keep")
        origin = origin_of(layer.metadata)
        segmentation = segmentation_of(layer.data, layer.metadata, layer_matrix(layer), layer.name)
        image = self._image_of(layer, segmentation)
        model = origin.model if isinstance(origin, Origin) else ""
        structure = "brain" if _role(layer) == "brain_mask" else "callosum"
        about = About(self.role.currentText(), model, structure, licence=self.licence.text(), origin="napari-mediseg")
        return keep_correction(manifest, image, segmentation, about)

    def _image_of(self, layer: Any, segmentation: Segmentation) -> Any:
        """Return the image on the mask's grid: of the same case first."""
        origin = origin_of(layer.metadata)
        case = None if origin is None else origin.case
        images = [one for one in self.viewer.layers if isinstance(one, Image) and "probability" not in _role(one)]
        fitting = [
            one
            for one in images
            if (grid := native_grid(one.metadata)) is not None
            and grid.same_grid(segmentation.geometry, tolerance_mm=1e-2)
        ]
        if not fitting:
            raise mediseg.Refusal(f"no open image has the grid of {layer.name}: open the image that it was drawn on")
        fitting.sort(key=lambda one: one.metadata[KEY].case != case)
        return volume_of(fitting[0].data, fitting[0].metadata, layer_matrix(fitting[0]))


def _role(layer: Any) -> str:
    origin = origin_of(layer.metadata)
    return "" if origin is None else origin.role


def _is_overlay(layer: Any) -> bool:
    return _CHANGED in layer.metadata


def _spacing(layer: Any) -> tuple[float, float, float]:
    lengths = np.linalg.norm(layer_matrix(layer)[:3, :3], axis=0)
    return float(lengths[0]), float(lengths[1]), float(lengths[2])
