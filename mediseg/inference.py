"""Model bundles: found, checked by SHA-256, loaded once, run with ONNX Runtime.

A bundle is a folder in MONAI's layout; what the runtime needs stands under ``mediseg`` in its configs/metadata.json
(spacing, orientation, normalisation, padding, checksum), so that a program in another language can do the same.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mediseg._resources import shipped
from mediseg.errors import UsageError, did_you_mean
from mediseg.numerics.compute import COMPUTE
from mediseg.numerics.intensity import normalize_percentiles


@dataclass(frozen=True)
class Bundle:
    """A checked model: its name, version, SHA-256, and the runtime part of its metadata."""

    name: str
    version: str
    sha256: str
    onnx: Path
    settings: Mapping[str, Any]

    @property
    def licence(self) -> str:
        """Licence of the weights."""
        return str(self.settings["licence"])

    @property
    def companions(self) -> tuple[Bundle, ...]:
        """The bundles that this one names to go on where it stops, checked like itself. Raises UsageError."""
        return tuple(load_bundle(name, kind) for kind, name in self._companions.items())

    def companion(self, kind: str) -> Bundle | None:
        """Return the bundle of a kind that this one names; None if it names none. Raises UsageError."""
        name = self._companions.get(kind)
        return None if name is None else load_bundle(name, kind)

    @property
    def _companions(self) -> Mapping[str, str]:
        found: Mapping[str, str] = self.settings.get("companions", {})
        return found

    @property
    def spacing_mm(self) -> float:
        """Spacing of the grid that the network expects."""
        return float(self.settings["input"]["spacing_mm"])


def bundle_names() -> tuple[str, ...]:
    """Names of the shipped bundles."""
    return tuple(sorted(p.name for p in shipped("models").iterdir() if (p / "configs" / "metadata.json").is_file()))


def bundle_folder(model: str) -> Path:
    """Return the folder of a shipped bundle by name, or of any bundle by path. Raises UsageError."""
    if model in bundle_names():
        return shipped("models") / model
    folder = Path(model)
    if (folder / "configs" / "metadata.json").is_file():
        return folder
    raise UsageError(
        f'there is no model "{model}"{did_you_mean(model, bundle_names())}; '
        "give a shipped name or the path of a bundle folder"
    )


@lru_cache(maxsize=16)
def _checked(onnx: Path, expected: str, stamp: tuple[int, int]) -> str:
    digest = hashlib.sha256(onnx.read_bytes()).hexdigest()
    if digest != expected:
        raise UsageError(
            f"the model file {onnx.name} of {onnx.parents[1].name} does not match its checksum: "
            "it is damaged or was changed; copy the bundle again"
        )
    return digest


def load_bundle(model: str, kind: str | None = None) -> Bundle:
    """Return a bundle, of a kind (``brain``, ``callosum``) or any, after checking its SHA-256. Raises UsageError."""
    folder = bundle_folder(model)
    metadata, settings = _described(folder)
    if kind is not None and settings["kind"] != kind:
        raise UsageError(f'the model "{model}" is for {settings["kind"]}, this step needs one for {kind}')
    onnx = folder / "models" / "model.onnx"
    if not onnx.is_file():
        raise UsageError(f'the bundle of "{model}" holds no models/model.onnx; copy it again')
    stat = onnx.stat()
    digest = _checked(onnx, str(settings["sha256"]), (stat.st_size, stat.st_mtime_ns))
    return Bundle(str(settings["name"]), str(metadata["version"]), digest, onnx, settings)


def _described(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a bundle's metadata, and the part that the runtime needs. Raises UsageError where either is spoilt."""
    try:
        metadata = json.loads((folder / "configs" / "metadata.json").read_text(encoding="utf-8"))
        settings = metadata["mediseg"]
        _ = (
            str(metadata["version"]),
            [settings[key] for key in ("name", "kind", "sha256", "licence", "input", "output")],
        )
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UsageError(
            f"the bundle {folder.name} has a configs/metadata.json that cannot be used; copy the bundle again"
        ) from error
    return metadata, settings


def available_providers() -> list[str]:
    """Names of ONNX Runtime's execution providers on this machine."""
    return list(runtime().get_available_providers())


def _providers(device: str) -> list[str]:
    has_cuda = "CUDAExecutionProvider" in available_providers()
    if device == "cuda" and not has_cuda:
        raise UsageError("--device cuda: this ONNX Runtime has no CUDA provider; install onnxruntime-gpu or use cpu")
    use_cuda = has_cuda and device in ("cuda", "auto")
    return ["CUDAExecutionProvider", "CPUExecutionProvider"] if use_cuda else ["CPUExecutionProvider"]


def runtime() -> Any:
    """Return the module ``onnxruntime``, told before it starts to keep what it is used for to itself.

    Since 1.29 the official builds send the names and digests of models and how they run to Microsoft, and write an
    identifier and a database into the home folder, unless this variable is set (1.29 to 1.32 read, on Linux).
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    onnxruntime.disable_telemetry_events()  # Windows' builds know only this
    return onnxruntime


@lru_cache(maxsize=8)
def _session(onnx: Path, sha256: str, threads: int, device: str) -> Any:
    """Return the session for a model, made once a process; the checksum in the key reloads a replaced model."""
    onnxruntime = runtime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # one large call a case: an arena would keep its peak for the rest of the process
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(onnx), options, providers=_providers(device))


def model_session(onnx: Path) -> Any:
    """Load any ONNX file on the processor with one thread, to look at it. Raises UsageError where it does not load."""
    onnxruntime = runtime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(onnx), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise UsageError(f"ONNX Runtime cannot load {onnx.name}: {str(error).splitlines()[0]}") from error


def open_session(bundle: Bundle) -> Any:
    """Return the ONNX Runtime session of a bundle on this case's threads and device."""
    compute = COMPUTE.get()
    return _session(bundle.onnx, bundle.sha256, compute.threads, compute.device)


def predict(bundle: Bundle, image: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """Run a network on one whole image (2-D or 3-D, already on the network's grid and orientation).

    Normalises and zero-pads as the bundle says, runs it, and crops the answer back to the image's shape (float32).
    """
    crop = tuple(slice(0, n) for n in image.shape)
    return np.ascontiguousarray(_answer(bundle, image)[0, 0][crop], dtype=np.float32)


def predict_values(bundle: Bundle, image: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """Run a network that answers with numbers, not with an image; return them (n,) as float32."""
    return np.ascontiguousarray(_answer(bundle, image)[0], dtype=np.float32)


def predict_channels(bundle: Bundle, channels: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """Run a network on channels (C, ...) that are scaled already, of sizes it takes; return its first channel (...)."""
    return np.ascontiguousarray(_run(bundle, np.asarray(channels, np.float32)[None])[0, 0], dtype=np.float32)


def _answer(bundle: Bundle, image: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    wanted = bundle.settings["input"]
    if image.ndim != wanted["dims"]:
        raise ValueError(f"{bundle.name} takes {wanted['dims']}-D images, not {image.ndim}-D")
    scale = wanted["normalize"]
    scaled = normalize_percentiles(image, scale["low"], scale["high"], (scale["clip"][0], scale["clip"][1]))
    multiple = int(wanted["pad_multiple"])
    padded = np.pad(scaled, [(0, -n % multiple) for n in image.shape])
    return _run(bundle, padded[None, None])


def _run(bundle: Bundle, batch: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    names = bundle.settings["output"]["name"], bundle.settings["input"]["name"]
    (answer,) = open_session(bundle).run([names[0]], {names[1]: batch})
    return np.asarray(answer)
