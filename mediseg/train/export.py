"""From a trained network to a bundle in MONAI's layout: ONNX, metadata, model card and licence, checked on the way."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import nn

from mediseg.bundle_check import PROBE_TOLERANCE, made_probe, probe_shape
from mediseg.inference import runtime
from mediseg.train.rounding import Rounding

OPSET = 17
SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
TOLERANCE = 1e-4
INT8_PROBE_TOLERANCE = 0.3


def export_bundle(
    network: nn.Module,
    folder: Path,
    *,
    metadata: Mapping[str, Any],
    example_shape: Sequence[int],
    card: str,
    licence: str,
    rounding: Rounding | None = None,
) -> Path:
    """Write ``network`` as a bundle into ``folder`` and return the path of its ``model.onnx``.

    ``network`` is exported as it is, so an activation that belongs to the model (sigmoid) must be inside it.
    ``example_shape`` is (N, C, *spatial); batch and spatial sizes are free in the graph. Input and output names, the
    pad multiple, version and licence are read from ``metadata``; ``mediseg.sha256`` and the versions of the libraries
    are filled in here, and the opset, the largest difference found and a probe for ``mediseg models verify``. Fails if
    ONNX Runtime and torch differ by more than 1e-4 on any of several sizes; weights are rounded after that.
    """
    own = dict(metadata["mediseg"])
    names = (own["input"]["name"], own["output"]["name"])
    path = folder / "models" / "model.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    network = network.eval()
    partial = path.with_suffix(".partial.onnx")
    fixed = bool(own["input"].get("fixed_size", False))
    write_onnx(network, partial, tuple(example_shape), names, fixed_size=fixed)
    _stamp(partial, {"version": metadata["version"], "licence": own["licence"], "name": own["name"]})
    multiple = own["input"].get("pad_multiple", 1)
    own["parity"] = check_parity(network, partial, probe_shapes(example_shape, multiple, fixed_size=fixed))
    if rounding is not None:
        own["rounding"] = rounding.apply(partial)
        onnx.checker.check_model(str(partial), full_check=True)
    own["opset"] = OPSET
    is_int8 = own.get("rounding", {}).get("weights") == "int8"  # its arithmetic differs between processors
    tolerance = INT8_PROBE_TOLERANCE if is_int8 else PROBE_TOLERANCE
    probe = tuple(example_shape) if fixed else probe_shape(len(example_shape) - 2, multiple)
    own["probe"] = made_probe(runner(partial), probe, tolerance)
    os.replace(partial, path)  # noqa: PTH105 -- said as what it is: the atomic step
    own["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    full = {"schema": SCHEMA, **metadata, **_versions(), "mediseg": own}
    _text(folder / "configs" / "metadata.json", json.dumps(full, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    _text(folder / "docs" / "README.md", card)
    _text(folder / "LICENSE", licence)
    return path


def probe_shapes(example_shape: Sequence[int], multiple: int, *, fixed_size: bool = False) -> list[tuple[int, ...]]:
    """Return input shapes to compare on; of a fixed size only batches of one and two.

    In 2-D: the example, squares of 128, 512 and 768, two that are not square, and a batch of two, all brought up to the
    multiple. In 3-D, where that would take minutes: the example, half of it, and one with three different sides.
    """
    channels, spatial = example_shape[1], list(example_shape[2:])
    if fixed_size:
        return [tuple(example_shape), (2, *example_shape[1:])]
    if len(spatial) == 2:
        sides = [(128, 128), (512, 512), (768, 768), (192, 320), (768, 128)]
        shapes = [(1, channels, *(-(-side // multiple) * multiple for side in pair)) for pair in sides]
        return [tuple(example_shape), *shapes, (2, *shapes[3][1:])]
    smaller = [max(multiple, size // 2 // multiple * multiple) for size in spatial]
    uneven = [size + multiple * (axis + 1) for axis, size in enumerate(smaller)]
    return [tuple(example_shape), (1, channels, *smaller), (1, channels, *uneven)]


def runner(path: Path) -> Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]:
    """Return the ONNX file as a function of one array."""
    session = runtime().InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda array: session.run(None, {name: array})[0]


def check_parity(
    network: nn.Module, path: Path, shapes: Sequence[tuple[int, ...]], tolerance: float = TOLERANCE
) -> float:
    """Compare ONNX Runtime with torch on noise of each shape; return the largest difference or fail."""
    run = runner(path)
    rng = np.random.default_rng(0)
    worst = 0.0
    for shape in shapes:
        array = rng.uniform(-0.5, 1.5, shape).astype(np.float32)
        worst = max(worst, float(np.abs(run(array) - _torch_output(network, array)).max()))
        if not worst <= tolerance:
            msg = f"ONNX Runtime and torch differ by {worst:.2e} on shape {shape}, more than {tolerance:.0e}"
            raise ValueError(msg)
    return worst


def _torch_output(network: nn.Module, array: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    with torch.no_grad():
        output: npt.NDArray[np.float32] = network(torch.from_numpy(array)).float().numpy()
    return output


def write_onnx(
    network: nn.Module, path: Path, shape: tuple[int, ...], names: tuple[str, str], *, fixed_size: bool = False
) -> None:
    """Trace to ONNX with the weights inside the file; sizes other than the channels' (and fixed ones) are symbols."""
    sizes = () if fixed_size else ("size_0", "size_1", "size_2")[: len(shape) - 2]
    axes = {0: "batch", **{2 + i: name for i, name in enumerate(sizes)}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.zeros(shape),),
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=[names[0]],
            output_names=[names[1]],
            dynamic_axes={names[0]: axes, names[1]: axes},
        )


def _stamp(path: Path, properties: Mapping[str, str]) -> None:
    """Put version and licence into the ONNX file itself and check the file."""
    model = onnx.load(str(path))
    onnx.helper.set_model_props(model, dict(properties))
    model.doc_string = f"{properties['name']} {properties['version']}, {properties['licence']}"
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))


def _versions() -> dict[str, Any]:
    return {
        "monai_version": version("monai"),
        "pytorch_version": torch.__version__.split("+")[0],
        "numpy_version": np.__version__,
        "required_packages_version": {"onnxruntime": runtime().__version__, "onnx": onnx.__version__},
    }


def _text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
