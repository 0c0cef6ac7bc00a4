"""Buttons and rows of them, as every widget here has."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QHBoxLayout, QPushButton, QWidget


def button(text: str, name: str, tip: str, pressed: Any) -> QPushButton:
    """Return a button; ``name`` is what tests and style sheets find it by, ``pressed`` is called when it is."""
    made = QPushButton(text)
    made.setObjectName(name)
    made.setToolTip(tip)
    made.clicked.connect(pressed)
    return made


def row(*widgets: QWidget) -> QHBoxLayout:
    """Return widgets side by side."""
    made = QHBoxLayout()
    for one in widgets:
        made.addWidget(one)
    return made
