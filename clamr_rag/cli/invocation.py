"""One call of a command: its settings, its terminal, and how its library is opened."""

from __future__ import annotations

import inspect
import logging
import os
import warnings
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import typer

from clamr_rag.cli.exits import guarded
from clamr_rag.cli.options import (
    Given,
    Switches,
    option_parameters,
    take_options,
    with_parameters,
)
from clamr_rag.cli.settings import Settings, library_folder, load_settings
from clamr_rag.cli.terminal import ColorMode, Terminal
from clamr_rag.errors import UsageError

if TYPE_CHECKING:
    from clamr_rag.library import VideoLibrary


@dataclass(frozen=True, slots=True)
class Invocation:
    """What a command's body gets beside its own arguments."""

    switches: Switches
    settings: Settings
    terminal: Terminal

    def open_library(self, *, create: bool) -> VideoLibrary:
        """Opens the library that the settings name.

        Raises:
            UsageError: There is none, and none is to be made.
        """
        from clamr_rag.library import VideoLibrary

        asked = self.settings.library
        return VideoLibrary.open(
            library_folder(asked),
            encoder=asked.encoder,
            adapter=asked.adapter,
            device=asked.device,
            dtype=asked.dtype,
            options=self.settings.options,
            create=create,
        )


def register(
    app: typer.Typer, body: Callable[..., int], name: str, stages: Collection[str] = ("library",)
) -> None:
    """Makes a function a command.

    Args:
        app: The application, or a group of it.
        body: Takes an `Invocation` and its own annotated arguments; returns the exit code.
        name: Of the command.
        stages: Whose flags the command takes.
    """
    own = list(inspect.signature(body, eval_str=True).parameters.values())[1:]

    def command(context: typer.Context, **arguments: Any) -> None:
        raise typer.Exit(_run(body, context, arguments))

    with_parameters(command, [*own, *option_parameters(stages)])
    command.__doc__ = body.__doc__
    app.command(name)(command)


def _run(body: Callable[..., int], context: typer.Context, arguments: dict[str, Any]) -> int:
    """Settles options, streams and logging, then runs the body under `guarded`."""
    try:
        given = take_options(arguments)
    except UsageError as error:
        Terminal().error(str(error))
        return error.exit_code
    if isinstance(context.obj, Given):
        given = given.over(context.obj)
    switches = given.switches
    terminal = Terminal(cast(ColorMode, switches.color), quiet=switches.quiet)

    def settled() -> int:
        settle_process(switches)
        invocation = Invocation(switches, load_settings(given.flags), terminal)
        return body(invocation, **arguments)

    return guarded(settled, terminal, debug=switches.debug)


def settle_process(switches: Switches) -> None:
    """Sets what libraries read when they are imported: offline mode, logging, warnings.

    Raises:
        UsageError: The log file cannot be written.
    """
    if switches.offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
        os.environ["TRANSFORMERS_OFFLINE"] = "1"
    # stderr belongs to our own progress and notes.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    talkative = switches.verbose or switches.debug
    if not talkative:
        # What other packages find worth a warning is no user's business.
        warnings.simplefilter("ignore")
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    root = logging.getLogger()
    root.addHandler(_stderr_handler(switches))
    if switches.log_file:
        root.addHandler(_file_handler(switches.log_file))
    # These two write whole requests, every picture in them, at their DEBUG.
    for talker in ("openai", "httpcore"):
        logging.getLogger(talker).setLevel(logging.INFO)
    root.setLevel(logging.DEBUG if switches.debug or switches.log_file else logging.INFO)


def _stderr_handler(switches: Switches) -> logging.Handler:
    handler = logging.StreamHandler()
    handler.setLevel(_stderr_level(switches))
    handler.setFormatter(_SafeFormatter("%(levelname)s %(name)s: %(message)s"))
    if not switches.debug:
        handler.addFilter(logging.Filter("clamr_rag"))
    return handler


def _stderr_level(switches: Switches) -> int:
    if switches.debug:
        return logging.DEBUG
    if switches.verbose:
        return logging.INFO
    # What the engine had to do otherwise than asked (a smaller batch, a passed-over file) is said.
    return logging.ERROR if switches.quiet else logging.WARNING


def _file_handler(path: str) -> logging.Handler:
    try:
        handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
    except OSError as fault:
        raise UsageError(
            f"--log-file {path}: {fault.strerror}", allowed="a writable file"
        ) from fault
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    return handler


class _SafeFormatter(logging.Formatter):
    """Log lines can quote a hostile name."""

    def format(self, record: logging.LogRecord) -> str:
        from clamr_rag.cli.terminal import safe

        return "\n".join(map(safe, super().format(record).splitlines()))
