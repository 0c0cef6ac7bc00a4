"""A step's settings as a form: made from its signature, so that nothing is said twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QGroupBox,
    QLineEdit,
    QSpinBox,
    QWidget,
)

from mediseg.steps import SettingInfo, StepInfo

_ROI = "RotatedROI"


class StepForm(QGroupBox):
    """One step: a row a setting, with unit, default, bounds, and what it does as a tooltip."""

    def __init__(self, step: StepInfo, settings: dict[str, Any], rois: Callable[[], dict[str, Any]]) -> None:
        super().__init__(step.name.replace("_", " "))
        self.step = step
        self.setToolTip(step.doc.split("\n\n")[0])
        self.setCheckable(True)
        self._rows: dict[str, _Row] = {}
        body = QWidget()
        layout = QFormLayout(body)
        layout.setContentsMargins(4, 0, 4, 0)
        for name, info in step.settings.items():
            row = _Row(info, settings.get(name, info.default), rois)
            label = name.replace("_", " ") if not info.unit else f"{name.rsplit('_', 1)[0].replace('_', ' ')}"
            row.widget.setObjectName(f"{step.name}.{name}")
            layout.addRow(label, row.widget)
            layout.labelForField(row.widget).setToolTip(row.tooltip)
            self._rows[name] = row
        outer = QFormLayout(self)
        outer.setContentsMargins(4, 4, 4, 4)
        outer.addRow(body)
        self.toggled.connect(body.setVisible)
        self.setChecked(False)

    def changed(self) -> dict[str, Any]:
        """Return the settings that differ from the recipe's, as ``{"step.param": value}``."""
        return {f"{self.step.name}.{name}": row.value() for name, row in self._rows.items() if row.is_changed()}


class _Row:
    """A setting's field."""

    def __init__(self, info: SettingInfo, start: Any, rois: Callable[[], dict[str, Any]]) -> None:
        self.info = info
        self.start = start
        self._rois = rois
        self.widget = self._made()
        self.tooltip = _tooltip(info, start)
        self.widget.setToolTip(self.tooltip)

    def _made(self) -> QWidget:
        kind = self.info.type
        if kind is bool:
            box = QCheckBox()
            box.setChecked(bool(self.start))
            return box
        if self.info.setting.choices:
            return _choice(list(self.info.setting.choices), str(self.start))
        if kind.__name__ == _ROI:
            return _LateChoice(self._rois)
        if kind in (int, float) and self.start is not None:
            return _number(self.info, self.start)
        line = QLineEdit("" if self.start is None else str(self.start))
        line.setPlaceholderText("not given")
        return line

    def value(self) -> Any:
        """Return the field's value in the setting's own type; None for an empty one."""
        widget = self.widget
        if isinstance(widget, QCheckBox):
            return widget.isChecked()
        if isinstance(widget, _LateChoice):
            return widget.chosen()
        if isinstance(widget, QComboBox):
            return widget.currentText()
        if isinstance(widget, QSpinBox | QDoubleSpinBox):
            return widget.value()
        text = str(widget.text()).strip()
        return text or None

    def is_changed(self) -> bool:
        value = self.value()
        return value is not None and str(value) != str(self.start)


class _LateChoice(QComboBox):
    """The ROIs that are in the viewer when the list is opened, or none."""

    def __init__(self, rois: Callable[[], dict[str, Any]]) -> None:
        super().__init__()
        self._rois = rois
        self.addItem("none", None)

    def showPopup(self) -> None:  # noqa: N802 - Qt's name
        """Fill the list anew."""
        chosen = self.currentText()
        self.clear()
        self.addItem("none", None)
        for name in self._rois():
            self.addItem(name)
        self.setCurrentText(chosen)
        super().showPopup()

    def choose(self, name: str) -> None:
        """Choose an ROI by its layer's name."""
        if self.findText(name) < 0:
            self.addItem(name)
        self.setCurrentText(name)

    def chosen(self) -> Any:
        """Return the ROI, None for none."""
        return self._rois().get(self.currentText())


def _choice(choices: list[str], start: str) -> QComboBox:
    box = QComboBox()
    box.addItems(choices)
    box.setCurrentText(start)
    return box


def _number(info: SettingInfo, start: Any) -> QWidget:
    low, high = info.setting.low, info.setting.high
    if info.type is int:
        whole = QSpinBox()
        whole.setRange(int(low if low is not None else -(10**6)), int(high if high is not None else 10**6))
        whole.setValue(int(start))
        box: QWidget = whole
    else:
        real = QDoubleSpinBox()
        real.setDecimals(3)
        real.setRange(low if low is not None else -1e6, high if high is not None else 1e6)
        real.setSingleStep(0.05 if (high or 0) <= 1 else 0.5)
        real.setValue(float(start))
        box = real
    if info.unit:
        box.setSuffix(f" {'°' if info.unit == 'degrees' else info.unit}")
    box.setFocusPolicy(Qt.FocusPolicy.StrongFocus)  # a wheel that scrolls the form must not change a number
    return box


def _tooltip(info: SettingInfo, start: Any) -> str:
    low, high = info.setting.low, info.setting.high
    bounds = f" {low:g} to {high:g}" if low is not None and high is not None else ""
    unit = f" {info.unit}" if info.unit else ""
    shown = "none" if start is None else f"{start}{unit}"
    return f"{info.setting.doc}.\nDefault: {shown}.{' Bounds:' + bounds + unit + '.' if bounds else ''}"
