"""The command line. ``main(argv)`` returns an exit status; each command is a file, loaded when used."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module

import click

from mediseg.errors import Cancelled, Exit, MedisegError, did_you_mean

_FULL = (errno.ENOSPC, errno.EDQUOT) if hasattr(errno, "EDQUOT") else (errno.ENOSPC,)
_STOPPED = "interrupted; finished cases stay, the next run resumes"
COMMANDS = {
    "run": "run a recipe on studies or files",
    "plan": "show what would run on an input, and why the rest is left out; writes nothing",
    "demo": "run the main job on the built-in phantom study, offline",
    "evaluate": "predictions against references: table, CSV, page of the worst cases",
    "recipes": "list the recipes",
    "steps": "list the steps, or one step's parameters",
    "models": "list, verify or describe the model bundles",
    "train": "train a network as a configuration says; goes on where it was stopped (extra: train)",
    "export": "turn a trained run into a model bundle (extra: train)",
    "info": "versions, processor, providers and paths: what a bug report needs",
    "doctor": "prove this installation: checksums, the phantom run against stored figures, time, memory",
    "deidentify": "copies of DICOM images without what names a patient (PS3.15 basic profile)",
    "node": "a DICOM node: receive studies, run recipes, send results (extra: node)",
    "watch": "run a recipe on whatever is exported into a folder",
    "serve": "a local HTTP service for other programs (extra: serve)",
    "bundle": "pack everything for a workstation without a network (extra: bundle)",
}


class _Commands(click.Group):
    """Loads a command's module when it is named."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"mediseg.cli.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.UsageError(f'there is no command "{args[0]}"{did_you_mean(args[0], COMMANDS)}')
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:  # click would put an empty line before ours
            raise Cancelled(_STOPPED) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Example: mediseg demo --out demo",
)
@click.version_option(package_name="mediseg", message="mediseg %(version)s")
def group() -> None:
    """Head MR in; corpus callosum, rotated ROI, slice plan and report out. Offline.

    Research use only; not a medical device.
    """


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status. Every error is one line on stderr."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    stopped = threading.Event()
    try:
        with _stopped_politely(stopped):
            result = group.main(arguments, prog_name="mediseg", standalone_mode=False)
            sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return Exit.USAGE
    except click.ClickException as error:
        return _fail(error, _told(error), Exit.USAGE, arguments)
    except MedisegError as error:
        return _fail(error, str(error), error.exit_code, arguments)
    except (KeyboardInterrupt, click.Abort) as error:
        return _fail(error, _STOPPED, Exit.INTERRUPTED, arguments)
    except (BrokenPipeError, SystemExit) as error:  # click turns the first into the second
        _drop_stdout()
        return _fail(error, "whoever read the output has stopped reading", Exit.UNWRITABLE, arguments)
    except OSError as error:
        if error.errno not in _FULL:
            return _bug(error, arguments)
        _drop_stdout()
        return _fail(error, f"the output cannot be written: {error.strerror}", Exit.UNWRITABLE, arguments)
    except Exception as error:  # noqa: BLE001 - the last resort: one line instead of a traceback
        if stopped.is_set():  # a compiled module that is stopped while it loads makes an ImportError of it
            return _fail(error, _STOPPED, Exit.INTERRUPTED, arguments)
        return _bug(error, arguments)
    return int(result or 0)


def _told(error: click.ClickException) -> str:
    """What is wrong, and where it stands how it is meant for who has left something out."""
    message = error.format_message()
    if isinstance(error, click.MissingParameter) and error.ctx is not None:
        return f"{message.rstrip('.')}; {error.ctx.command_path} --help shows an example"
    return message


def _bug(error: Exception, arguments: Sequence[str]) -> int:
    hint = "run again with --debug to see where, and report it"
    return _fail(error, f"a bug in mediseg ({type(error).__name__}); {hint}", Exit.BUG, arguments)


@contextmanager
def _stopped_politely(stopped: threading.Event) -> Iterator[None]:
    """Treat a request to end (SIGTERM) as Ctrl-C: finished cases and their index stay. ``stopped`` notes both."""

    def stop(*_: object) -> None:
        stopped.set()
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signals = [signal.SIGTERM]
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else somebody wants it ignored, as nohup does
        signals.append(signal.SIGINT)
    before = {one: signal.signal(one, stop) for one in signals}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _drop_stdout() -> None:
    """Send what is still buffered nowhere, so that the interpreter does not stumble over it at its end."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):  # no real file, as under a test
        sys.stdout = io.StringIO()


def _fail(error: BaseException, message: str, code: int, arguments: Sequence[str]) -> int:
    if "--debug" in arguments:
        traceback.print_exception(error)
    click.echo(f"mediseg: {' '.join(message.split())}", err=True)
    return int(code)
