"""Time every 2-D network in ONNX Runtime and in torch eager, in one run: python benchmarks/network_speed.py [--json F].

One slice of 256 x 256, 2 threads, float32 on both sides, random weights (they do not change the time). Rounds go
through all networks in turn, so that whatever else the machine does falls on all of them alike; torch is timed with
contiguous and with channels-last memory and the faster one counts. Median and quickest of the rounds, in ms. ``int8``
and ``float16`` add the rounded files of ``mediseg export``. Shipped 2-D
bundles' files are timed as well.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch

from mediseg.inference import bundle_names, load_bundle
from mediseg.train.export import write_onnx
from mediseg.train.networks import NETWORKS, build
from mediseg.train.rounding import Half, Int8

SIDE = 256
THREADS = 2
PAUSE_S = 0.1
#: Every network at its own widths, and BiSeNetV2 as it ships.
NAMED: dict[str, tuple[str, tuple[int, ...] | None]] = {
    **{name: (name, None) for name in sorted(NETWORKS)},
    "bisenetv2-192": ("bisenetv2", (192,)),
}


@dataclass(frozen=True)
class Row:
    """One network's figures; times in ms, file in kB."""

    name: str
    parameters: int | None
    file_kb: float
    onnxruntime_ms: float
    onnxruntime_best_ms: float
    torch_ms: float | None
    torch_best_ms: float | None

    @property
    def faster(self) -> float | None:
        """How many times faster than torch eager, by medians."""
        return None if self.torch_ms is None else self.torch_ms / self.onnxruntime_ms


def session(path: Path) -> Callable[[], Any]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = THREADS, 1
    loaded = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    wanted = loaded.get_inputs()[0]
    size = [side if isinstance(side, int) else SIDE for side in wanted.shape[2:]]  # a window's size may be fixed
    image = {wanted.name: np.random.default_rng(0).random((1, 1, *size), np.float32)}
    return lambda: loaded.run(None, image)


def eager(network: torch.nn.Module, memory: torch.memory_format) -> Callable[[], Any]:
    network = network.to(memory_format=memory).eval()
    image = torch.rand(1, 1, SIDE, SIDE).contiguous(memory_format=memory)

    def run() -> torch.Tensor:
        with torch.inference_mode():
            return network(image)

    return run


def timed(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Call everything once a round, each after a pause and a call to warm up; return the times in ms.

    Without the pause the threads of the network before, which spin for a while, are timed as well.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            time.sleep(PAUSE_S)
            call()
            begin = time.perf_counter()
            call()
            times[name].append(1e3 * (time.perf_counter() - begin))
    return times


def measure(folder: Path, rounds: int) -> list[Row]:
    calls: dict[str, Callable[[], Any]] = {}
    files: dict[str, tuple[Path, int | None]] = {}
    for name, (kind, widths) in NAMED.items():
        network = build(kind, widths).eval()
        path = folder / f"{name}.onnx"
        write_onnx(network.to(memory_format=torch.contiguous_format), path, (1, 1, SIDE, SIDE), ("image", "logits"))
        files[name] = (path, weights(path))
        files |= {f"{name} {how}": (one, None) for how, one in rounded(path).items()}
        calls[f"{name}/contiguous"] = eager(build(kind, widths), torch.contiguous_format)
        calls[f"{name}/last"] = eager(build(kind, widths), torch.channels_last)
    for name in bundle_names():
        if load_bundle(name).settings["input"]["dims"] == 2:
            files[f"models/{name}"] = (load_bundle(name).onnx, None)
    calls |= {name: session(path) for name, (path, _) in files.items()}
    times = timed(calls, rounds)
    return [_row(name, path, count, times) for name, (path, count) in files.items()]


def weights(path: Path) -> int:
    """Return how many numbers a file holds: parts that only train are gone, normalisations are folded in."""
    return sum(int(np.prod(tensor.dims)) for tensor in onnx.load(str(path)).graph.initializer)


def rounded(path: Path) -> dict[str, Path]:
    """Return float16 and 8-bit twins of a file; random windows calibrate, as only time is asked for."""
    found = {}
    windows = [(torch.rand(1, 1, 128, 128), torch.zeros(1, 1, 128, 128)) for _ in range(4)]
    for kind, rounding in (("float16", Half()), ("int8", Int8(windows, None))):
        found[kind] = path.with_name(f"{path.stem}_{kind}.onnx")
        found[kind].write_bytes(path.read_bytes())
        rounding.apply(found[kind])
    return found


def _row(name: str, path: Path, count: int | None, times: dict[str, list[float]]) -> Row:
    own = times[name]
    plain = [times[key] for key in (f"{name}/contiguous", f"{name}/last") if key in times]
    fastest = min(plain, key=lambda t: float(np.median(t))) if plain else None
    return Row(
        name,
        count,
        round(path.stat().st_size / 1e3, 1),
        round(float(np.median(own)), 2),
        round(min(own), 2),
        None if fastest is None else round(float(np.median(fastest)), 2),
        None if fastest is None else round(min(fastest), 2),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args(arguments)
    torch.manual_seed(0)
    torch.set_num_threads(THREADS)
    onnxruntime.set_default_logger_severity(3)
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder), options.rounds)
    load = os.getloadavg()[0]
    print(f"{SIDE} x {SIDE}, {THREADS} threads, {options.rounds} rounds; load of the machine {load:.1f}")
    print(
        f"{'network':28}{'parameters':>11}{'file kB':>9}{'ORT ms':>8}{'best':>8}{'torch ms':>9}{'best':>8}{'faster':>8}"
    )
    for row in rows:
        count = f"{row.parameters:,}" if row.parameters else ""
        other = f"{row.torch_ms:9.1f}{row.torch_best_ms:8.1f}{row.faster:8.1f}" if row.torch_ms is not None else ""
        own = f"{row.onnxruntime_ms:8.1f}{row.onnxruntime_best_ms:8.1f}"
        print(f"{row.name:28}{count:>11}{row.file_kb:9.0f}{own}{other}")
    if options.json is not None:
        about = {"machine": platform.machine(), "onnxruntime": onnxruntime.__version__, "torch": torch.__version__}
        options.json.write_text(json.dumps({**about, "load": load, "rows": [asdict(row) for row in rows]}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
