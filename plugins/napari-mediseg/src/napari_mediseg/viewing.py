"""How a scene is looked at: which way is up, orientation letters, and jumps to a plane. napari's public names only."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_mediseg._napari import quiet_about_in_plane_turns
from napari_mediseg.frames import world_from_lps
from napari_mediseg.layers import KEY, origin_of
from napari_mediseg.shapes import ROI_KEY, facing_axis

if TYPE_CHECKING:
    from napari.components import ViewerModel

#: plane -> the order of the world's axes (S, P, L): the first is scrolled, then down the screen, then to the right
ORDERS = {"axial": (0, 1, 2), "coronal": (1, 0, 2), "sagittal": (2, 0, 1)}
_LETTERS = (("I", "S"), ("A", "P"), ("R", "L"))
_watched: set[int] = set()


def watch_current_viewer() -> None:
    """Show what mediseg opens the right way up, in the viewer that is open."""
    from napari import current_viewer

    viewer = current_viewer()
    if viewer is not None:
        watch(viewer)


def watch(viewer: ViewerModel) -> None:
    """Keep a viewer's orientation and letters right from now on. Once a viewer."""
    if id(viewer) in _watched:
        return
    _watched.add(id(viewer))
    weakref.finalize(viewer, _watched.discard, id(viewer))
    quiet_about_in_plane_turns()
    viewer.dims.events.order.connect(lambda _: orient(viewer))
    viewer.dims.events.ndisplay.connect(lambda _: orient(viewer))
    viewer.layers.events.inserted.connect(lambda event: _inserted(viewer, event.value))


def _inserted(viewer: ViewerModel, layer: Any) -> None:
    if origin_of(layer.metadata) is None:
        return
    if ROI_KEY in layer.metadata:
        if layer.visible:  # else it is being added in parts, and looked at once it is there
            look_at_roi(viewer, layer)
        return
    first = sum(origin_of(one.metadata) is not None for one in viewer.layers) == 1
    if first:
        viewer.text_overlay.visible = True
        viewer.text_overlay.position = "top_center"
        viewer.text_overlay.font_size = 12
        look(viewer, best_plane(layer))
    else:
        orient(viewer)


def look_at_roi(viewer: ViewerModel, layer: Any) -> None:
    """Show the plane of an ROI through its centre: where the ROI lies is what its scene is about."""
    state = layer.metadata[ROI_KEY]
    look(viewer, plane_of_axis(facing_axis(state.base_lps[:, 2])), world_from_lps(state.center_lps_mm))


def best_plane(layer: Any) -> str:
    """Return the plane that a layer is best seen in: the one its slices lie in."""
    origin = origin_of(layer.metadata)
    if origin is None or origin.placing is None:
        return "sagittal" if origin is not None else "axial"
    native = origin.placing.native
    spacing = np.array(native.spacing_mm)
    across = int(np.argmin(native.shape)) if min(native.shape) == 1 else int(np.argmax(spacing))
    if spacing.max() < 1.2 * spacing.min() and min(native.shape) > 1:
        across = 2  # an equal-sided volume: as its slices were stored
    return plane_of_axis(int(np.abs(native.axes_lps[::-1, across]).argmax()))


def look(viewer: ViewerModel, plane: str, at_world: Any = None) -> None:
    """Show a plane (axial, coronal, sagittal), through a point of the world or the middle of the scene."""
    viewer.dims.ndisplay = 2
    if viewer.dims.ndim != 3:
        return
    viewer.dims.order = ORDERS[plane]
    orient(viewer)
    point = _middle(viewer) if at_world is None else np.asarray(at_world, dtype=float)
    viewer.dims.point = tuple(point)
    viewer.reset_view()


def _middle(viewer: ViewerModel) -> Any:
    ours = [one for one in viewer.layers if origin_of(one.metadata) is not None and one.visible]
    flat = [one for one in ours if min(one.metadata[KEY].placing.native.shape) == 1] if _all_placed(ours) else []
    layers = flat or ours or list(viewer.layers)
    extent = np.array([one.extent.world for one in layers])
    return (extent[:, 0].min(axis=0) + extent[:, 1].max(axis=0)) / 2


def _all_placed(layers: list[Any]) -> bool:
    return all(one.metadata[KEY].placing is not None for one in layers)


def orient(viewer: ViewerModel) -> None:
    """Superior up on the screen, anterior up on axial planes, and the letters of the four sides."""
    if viewer.dims.ndim != 3:
        return
    viewer.camera.orientation2d = ("up" if viewer.dims.order[1] == 0 else "down", "right")
    if viewer.dims.ndisplay == 2:
        viewer.text_overlay.text = letters(viewer.dims.order)


def letters(order: tuple[int, ...]) -> str:
    """Return the letters of a plane: up, down, left, right of the screen."""
    _, down, right = order
    low, high = _LETTERS[down]
    top, bottom = (high, low) if down == 0 else (low, high)
    return f"{top} ↑   {bottom} ↓   {_LETTERS[right][0]} ←   {_LETTERS[right][1]} →"


def plane_of(order: tuple[int, ...]) -> str:
    """Return the plane that an order of the axes shows."""
    return plane_of_axis(order[0])


def plane_of_axis(axis: int) -> str:
    """Return the plane that is looked at along an axis of the world."""
    return ("axial", "coronal", "sagittal")[axis]
