"""The rotated ROI under the mouse: inside moves, handles resize, the ring turns. Numbers, undo, save; the plan follows.

Shift snaps to whole degrees. Arrow keys turn by 0.1 degree (left, right), with Shift by 1; with Alt they shift the ROI
by half a millimetre. Ctrl-Z and Ctrl-Shift-Z undo and redo.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image, Labels, Layer
from qtpy.compat import isalive
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QLabel,
    QVBoxLayout,
    QWidget,
)

import mediseg
from napari_mediseg._napari import follow
from napari_mediseg.controls import button, row
from napari_mediseg.frames import lps_from_world, world_from_lps
from napari_mediseg.layers import KEY, Origin, origin_of, segmentation_of
from napari_mediseg.roi_geometry import History, PlaneROI, Turn, hit, moved, nudged, resized
from napari_mediseg.roi_scene import RoiScene, roi_in_the_middle, scene_of_case, scene_of_mask
from napari_mediseg.shapes import (
    HANDLE_COLOUR,
    PLAN_KEY,
    RING_COLOUR,
    ROI_COLOUR,
    ROI_KEY,
    SLAB_MM,
    plan_center,
    plan_layer,
    plan_shapes,
    roi_shapes,
    roi_state,
)
from napari_mediseg.viewing import look, plane_of, watch
from napari_mediseg.work import MessageLine, hear_layers, in_thread

_HIT_PIXELS = 7.0
_NUMBERS = ("angle", "length", "width", "depth", "back", "down")


class RoiWidget(QWidget):
    """The ROI tool."""

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self.viewer = napari_viewer
        watch(napari_viewer)
        self.layer: Any = None
        self.state: PlaneROI | None = None
        self.scene = RoiScene({}, {})
        self.history = History()
        self._build()
        napari_viewer.mouse_drag_callbacks.append(self._drag)
        hear_layers(self, napari_viewer, self._layers_changed)
        self._maybe_take()

    # ------------------------------------------------------------ building

    def _build(self) -> None:
        self.method = QComboBox()
        self.method.setObjectName("method")
        self.method.setToolTip(
            "Start from one of the estimates; what was set by hand is then replaced (undo brings it back)"
        )
        self.method.activated.connect(self._pick)
        self.new = button("New ROI", "new", "A rectangle in the middle of the image", self._new)
        self.from_mask = button(
            "From mask", "from_mask", "Lay the ROI on the selected labels layer, as corrected", self._from_mask
        )
        self.boxes = {name: _number(name) for name in _NUMBERS}
        for name, box in self.boxes.items():
            box.valueChanged.connect(lambda value, name=name: self._typed(name, value))
        form = QFormLayout()
        form.addRow("start from", self.method)
        for name, box in self.boxes.items():
            form.addRow(name, box)
        self.readout = QLabel("Open a finished case, or press New ROI.")
        self.readout.setObjectName("readout")
        self.readout.setWordWrap(True)
        views = row(
            *(
                button(name, name, f"Show the {name} plane through the ROI's centre", lambda _, n=name: self._look(n))
                for name in ("axial", "coronal", "sagittal")
            )
        )
        self.undo = button("Undo", "undo", "Ctrl-Z", lambda _: self._back(self.history.undo))
        self.redo = button("Redo", "redo", "Ctrl-Shift-Z", lambda _: self._back(self.history.redo))
        self.save = button("Save roi.json", "save", "For mediseg run --set localize_roi.roi=roi.json", self._save)
        self.message = MessageLine()
        layout = QVBoxLayout(self)
        layout.addLayout(row(self.new, self.from_mask))
        layout.addLayout(form)
        layout.addWidget(self.readout)
        layout.addLayout(views)
        layout.addLayout(row(self.undo, self.redo, self.save))
        layout.addWidget(self.message)
        layout.addStretch(1)

    # ------------------------------------------------------------ which ROI

    def _layers_changed(self) -> None:
        """Let go of an ROI that is gone; take the one of a case that has just been opened."""
        if self.layer is not None and self.layer not in self.viewer.layers:
            self.layer, self.state = None, None
        self._maybe_take()

    def _maybe_take(self) -> None:
        rois = [one for one in self.viewer.layers if roi_state(one.metadata) is not None]
        if rois and rois[-1] is not self.layer:
            self.take(rois[-1])

    def take(self, layer: Any) -> None:
        """Put the hand on an ROI layer."""
        origin = origin_of(layer.metadata)
        self.layer, self.history = layer, History()
        self.state = roi_state(layer.metadata)
        self._bind_keys(layer)
        self.viewer.layers.selection.active = layer
        layer.mode = "pan_zoom"
        if origin is None or origin.case is None:
            self._set_scene(layer, self.scene)
            return
        self.scene = RoiScene({}, {})
        in_thread(  # its report, image and brain are read
            self,
            scene_of_case,
            origin.case,
            done=lambda scene: self._set_scene(layer, scene),
            failed=lambda error: self._set_scene(layer, RoiScene({}, {}), error),
        )

    def _set_scene(self, layer: Any, scene: RoiScene, error: BaseException | None = None) -> None:
        """Go on with what a case knows of its ROI, unless another was taken meanwhile."""
        if layer is not self.layer:
            return
        if error is not None:
            self.message.fail(error)
        self.scene = scene
        self._take_base()
        self._list_methods()
        self._show(exact=True)

    def _take_base(self) -> None:
        """Count angles from the mid-sagittal image's own axes, as the report does."""
        choice = next(iter(self.scene.choices.values()), None)
        if choice is None or self.state is None:
            return
        from napari_mediseg.roi_geometry import on_plane

        if abs(float(choice.base_lps[:, 2] @ self.state.base_lps[:, 2])) > 0.9999:
            self.state = on_plane(self.state.to_roi(), choice.base_lps)

    def _list_methods(self) -> None:
        self.method.clear()
        self.method.addItem("by hand")
        self.method.addItems(list(self.scene.choices))

    def _pick(self, _index: int) -> None:
        chosen = self.scene.choices.get(self.method.currentText())
        if chosen is None or self.state is None:
            return
        size = (*chosen.size_mm[:2], self.state.size_mm[2])
        self._change(replace(chosen, size_mm=size, frame_of_reference=self.state.frame_of_reference))

    def _new(self, _checked: object = None) -> None:
        images = [one for one in self.viewer.layers if isinstance(one, Image)]
        active = self.viewer.layers.selection.active
        image = active if active in images else (images[-1] if images else None)
        origin = None if image is None else origin_of(image.metadata)
        if origin is None or origin.placing is None:
            self.message.fail("there is no image to lay an ROI on; open a study first")
            return
        normal = np.zeros(3)
        normal[2 - self.viewer.dims.order[0]] = -1.0  # a sagittal plane's normal points to the right, as mediseg's
        self._begin(roi_in_the_middle(origin.placing.native, normal), RoiScene({}, {}))

    def _from_mask(self, _checked: object = None) -> None:
        layer = self.viewer.layers.selection.active
        if layer is None or not isinstance(layer, Labels):
            self.message.fail("select the labels layer of the callosum first")
            return
        from napari_mediseg._napari import layer_matrix

        try:
            mask = segmentation_of(layer.data, layer.metadata, layer_matrix(layer), layer.name)
            scene = scene_of_mask(mask, self.scene.settings)
        except mediseg.MedisegError as error:
            self.message.fail(error)
            return
        scene = replace(scene, brain=self.scene.brain, coarse=self.scene.coarse)
        self._begin(scene.choices["robust"], scene)

    def _begin(self, state: PlaneROI, scene: RoiScene) -> None:
        if self.layer is not None and self.state is not None:
            self.scene = scene
            self._list_methods()
            self._change(state)
            return
        from napari_mediseg.shapes import roi_layer

        data, keywords, kind = roi_layer(state.to_roi(), base_lps=state.base_lps)
        keywords["metadata"] = {KEY: Origin(None, None, role="roi"), ROI_KEY: state}
        self.scene = scene
        self.viewer.add_layer(Layer.create(data, keywords, kind))
        self._list_methods()

    # ------------------------------------------------------------ changing

    def _change(self, state: PlaneROI) -> None:
        """Replace the ROI, so that it can be undone."""
        if self.state is not None:
            self.history.push(self.state)
        self.state = state
        self._show(exact=True)

    def _back(self, step: Any) -> None:
        if self.state is not None:
            self.state = step(self.state)
            self._show(exact=True)

    def _typed(self, name: str, value: float) -> None:
        if self.state is None:
            return
        length, width, depth = self.state.size_mm
        x, y = self.state.center
        self._change(
            {
                "angle": lambda: replace(self.state, angle_deg=value),
                "length": lambda: replace(self.state, size_mm=(value, width, depth)),
                "width": lambda: replace(self.state, size_mm=(length, value, depth)),
                "depth": lambda: replace(self.state, size_mm=(length, width, value)),
                "back": lambda: replace(self.state, center=(value, y)),
                "down": lambda: replace(self.state, center=(x, value)),
            }[name]()
        )

    def _bind_keys(self, layer: Any) -> None:
        def key(keys: str, **step: float) -> None:
            layer.bind_key(keys, lambda _: self._nudge(**step), overwrite=True)

        key("Left", turn_deg=-0.1)
        key("Right", turn_deg=0.1)
        key("Shift-Left", turn_deg=-1.0)
        key("Shift-Right", turn_deg=1.0)
        key("Alt-Left", back_mm=-0.5)
        key("Alt-Right", back_mm=0.5)
        key("Alt-Up", down_mm=-0.5)
        key("Alt-Down", down_mm=0.5)
        layer.bind_key("Control-Z", lambda _: self._back(self.history.undo), overwrite=True)
        layer.bind_key("Control-Shift-Z", lambda _: self._back(self.history.redo), overwrite=True)

    def _nudge(self, **step: float) -> None:
        if self.state is not None:
            self._change(nudged(self.state, **step))

    # ------------------------------------------------------------ the mouse

    def _drag(self, viewer: Any, event: Any) -> Generator[None, None, None]:
        """One drag, from press to release."""
        start, active = self.state, viewer.layers.selection.active
        if (
            start is None
            or not isalive(self)
            or viewer.dims.ndisplay != 2
            or (active is not None and active.mode != "pan_zoom")
        ):
            return
        if event.button != 1 or not self._faces():
            return
        press = self._point(event)
        found = hit(start, press, _HIT_PIXELS / viewer.camera.zoom)
        if found is None:
            return
        viewer.camera.mouse_pan = False
        turn = Turn(start, press)
        yield
        changed = False
        try:
            while event.type == "mouse_move":
                point = self._point(event)
                if found.part == "turn":
                    self.state = turn.to(point, snap="Shift" in event.modifiers)
                elif found.part == "resize":
                    self.state = resized(start, found.handle, point)
                else:
                    self.state = moved(start, press, point)
                changed = True
                self._show(exact=False)
                yield
        finally:
            viewer.camera.mouse_pan = True
        if changed:
            self.history.push(start)
            self._show(exact=True)

    def _faces(self) -> bool:
        """True when the view looks at the ROI's plane, not along it."""
        assert self.state is not None
        return abs(float(self.state.base_lps[:, 2] @ self._view())) > 0.5

    def _view(self) -> Any:
        direction = np.zeros(3)
        direction[self.viewer.dims.order[0]] = 1.0
        return lps_from_world(direction)

    def _point(self, event: Any) -> tuple[float, float]:
        """Return where the pointer is on the ROI's plane."""
        assert self.state is not None
        x, y = self.state.drop(lps_from_world(event.position), self._view())
        return float(x), float(y)

    # ------------------------------------------------------------ showing

    def _show(self, *, exact: bool) -> None:
        """Bring shapes, numbers and plan to what the ROI is now."""
        state, layer = self.state, self.layer
        if state is None or layer is None or not isalive(self):  # keys outlive the widget that bound them
            return
        center = lps_from_world(np.array(layer.translate))
        data, kinds = roi_shapes(state, center, handles=True)
        layer.metadata[ROI_KEY] = state
        if len(layer.data) != len(data):
            layer.data = []
            layer.add(
                data,
                shape_type=kinds,
                edge_color=[ROI_COLOUR, ROI_COLOUR, RING_COLOUR, *[HANDLE_COLOUR] * 8],
                face_color=["#ffd23f18", "transparent", "transparent", *[HANDLE_COLOUR] * 8],
                edge_width=0.03,
            )
            layer.selected_data = set()
        else:
            _set(layer, data, exact=exact)
        self._show_numbers(state)
        self._show_plan(state, exact=exact)

    def _show_numbers(self, state: PlaneROI) -> None:
        values = (state.wrapped_deg, *state.size_mm, *state.center)
        for box, value in zip(self.boxes.values(), values, strict=True):
            box.blockSignals(True)
            box.setValue(value)
            box.blockSignals(False)

    def _show_plan(self, state: PlaneROI, *, exact: bool) -> None:
        try:
            plan = self.scene.plan(state, exact=exact)
        except mediseg.Refusal as refusal:
            self.message.fail(refusal)
            return
        layer = next((one for one in self.viewer.layers if PLAN_KEY in one.metadata), None)
        if layer is None:
            data, keywords, kind = plan_layer(plan, state.to_roi())
            layer = Layer.create(data, {**keywords, "visible": True}, kind)
            self.viewer.layers.insert(self.viewer.layers.index(self.layer), layer)
            self.viewer.layers.selection.active = self.layer
        else:
            self._move_plan(layer, plan, exact=exact)
        layer.metadata[PLAN_KEY] = plan
        self.readout.setText(readout(state, plan))

    def _move_plan(self, layer: Any, plan: mediseg.ScanPlan, *, exact: bool) -> None:
        """Redraw the plan; its layer's own centre moves only at the release, which has every layer sliced again."""
        if exact and not np.allclose(layer.translate, world_from_lps(plan_center(plan))):
            layer.translate = tuple(world_from_lps(plan_center(plan)))
        if not layer.visible:
            layer.visible = True
        _set(layer, plan_shapes(plan, lps_from_world(np.array(layer.translate)))[0], exact=exact)

    def _look(self, plane: str) -> None:
        if self.state is not None:
            look(self.viewer, plane, world_from_lps(self.state.center_lps_mm))

    # ------------------------------------------------------------ saving

    def _save(self, _checked: object = None) -> None:
        if self.state is None:
            self.message.fail("there is no ROI to save")
            return
        chosen, _ = QFileDialog.getSaveFileName(self, "Save the ROI", str(Path.home() / "roi.json"), "ROI (*.json)")
        if chosen:
            self.save_to(Path(chosen))

    def save_to(self, path: Path) -> None:
        """Write roi.json."""
        assert self.state is not None
        try:
            mediseg.write(self.state.to_roi(), path)
        except mediseg.MedisegError as error:
            self.message.fail(error)
            return
        self.message.tell(f"saved. Use it: mediseg run corpus-callosum STUDY --out DIR --set localize_roi.roi={path}")

    def closeEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Take the hand off the viewer."""
        if self._drag in self.viewer.mouse_drag_callbacks:
            self.viewer.mouse_drag_callbacks.remove(self._drag)
        super().closeEvent(event)


def _set(layer: Any, data: list[Any], *, exact: bool) -> None:
    if exact:
        layer.data = data
    else:
        follow(layer, data)


def readout(state: PlaneROI, plan: mediseg.ScanPlan) -> str:
    """Return what the ROI and its plan are, for the eye."""
    x, y, z = state.center_lps_mm
    lines = [f"angle {state.wrapped_deg:.2f}°", f"centre L {x:.1f}  P {y:.1f}  S {z:.1f} mm"]
    lines += [f"{one.name}: {one.slices} x {one.thickness_mm:g} mm, {one.angulation}" for one in plan.groups]
    return "\n".join(lines)


def _number(name: str) -> QDoubleSpinBox:
    box = QDoubleSpinBox()
    box.setObjectName(name)
    box.setDecimals(2)
    box.setKeyboardTracking(False)
    if name == "angle":
        box.setRange(-180.0, 180.0)
        box.setSuffix(" °")
        box.setSingleStep(0.1)
        box.setWrapping(True)
        box.setToolTip("Positive when the posterior end lies lower")
        return box
    box.setSuffix(" mm")
    box.setSingleStep(0.5)
    box.setRange(*((-500.0, 500.0) if name in ("back", "down") else (1.0, 400.0)))
    box.setToolTip({"back": "Centre to posterior", "down": "Centre to inferior"}.get(name, f"The ROI's {name}"))
    return box


__all__ = ["SLAB_MM", "RoiWidget", "plane_of", "readout"]
