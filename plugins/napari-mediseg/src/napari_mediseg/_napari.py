"""What napari does not expose: the only file that touches names that napari may change. Tested at 0.6.1 and newest."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np


def quiet_about_in_plane_turns() -> None:
    """Silence napari's warning on turned slices: ours are turned only in the plane in which they are looked at.

    napari says it whenever the view is switched to another plane, in which such a slice is but a line.
    """
    warnings.filterwarnings("ignore", message="Non-orthogonal slicing is being requested")


def affine_of_meta(meta: dict[str, Any], ndim: int) -> Any:
    """Return data to world (ndim + 1 square) from a layer's ``as_layer_data_tuple`` keywords."""
    from napari.utils.transforms import Affine

    shear = meta.get("shear")
    inner = Affine(
        scale=meta.get("scale", np.ones(ndim)),
        translate=meta.get("translate", np.zeros(ndim)),
        rotate=meta.get("rotate"),
        shear=shear if shear is not None and np.any(shear) else None,
        ndim=ndim,
    )
    outer = np.asarray(meta.get("affine", np.eye(ndim + 1)), dtype=float)
    return outer @ inner.affine_matrix


def layer_matrix(layer: Any) -> Any:
    """Return data to world (4 x 4) of a layer in the viewer."""
    corner = np.asarray(layer.data_to_world(np.zeros(layer.ndim)), dtype=float)
    columns = [np.asarray(layer.data_to_world(row), dtype=float) - corner for row in np.eye(layer.ndim)]
    matrix = np.eye(layer.ndim + 1)
    matrix[: layer.ndim, : layer.ndim] = np.column_stack(columns)
    matrix[: layer.ndim, layer.ndim] = corner
    return matrix


def _itself(given: Any) -> Any:
    """Return what napari has wrapped before it gave it to a plugin: the wrapper warns at every look inside."""
    return getattr(given, "__wrapped__", given)


def qt_canvas(viewer: Any) -> Any:
    """Return the Qt widget that the pictures are drawn on: mouse events go there."""
    return _itself(viewer).window._qt_viewer.canvas.native


def is_open(viewer: Any) -> bool:
    """True until a viewer's window is closed, by its button or by ``close``."""
    from qtpy.compat import isalive

    window = getattr(_itself(viewer).window, "_qt_window", None)
    return window is not None and bool(isalive(window))


def when_closed(viewer: Any, call: Callable[[], None]) -> None:
    """Call once a viewer's window has been closed and thrown away."""
    _itself(viewer).window._qt_window.destroyed.connect(lambda _=None: call())


def canvas_position(viewer: Any, world: Any) -> tuple[float, float]:
    """Return the pixel (x, y) of the canvas at which a point of the world is drawn, in 2-D."""
    viewer = _itself(viewer)
    displayed = list(viewer.dims.displayed)
    point = np.asarray(world, dtype=float)[displayed]
    view = viewer.window._qt_viewer.canvas.view
    mapped = view.camera.transform.map([point[1], point[0], 0, 1])
    return float(mapped[0] / mapped[3]), float(mapped[1] / mapped[3])


def follow(layer: Any, data: list[Any]) -> None:
    """Give a shapes layer other vertices for as many shapes as it has, quickly, as under a moving mouse.

    ``layer.data = ...`` builds every shape anew and has the viewer measure and slice every layer again; that is left
    for the release of the mouse.
    """
    layer = _itself(layer)
    shapes = layer._data_view
    with shapes.batched_updates():
        for index, vertices in enumerate(data):
            shapes.edit(index, vertices)
    layer.refresh(thumbnail=False, extent=False, highlight=False)


def added_in_parts(viewer: Any, layer: Any) -> Iterator[None]:
    """Add a layer in parts, each short: let the event loop turn wherever this yields, and do not stop before the end.

    ``viewer.add_layer`` does all of it in one call that keeps the window from answering: the layer's controls, its
    visual, its place in the list, its first drawing. Here the layer is hidden until its last part, and what the user
    has selected stays selected.
    """
    viewer, layer = _itself(viewer), _itself(layer)
    inside = viewer.window._qt_viewer
    controls, canvas, inserted = inside.controls, inside.canvas, viewer.layers.events.inserted
    shown, layer.visible = layer.visible, False
    drawn_late = [one for one in layer._overlays.values() if one.visible]
    for one in drawn_late:
        one.visible = False
    made = _kept_from(controls, "addWidget", lambda: controls._add(SimpleNamespace(value=layer)))
    yield
    for panel in made:
        controls.addWidget(panel[0])
    yield
    visual = _kept_from(canvas, "add_layer_visual_mapping", lambda: inside._add_layer(layer))[0][1]
    yield
    activates, viewer.layers._activate_on_insert = viewer.layers._activate_on_insert, False
    try:
        with inserted.blocker(controls._add), inserted.blocker(inside._on_add_layer_change):
            viewer.layers.append(layer)
        canvas.add_layer_visual_mapping(layer, visual)
    finally:
        viewer.layers._activate_on_insert = activates
    yield
    for one in drawn_late:
        one.visible = True
        yield
    pieces = [one for one in getattr(visual.node, "_subvisuals", ()) if one.visible]
    for one in pieces:  # a shapes layer is drawn by five, each of which is compiled when it is first drawn
        one.visible = False
    layer.visible = shown
    for one in pieces:
        yield
        one.visible = True


def _kept_from(owner: Any, name: str, call: Callable[[], None]) -> list[tuple[Any, ...]]:
    """Call, and return what the call would have handed to a method of ``owner``, which is left for later."""
    kept: list[tuple[Any, ...]] = []
    setattr(owner, name, lambda *handed: kept.append(handed))
    try:
        call()
    finally:
        delattr(owner, name)
    return kept
