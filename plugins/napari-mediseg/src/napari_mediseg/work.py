"""What all widgets need of Qt and napari: work off the GUI thread, one-line errors, layers added one at a time."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Sequence
from typing import Any

from napari.qt.threading import create_worker
from napari.utils.notifications import show_info, show_warning
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QLabel

from mediseg import MedisegError
from napari_mediseg.layers import LayerTuple


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


def in_thread(
    work: Callable[..., Any],
    *arguments: Any,
    done: Callable[[Any], None],
    failed: Callable[[BaseException], None],
    told: Callable[[Any], None] | None = None,
) -> Any:
    """Do something off the GUI thread; ``told`` gets what it yields, ``done`` what it returns, in the GUI thread.

    What yields must be a generator function itself, not a lambda about one.
    """

    def whole() -> Any:
        try:
            return work(*arguments)
        except Exception as error:  # noqa: BLE001 - told by ``failed``
            return _Failed(error)

    def in_parts() -> Generator[Any, None, Any]:
        try:
            return (yield from work(*arguments))
        except Exception as error:  # noqa: BLE001 - told by ``failed``
            return _Failed(error)

    def returned(result: Any) -> None:
        if isinstance(result, _Failed):
            failed(result.error)
        else:
            done(result)

    worker = create_worker(in_parts if inspect.isgeneratorfunction(work) else whole)
    worker.returned.connect(returned)
    if told is not None:
        worker.yielded.connect(told)
    worker.start()
    return worker


def add_layers(viewer: Any, tuples: Sequence[LayerTuple], then: Callable[[list[Any]], None] | None = None) -> None:
    """Add layers to a viewer, one a turn of the event loop, so that the window stays alive between them."""
    from napari.layers import Layer

    waiting = list(tuples)
    added: list[Any] = []

    def step() -> None:
        if not waiting:
            if then is not None:
                then(added)
            return
        data, keywords, kind = waiting.pop(0)
        added.append(viewer.add_layer(Layer.create(data, keywords, kind)))
        QTimer.singleShot(0, step)

    QTimer.singleShot(0, step)
