"""``mediseg train``: a configuration in, a run folder out. torch is loaded once the configuration is good."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from mediseg.cli._progress import WithBar
from mediseg.errors import UsageError, did_you_mean

NEEDED = ("torch", "monai", "onnx")


@click.command(
    "train",
    short_help="train a network as a configuration says",
    epilog="Example: mediseg train callosum-unet --data slices --out runs/callosum",
)
@click.argument("config", metavar="CONFIG")
@click.option("--data", type=click.Path(path_type=Path), help="Folder or manifest of the data, before CONFIG's.")
@click.option("--maps", type=click.Path(path_type=Path), help="Folder of label maps to paint from, before CONFIG's.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the run, before CONFIG's.")
@click.option("--quiet", is_flag=True, help="No progress.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def command(config: str, data: Path | None, maps: Path | None, out: Path | None, quiet: bool, debug: bool) -> int:
    """Train as CONFIG says: a YAML file, or the name of a shipped model to train it anew.

    The same command goes on where a run was stopped or killed. The run's folder gets checkpoint.pt, log.csv, the same
    log for TensorBoard, and looks/: the worst windows so far as pictures.
    """
    from mediseg.train.config import load_config

    runs = load_config(_config_path(config), data=data, maps=maps, out=out)
    need_extra()
    with _Bar(quiet=quiet) as bar:
        folder = import_module("mediseg.train.train").train(runs, bar.say, bar.follow)
    if not quiet:
        click.echo(f"next: mediseg export {folder}", err=True)
    return 0


def need_extra() -> None:
    """Raise UsageError with the command to type where the extra ``train`` is not installed."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise UsageError(f'training needs {", ".join(missing)}: pip install "mediseg[train]"')


def _config_path(config: str) -> Path:
    from mediseg.inference import bundle_names

    if Path(config).suffix in (".yaml", ".yml"):
        return Path(config)
    from mediseg._resources import shipped

    with_config = [n for n in bundle_names() if (shipped("models") / n / "configs" / "train.yaml").is_file()]
    if config in with_config:
        return shipped("models") / config / "configs" / "train.yaml"
    raise UsageError(
        f'there is no configuration "{config}"{did_you_mean(config, with_config)}; '
        "give a YAML file, or the name of a shipped model"
    )


class _Bar(WithBar):
    """A bar on a terminal, a line every ``log_every`` steps elsewhere; on stderr."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> _Bar:
        if not self._quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

            columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=Console(stderr=True))
            self._bar.start()
        return self

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        if self._bar is not None:
            self._bar.console.print(line, markup=False, highlight=False)
        elif not self._quiet:
            click.echo(line, err=True)

    def follow(self, name: str, schedule: Any, at: Any) -> None:
        """Show how far a stage is (``config.SchedulePart``, ``loop.Progress``)."""
        text = f"{name}: step {at.step} of {schedule.steps}, loss {at.loss:.4f}"
        if self._bar is not None:
            if name not in self._tasks:
                self._tasks[name] = self._bar.add_task(text, total=1.0)
            self._bar.update(self._tasks[name], description=text, completed=at.share)
        elif at.step % schedule.log_every == 0:
            self.say(f"{text} ({at.seconds:.0f} s)")
