"""What all widgets need of Qt and napari: work off the GUI thread, one-line errors, layers added one at a time."""

from __future__ import annotations

import gc
import inspect
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from napari.qt.threading import create_worker
from napari.utils.notifications import show_info, show_warning
from qtpy.compat import isalive
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QLabel, QWidget

from mediseg import MedisegError
from napari_mediseg._napari import added_in_parts, is_open
from napari_mediseg.layers import LayerTuple
from napari_mediseg.shapes import ROI_KEY
from napari_mediseg.viewing import look_at_roi

_PAUSE_MS = 20
_END = object()


def one_line(error: BaseException) -> str:
    """Return an error as a line for the user: what is wrong and what to do."""
    if isinstance(error, MedisegError | ValueError):
        return " ".join(str(error).split())
    return f"a bug in napari-mediseg ({type(error).__name__}: {error}); please report it"


class MessageLine(QLabel):
    """The line under a widget's buttons that says what happened."""

    def __init__(self) -> None:
        super().__init__("")
        self.setWordWrap(True)
        self.setObjectName("message")

    def tell(self, text: str) -> None:
        """Say how it went."""
        self.setStyleSheet("")
        self.setText(text)

    def fail(self, error: BaseException | str) -> None:
        """Say what went wrong, in red, here and as napari's notification."""
        text = error if isinstance(error, str) else one_line(error)
        self.setStyleSheet("color: #ff8080")
        self.setText(text)
        show_warning(text)


def notice(text: str) -> None:
    """Show a text as napari's notification."""
    if text:
        show_info(text)


class _Failed:
    """An error as a worker's result: a worker that raises trips over napari 0.9's own book-keeping."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def _kept(work: Callable[..., Any], arguments: tuple[Any, ...]) -> Callable[[], Any]:
    """Return work that returns its error instead of raising it. To be done once: it lets go of what it was made of."""
    held = [(work, arguments)]

    def whole() -> Any:
        call, handed = held.pop()
        try:
            return call(*handed)
        except Exception as error:  # noqa: BLE001 - told by ``failed``
            return _Failed(error)

    def in_parts() -> Generator[Any, None, Any]:
        call, handed = held.pop()
        try:
            return (yield from call(*handed))
        except Exception as error:  # noqa: BLE001 - told by ``failed``
            return _Failed(error)

    return in_parts if inspect.isgeneratorfunction(work) else whole


def in_thread(
    owner: QWidget,
    work: Callable[..., Any],
    *arguments: Any,
    done: Callable[[Any], None],
    failed: Callable[[BaseException], None],
    told: Callable[[Any], None] | None = None,
) -> Any:
    """Do something off the GUI thread; ``told`` gets what it yields, ``done`` what it returns, in the GUI thread.

    None of them is called once Qt has thrown ``owner`` away: a widget may be closed while its work goes on. What yields
    must be a generator function itself, not a lambda about one.
    """

    # Qt keeps a worker, and all that is connected to it, for some turns of the event loop after it has told its result:
    # a widget that is closed in between, and its viewer, would be kept alive by it
    held = [(owner, done, failed, told)]

    def returned(result: Any) -> None:
        owner, done, failed, _ = held.pop()
        if not isalive(owner):
            return
        if isinstance(result, _Failed):
            failed(result.error)
        else:
            done(result)

    def yielded(result: Any) -> None:
        owner, _, _, told = held[0]
        if told is not None and isalive(owner):
            told(result)

    worker = create_worker(_kept(work, arguments))
    worker.returned.connect(returned)
    if told is not None:
        worker.yielded.connect(yielded)
    worker.start()
    return worker


def hear_layers(owner: QWidget, viewer: Any, call: Callable[[], None], *, removed: bool = True) -> None:
    """Call whenever a layer comes (or goes), until Qt has thrown the widget away that wants to know."""

    def told(_event: object = None) -> None:
        if isalive(owner):
            call()

    viewer.layers.events.inserted.connect(told)
    if removed:
        viewer.layers.events.removed.connect(told)


@contextmanager
def _without_collections() -> Iterator[None]:
    """Keep Python from looking through all objects of the program for garbage: with napari's that stalls it."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def add_layers(viewer: Any, tuples: Sequence[LayerTuple], then: Callable[[list[Any]], None] | None = None) -> None:
    """Add layers to a viewer so that the window stays alive: made in a thread, added in parts with pauses between.

    ``then`` gets them once all are there. What the user has selected stays selected. A viewer that is closed meanwhile
    gets no more of them.
    """
    from napari.layers import Layer

    held = [(viewer, then)]  # as in ``in_thread``

    def made() -> list[Any]:
        return [Layer.create(data, keywords, kind) for data, keywords, kind in tuples]

    def turn(viewer: Any, waiting: Iterator[None]) -> None:
        if is_open(viewer) and next(waiting, _END) is not _END:
            QTimer.singleShot(_PAUSE_MS, lambda: turn(viewer, waiting))  # what was added is drawn, the mouse is heard

    def returned(layers: list[Any]) -> None:
        viewer, then = held.pop()
        turn(viewer, _parts(viewer, layers, then))

    worker = create_worker(made)
    worker.returned.connect(returned)
    worker.start()


def _parts(viewer: Any, layers: list[Any], then: Callable[[list[Any]], None] | None) -> Iterator[None]:
    rois = [layer for layer in layers if ROI_KEY in layer.metadata]
    had_planes = viewer.dims.ndim == 3
    with _without_collections():
        for roi in rois:  # now, while little has to be sliced anew for it
            look_at_roi(viewer, roi)
            yield
        for layer in layers:
            yield from added_in_parts(viewer, layer)
            yield
        for roi in rois:
            if had_planes:
                viewer.reset_view()  # the scene has grown
            else:
                look_at_roi(viewer, roi)
            yield
        if viewer.layers.selection.active is None and layers:
            viewer.layers.selection.active = layers[-1]
            yield
    if then is not None:
        then(layers)
