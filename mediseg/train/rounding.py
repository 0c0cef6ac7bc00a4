"""Smaller weights: float16 (half the file, computed in float32) or 8 bits (static QDQ), and what the rounding costs.

float16 weights are followed by a cast, which ONNX Runtime folds away when it loads the file: nothing runs slower, and
no processor has to know float16. 8-bit weights and activations are calibrated on pairs that are named in the metadata.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import onnx
import torch

from mediseg.inference import runtime
from mediseg.train.look import Reading, dice
from mediseg.train.loop import Pair

#: Weights of fewer numbers stay float32: biases and scales, which gain nothing.
SMALLEST = 64
CALIBRATION_MOST = 64


class Rounding(Protocol):
    """Rewrites a float32 ONNX file; returns what the metadata say of it."""

    def apply(self, path: Path) -> dict[str, Any]:
        """Round the file in place."""


@dataclass(frozen=True, slots=True)
class Half:
    """Weights stored as float16."""

    samples: Sequence[Pair] = ()
    reading: Reading | None = None

    def apply(self, path: Path) -> dict[str, Any]:
        """Round the file in place; return what changed on the samples."""
        before = path.with_suffix(".float32.onnx")
        path.rename(before)
        onnx.save(halved(onnx.load(str(before))), str(path))
        cost = costs(before, path, self.samples, self.reading)
        before.unlink()
        return {"weights": "float16", "computed": "float32", **cost}


@dataclass(frozen=True, slots=True)
class Int8:
    """8-bit weights (per channel) and activations, as QuantizeLinear and DequantizeLinear of the ONNX standard."""

    samples: Sequence[Pair]
    reading: Reading | None = None

    def apply(self, path: Path) -> dict[str, Any]:
        """Calibrate and round the file in place; return the calibration set and what changed on the samples."""
        runtime()  # before anything of it is imported
        from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

        before = path.with_suffix(".float32.onnx")
        path.rename(before)
        inputs = [one[None] for pair in self.samples for one in pair[0].numpy()][:CALIBRATION_MOST]
        model = onnx.load(str(before))
        quantize_static(
            model,
            str(path),
            _Reader(model.graph.input[0].name, inputs),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            nodes_to_exclude=_last_nodes(model),
        )
        onnx.save(_standard_only(onnx.load(str(path)), model), str(path))
        cost = costs(before, path, self.samples, self.reading)
        before.unlink()
        shapes = sorted({"x".join(str(n) for n in one.shape[2:]) for one in inputs})
        calibration = f"{len(inputs)} windows of the training's dev slices ({', '.join(shapes)}), minimum and maximum"
        return {"weights": "int8", "computed": "int8, the last layers float32", "calibration": calibration, **cost}


def halved(model: onnx.ModelProto) -> onnx.ModelProto:
    """Store the float32 weights of a model as float16, each followed by a cast to float32."""
    graph = model.graph
    casts = []
    for tensor in graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < SMALLEST:
            continue
        if float(np.abs(values).max()) > float(np.finfo(np.float16).max):
            raise ValueError(f"a weight of {tensor.name} is beyond float16; export without --fp16")
        name = tensor.name
        tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
        casts.append(onnx.helper.make_node("Cast", [f"{name}.half"], [name], name=f"{name}.cast", to=1))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return model


def costs(before: Path, after: Path, samples: Sequence[Pair], reading: Reading | None) -> dict[str, Any]:
    """Return the mean Dice of both files on the samples, and the largest difference of an output."""
    if not samples or reading is None:
        return {}
    sessions = [runtime().InferenceSession(str(path), providers=["CPUExecutionProvider"]) for path in (before, after)]
    scores, apart = [], 0.0
    for inputs, targets in samples:
        outputs = [torch.from_numpy(session.run(None, {_name(session): inputs.numpy()})[0]) for session in sessions]
        apart = max(apart, float((outputs[0] - outputs[1]).abs().max()))
        found = [reading.output(output).numpy() for output in outputs]
        true = reading.target(targets).numpy()
        scores += [(dice(one, t), dice(other, t)) for one, other, t in zip(*found, true, strict=True)]
    full, rounded = np.mean(scores, axis=0)
    return {
        "samples": len(scores),
        "dice_float32": round(float(full), 5),
        "dice": round(float(rounded), 5),
        "largest_difference": round(apart, 5),
    }


def _name(session: Any) -> str:
    return str(session.get_inputs()[0].name)


def _last_nodes(model: onnx.ModelProto) -> list[str]:
    """Return the names of the last convolution and of all that follows it: the border is made there."""
    nodes = list(model.graph.node)
    last = max(k for k, node in enumerate(nodes) if node.op_type in ("Conv", "ConvTranspose"))
    return [node.name for node in nodes[last:]]


def _standard_only(model: onnx.ModelProto, before: onnx.ModelProto) -> onnx.ModelProto:
    """Drop the declaration of operator sets that no node uses, and bring back the properties."""
    used = {node.domain for node in model.graph.node}
    kept = [one for one in model.opset_import if one.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    onnx.helper.set_model_props(model, {one.key: one.value for one in before.metadata_props})
    model.doc_string = before.doc_string
    return model


class _Reader:
    """Feeds the calibration, one input at a time."""

    def __init__(self, name: str, inputs: Sequence[npt.NDArray[np.float32]]) -> None:
        self._left: Iterator[dict[str, npt.NDArray[np.float32]]] = iter([{name: one} for one in inputs])

    def get_next(self) -> dict[str, npt.NDArray[np.float32]] | None:
        """Return the next input, or None at the end."""
        return next(self._left, None)
