"""Is a bundle whole, and does it do what it says? Every check that ``mediseg models verify`` makes, one function each.

A check returns what is wrong, one line a fault. Those on the file's inside need the ``onnx`` package (extra ``train``);
without it the model is still loaded, compared with its metadata and run on the probe.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mediseg.bundle_metadata import faults
from mediseg.errors import UsageError
from mediseg.inference import bundle_folder, model_session

Floats = npt.NDArray[np.float32]
FILES = ("configs/metadata.json", "models/model.onnx", "docs/README.md", "LICENSE")
OPSETS = range(13, 24)
DOMAINS = ("", "ai.onnx")
DTYPES = {"float32": "tensor(float)", "float16": "tensor(float16)"}
#: Sides of the probe, in multiples of what the network pads to: not square, so that swapped axes show.
PROBE_SIDES = {2: (64, 96), 3: (32, 48, 32)}
#: How much mean and spread of the answer may differ from the stored ones, as a share of these: processors round
#: differently, and a probability far from the border is a small number that follows its logit's rounding.
PROBE_TOLERANCE = 0.02


def verify(model: str) -> list[str]:
    """Return all that is wrong with a bundle (a shipped name, or a folder's path); empty if nothing is.

    Raises UsageError where there is no such bundle.
    """
    folder = bundle_folder(model)
    missing = [f"{name} is missing or empty" for name in FILES if not _holds_something(folder / name)]
    if missing:
        return missing
    try:
        metadata = json.loads((folder / "configs" / "metadata.json").read_text(encoding="utf-8"))
    except ValueError:
        return ["configs/metadata.json is no JSON"]
    if wrong := faults(metadata):
        return [f"configs/metadata.json: {fault}" for fault in wrong]
    path = folder / "models" / "model.onnx"
    if wrong := check_sum(path, metadata):
        return wrong
    inside = check_file(path, metadata) if find_spec("onnx") is not None else []
    return inside + check_session(path, metadata)


def check_sum(path: Path, metadata: Mapping[str, Any]) -> list[str]:
    """Compare the file's SHA-256 with the metadata's."""
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    wanted = metadata["mediseg"]["sha256"]
    if found == wanted:
        return []
    return [f"models/{path.name} does not match its checksum: it is damaged or was changed; copy the bundle again"]


def check_file(path: Path, metadata: Mapping[str, Any]) -> list[str]:
    """Run onnx.checker in full; opset as stated, no operator beyond the standard's, all weights inside."""
    import onnx

    try:
        onnx.checker.check_model(str(path), full_check=True)
        model = onnx.load(str(path), load_external_data=False)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError) as error:
        return [f"onnx.checker: {str(error).splitlines()[0]}"]
    found = []
    opsets = {one.domain: one.version for one in model.opset_import}
    if opsets.get("") not in OPSETS:
        found.append(f"opset {opsets.get('')} is outside {OPSETS.start} to {OPSETS.stop - 1}")
    stated = metadata["mediseg"].get("opset")
    if stated is not None and stated != opsets.get(""):
        found.append(f"opset {opsets.get('')}, and the metadata say {stated}")
    foreign = sorted({f"{node.domain}.{node.op_type}" for node in model.graph.node if node.domain not in DOMAINS})
    found += [f"operator {name} is not of the ONNX standard" for name in foreign]
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer):
        found.append("weights lie outside the file")
    return found


def check_session(path: Path, metadata: Mapping[str, Any]) -> list[str]:
    """Load the model with ONNX Runtime; names, types and channels as stated, and the probe's answer."""
    try:
        session = model_session(path)
    except UsageError as error:
        return [str(error)]
    stated, found = metadata["network_data_format"], []
    for side, values in (("inputs", session.get_inputs()), ("outputs", session.get_outputs())):
        names = [value.name for value in values]
        if names != list(stated[side]):
            found.append(f"{side} are {', '.join(names)}, and the metadata say {', '.join(stated[side])}")
            continue
        for value in values:
            found += _differences(value, stated[side][value.name])
    return found or check_probe(lambda image: np.asarray(session.run(None, {names_of(session)[0]: image})[0]), metadata)


def names_of(session: Any) -> list[str]:
    """Return the names of a session's inputs."""
    return [value.name for value in session.get_inputs()]


def _differences(value: Any, stated: Mapping[str, Any]) -> list[str]:
    found = []
    if value.type != DTYPES.get(stated["dtype"]):
        found.append(f"{value.name} is {value.type}, and the metadata say {stated['dtype']}")
    if value.shape[1] != stated["num_channels"] and not isinstance(value.shape[1], str):
        found.append(f"{value.name} has {value.shape[1]} channels, and the metadata say {stated['num_channels']}")
    fixed = [size for size in (value.shape[0], *value.shape[2:]) if not isinstance(size, str)]
    if fixed and all(isinstance(size, str) for size in stated["spatial_shape"]):
        found.append(f"{value.name} has a fixed size of {fixed}, and the metadata say it is free")
    return found


def check_probe(run: Callable[[Floats], Floats], metadata: Mapping[str, Any]) -> list[str]:
    """Run the probe and compare its answer with the stored one; nothing where none is stored."""
    probe = metadata["mediseg"].get("probe")
    if probe is None:
        return []
    mean, spread = answer(run(probe_input(probe["shape"])))
    same = (
        math.isclose(a, b, rel_tol=probe["tolerance"]) for a, b in ((mean, probe["mean"]), (spread, probe["spread"]))
    )
    if all(same):
        return []
    return [f"the probe's answer is {mean:.4g} +- {spread:.4g}, not {probe['mean']:.4g} +- {probe['spread']:.4g}"]


def made_probe(
    run: Callable[[Floats], Floats], shape: Sequence[int], tolerance: float = PROBE_TOLERANCE
) -> dict[str, Any]:
    """Return the probe to be stored for a model: what it answers to ``probe_input`` of ``shape``, in short."""
    mean, spread = answer(run(probe_input(list(shape))))
    return {"shape": list(shape), "mean": mean, "spread": spread, "tolerance": tolerance}


def probe_shape(dims: int, multiple: int) -> tuple[int, ...]:
    """Return the shape of the probe of a model that takes any size."""
    return (1, 1, *(-(-side // multiple) * multiple for side in PROBE_SIDES[dims]))


def probe_input(shape: list[int]) -> Floats:
    """Return waves in 0..1 of a shape (1, 1, ...): along each axis another period, so that no axis is like another."""
    total = np.zeros(shape[2:])
    for axis, size in enumerate(shape[2:]):
        along = np.sin(np.arange(size) / (3.0 + 2.0 * axis))
        total += along.reshape([-1 if k == axis else 1 for k in range(len(shape) - 2)])
    waves: Floats = (0.5 + total / (2.0 * (len(shape) - 2)))[None, None].astype(np.float32)
    return waves


def answer(output: npt.NDArray[np.floating]) -> tuple[float, float]:
    """Return mean and standard deviation of an output, to six digits."""
    return float(f"{output.mean(dtype=np.float64):.6g}"), float(f"{output.std(dtype=np.float64):.6g}")


def _holds_something(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0
