"""What a user's hands do: the mouse on the picture, the keys, a button by its name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from napari_mediseg._napari import canvas_position, qt_canvas
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QPushButton, QWidget

PATIENCE_MS = 300_000  # the machine may be busy


def at(viewer: Any, world: Any) -> QPoint:
    """The pixel of the canvas that shows a point of the world."""
    x, y = canvas_position(viewer, np.asarray(world, dtype=float))
    return QPoint(round(x), round(y))


def settle(times: int = 5) -> None:
    """Let Qt do what waits."""
    for _ in range(times):
        QApplication.processEvents()


def drag(viewer: Any, way: Sequence[QPoint], keys: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
    """Press at the first pixel, move over the others, release at the last."""
    canvas = qt_canvas(viewer)
    QTest.mousePress(canvas, Qt.MouseButton.LeftButton, keys, way[0])
    settle(2)
    for one in way[1:]:
        _move(canvas, one, keys)
    QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, keys, way[-1])
    settle(2)


def _move(canvas: QWidget, to: QPoint, keys: Qt.KeyboardModifier) -> None:
    """Move with the button held: QTest.mouseMove says neither button nor keys."""
    from qtpy.QtCore import QEvent, QPointF
    from qtpy.QtGui import QMouseEvent

    left = Qt.MouseButton.LeftButton
    where = QPointF(to)
    event = QMouseEvent(QEvent.Type.MouseMove, where, canvas.mapToGlobal(where), Qt.MouseButton.NoButton, left, keys)
    QApplication.sendEvent(canvas, event)
    settle(1)


def click(viewer: Any, world: Any, keys: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
    """Click on a point of the world."""
    QTest.mouseClick(qt_canvas(viewer), Qt.MouseButton.LeftButton, keys, at(viewer, world))
    settle(2)


def key(viewer: Any, code: Qt.Key, keys: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
    """Press a key over the picture."""
    QTest.keyClick(qt_canvas(viewer), code, keys)
    settle(2)


def push(widget: QWidget, name: str) -> None:
    """Click a button by its name."""
    button = widget.findChild(QPushButton, name)
    assert button is not None, f"no button {name}"
    assert button.isEnabled(), f"{name} is not enabled"
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)
    settle(2)


def wait(qtbot: Any, done: Callable[[], bool]) -> None:
    """Wait until something is so."""
    qtbot.waitUntil(done, timeout=PATIENCE_MS)
