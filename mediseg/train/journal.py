"""What a training leaves to be read: ``log.csv``, and the same for TensorBoard where tensorboard is installed."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any

LOG_HEADER = ("step", "loss", "lr", "seconds", "score")


class Journal:
    """Appends rows; what was written of steps that will be done again after a kill is dropped first."""

    def __init__(self, out: Path, step: int) -> None:
        self._path = out / "log.csv"
        _trim(self._path, step)
        self._board: Any = None
        if find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(out / "tensorboard"), purge_step=step + 1)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._board is not None:
            self._board.close()

    def row(self, step: int, loss: float, rate: float, seconds: float, scores: Mapping[str, float]) -> None:
        """Write one row; ``scores`` are a validation's, of which the CSV holds ``score`` and TensorBoard all."""
        new = not self._path.is_file()
        score = f"{scores['score']:.5f}" if "score" in scores else ""
        with self._path.open("a", newline="") as stream:
            writer = csv.writer(stream)
            if new:
                writer.writerow(LOG_HEADER)
            writer.writerow((step, f"{loss:.6f}", f"{rate:.3e}", f"{seconds:.1f}", score))
        if self._board is not None:
            for name, value in {"loss": loss, "rate": rate, **scores}.items():
                self._board.add_scalar(name, value, step)


def _trim(path: Path, step: int) -> None:
    """Keep the rows up to ``step``; rows of a log without scores get an empty one."""
    if not path.is_file():
        return
    with path.open(newline="") as stream:
        rows = [row for row in csv.reader(stream) if row and row[0].isdigit() and int(row[0]) <= step]
    width = len(LOG_HEADER)
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([LOG_HEADER, *((row + [""] * width)[:width] for row in rows)])
